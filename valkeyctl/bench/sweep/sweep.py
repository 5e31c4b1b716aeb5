"""A sweep: the same load at several values of one thing, and what each of them gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from valkeyctl.bench.figures.arms import ArmFigures
from valkeyctl.bench.load.generator import Progress
from valkeyctl.bench.report import Report
from valkeyctl.bench.services.children import Interruptions
from valkeyctl.bench.statistics.intervals import Estimate
from valkeyctl.bench.sweep.field import Field, Step, Value
from valkeyctl.bench.sweep.pace import Pace
from valkeyctl.errors import InterruptedRunError, ValkeyctlError

Play: TypeAlias = Callable[[Step, Path, Callable[[Progress], None]], Report]

METRICS = ("hit_ratio", "p50", "p99", "throughput")
# Of failures in a row: by then it is not the value.
_ENOUGH = 2


@dataclass(frozen=True)
class Cell:
    """What one arm did at one value.

    Attributes:
        value: Of what was swept.
        arm: Name; the value's own text where values are arms.
        runs: How many runs measured it.
        sent: Requests over all runs, their cold starts included.
        requests: Those that the estimates are of.
        held_back: Of *requests*, those that waited in the client for a place in flight.
        errors: Of *sent*, those without a right answer.
        refused: Why all of them show the load generator and not the target; else empty.
        refused_runs: How many of them do.
        estimates: By `METRICS`, latencies in milliseconds. Over several runs the value is
            their mean, and the interval holds all of theirs: what differs between two
            runs is not in the interval of either. Runs that were refused are left out
            where another was not.
    """

    value: Value
    arm: str
    runs: int
    sent: int
    requests: int
    held_back: int
    errors: int
    refused: str
    refused_runs: int
    estimates: dict[str, Estimate] = field(repr=False)


@dataclass(frozen=True)
class Failure:
    """A run of a sweep that measured nothing.

    Attributes:
        run: Name of its folder.
        value: Of what was swept; None where the values were arms.
        message: What went wrong.
        code: Word of the error, as in the envelope.
        exit_code: Status that the error ends a command with.
    """

    run: str
    value: Value | None
    message: str
    code: str
    exit_code: int

    @property
    def text(self) -> str:
        """The run, and what went wrong."""
        return f"{self.run}: {self.message}"


@dataclass(frozen=True)
class Drift:
    """What the first value gave in the first run of the sweep, and in the last.

    By how much they differ, values may differ without having done anything.

    Attributes:
        arm: Whose figure.
        metric: One of `METRICS`.
        first: In the first run.
        last: In the last run.
    """

    arm: str
    metric: str
    first: Estimate
    last: Estimate

    @property
    def change(self) -> float:
        """Share by which the last lies above the first; 0 where the first is 0."""
        return self.last.value / self.first.value - 1 if self.first.value else 0.0


@dataclass(frozen=True)
class Sweep:
    """What a sweep found.

    Attributes:
        field: What was changed.
        values: Ascending.
        scenario: Name of what was asked.
        cells: By value, then arm; a value that was not reached has none.
        one_run: Whether the values were arms of one run.
        passes: How many runs of its own each value was to have, the last one of the first
            value aside; 1 where the values were arms.
        run_seconds: How long the load of each run was meant to take.
        incomplete: Why not all was measured; empty when all was.
        interrupted: Whether that was Ctrl-C or SIGTERM.
        failures: Runs that measured nothing, in order.
        drifts: What the same value gave at the beginning and the end; empty where the
            values were arms, or the last run was not reached, or one of them was refused.
        folder: Where its report goes.
        runs: Folders of the runs that have a report.
    """

    field: Field
    values: tuple[Value, ...]
    scenario: str
    cells: tuple[Cell, ...]
    one_run: bool
    passes: int
    run_seconds: float
    incomplete: str
    interrupted: bool
    failures: tuple[Failure, ...]
    drifts: tuple[Drift, ...]
    folder: Path
    runs: tuple[Path, ...]

    @property
    def arms(self) -> tuple[str, ...]:
        """Names of the series: the arms, or nothing where the values are the arms."""
        return ("",) if self.one_run else tuple(dict.fromkeys(one.arm for one in self.cells))

    @property
    def compares(self) -> bool:
        """Whether there is more than one arm at each value."""
        return len(self.arms) > 1

    def series(self, arm: str) -> tuple[Cell, ...]:
        """Return the cells of one arm, by value."""
        return tuple(one for one in self.cells if self.one_run or one.arm == arm)

    @property
    def unmeasured(self) -> tuple[Value, ...]:
        """Values of which no run measured anything."""
        reached = {one.value for one in self.cells}
        return tuple(one for one in self.values if one not in reached)

    @property
    def refused(self) -> bool:
        """Whether a run shows the load generator and not the target."""
        return any(one.refused for one in self.cells)

    @property
    def wrong(self) -> bool:
        """Whether a request had no right answer."""
        return any(one.errors for one in self.cells)


def sweep(
    what: Field,
    values: Sequence[Value],
    planned: Sequence[Step],
    play: Play,
    *,
    folder: Path,
    progress: Callable[[float, str], None],
) -> Sweep:
    """Play every step of a sweep, and return what each value gave.

    A run that fails leaves its value out, and the sweep goes on; two failures in a row, or
    Ctrl-C, end it. What was measured is returned either way.

    Args:
        what: What is swept.
        values: Ascending.
        planned: As `field.steps` made them.
        play: Plays one of them into a folder, and reports.
        folder: For the runs' folders.
        progress: Called with the share of the time that is over.

    Raises:
        ValkeyctlError: The first run failed, or was interrupted before it measured.
    """
    course = _Course(planned, progress)
    with Interruptions() as interruptions:
        try:
            for number, step in enumerate(planned):
                if not course.play(number, step, play, folder / step.name):
                    break
        except KeyboardInterrupt:
            # Between two runs; one that is under way takes it itself.
            if not course.reports:
                raise
            course.stop(interruptions.reason or "Ctrl-C")
    one_run = "" not in planned[0].values
    reports = course.reports
    return Sweep(
        field=what,
        values=tuple(values),
        scenario=planned[0].plan.scenario.name,
        cells=tuple(_cells(values, reports)),
        one_run=one_run,
        passes=1 if one_run else sum(step.values[""] == values[-1] for step in planned),
        run_seconds=planned[0].plan.duration,
        incomplete=course.incomplete,
        interrupted=course.interrupted,
        failures=tuple(course.failures),
        drifts=tuple(_drifts(planned, reports)),
        folder=folder,
        runs=tuple(report.folder for _, report in reports),
    )


class _Course:
    """A sweep while it lasts: what it has measured, and what went wrong."""

    def __init__(self, planned: Sequence[Step], progress: Callable[[float, str], None]) -> None:
        self.reports: list[tuple[Step, Report]] = []
        self.failures: list[Failure] = []
        self.incomplete = ""
        self.interrupted = False
        self._runs = len(planned)
        self._progress = progress
        self._pace = Pace(planned)
        self._in_a_row = 0

    def play(self, number: int, step: Step, play: Play, folder: Path) -> bool:
        """Play one step; say whether the sweep goes on.

        Raises:
            ValkeyctlError: It was the first, and measured nothing.
        """
        value = next(iter(step.values.values()))
        place = f"{number + 1} of {self._runs}: " if self._runs > 1 else ""

        def follow(one: Progress) -> None:
            # In a run of its own the value is not the arm's name.
            what = one.arm if "" not in step.values else f"{value.text} {one.arm}".rstrip()
            failed = f", {one.failed:,} failed" if one.failed else ""
            phase = "" if one.phase == "measuring" else f", {one.phase}"
            self._progress(self._pace.share(one), f"{place}{what}{phase}{failed}")

        try:
            found = play(step, folder, follow)
        except InterruptedRunError as error:
            if not self.reports:
                raise
            self.stop(f"{step.name}: {error}")
            return False
        except ValkeyctlError as error:
            if not self.reports:
                raise
            return self._fail(step, error)
        finally:
            self._pace.finished()
        self._in_a_row = 0
        self.reports.append((step, found))
        if found.incomplete:
            self.stop(f"{step.name}: {found.incomplete}")
        return not found.incomplete

    def stop(self, why: str) -> None:
        """Note that the user has ended the sweep."""
        self.interrupted = True
        self.incomplete = why

    def _fail(self, step: Step, error: ValkeyctlError) -> bool:
        failure = Failure(step.name, step.values.get(""), str(error), error.code, error.exit_code)
        self.failures.append(failure)
        self.incomplete = self.incomplete or failure.text
        self._in_a_row += 1
        return self._in_a_row < _ENOUGH


def _drifts(planned: Sequence[Step], reports: Sequence[tuple[Step, Report]]) -> Iterator[Drift]:
    """Yield how the first value differs between the first run and the last."""
    if len(planned) < 2 or len(reports) < 2 or reports[-1][0] is not planned[-1]:
        return
    (first_step, first), (last_step, last) = reports[0], reports[-1]
    if first_step.values != last_step.values or first_step is not planned[0]:
        return
    if first.refused or last.refused:
        return
    opened = first_step.plan.load_model == "open"
    for arm, again in zip(first.arms, last.arms, strict=True):
        one, other = _Run(arm, "", opened=opened), _Run(again, "", opened=opened)
        for metric in METRICS:
            if metric in one.metrics and metric in other.metrics:
                yield Drift(arm.name, metric, arm.estimates[metric], again.estimates[metric])


@dataclass(frozen=True)
class _Run:
    """What one run says of one arm."""

    arm: ArmFigures
    refused: str
    opened: bool

    @property
    def metrics(self) -> set[str]:
        """Names of the estimates; throughput of an open loop is only what was offered."""
        return set(self.arm.estimates) - ({"throughput"} if self.opened else set())


def _cells(values: Sequence[Value], reports: Sequence[tuple[Step, Report]]) -> Iterator[Cell]:
    found: dict[tuple[Value, str], list[_Run]] = {}
    for step, report in reports:
        for arm in report.arms:
            value = step.values.get(arm.name) or step.values[""]
            run = _Run(arm, report.refused, opened=step.plan.load_model == "open")
            found.setdefault((value, arm.name), []).append(run)
    for value in values:
        for (at, name), runs in found.items():
            if at == value:
                yield _cell(value, name, runs)


def _cell(value: Value, name: str, runs: Sequence[_Run]) -> Cell:
    good = [run for run in runs if not run.refused]
    used = good or runs
    return Cell(
        value=value,
        arm=name,
        runs=len(runs),
        sent=sum(run.arm.sent for run in runs),
        requests=sum(run.arm.requests for run in used),
        held_back=sum(run.arm.held_back for run in used),
        errors=sum(run.arm.wrong for run in runs),
        refused="" if good else runs[0].refused,
        refused_runs=len(runs) - len(good),
        estimates={
            metric: _joined([run.arm.estimates[metric] for run in used])
            for metric in METRICS
            if all(metric in run.metrics for run in used)
        },
    )


def _joined(estimates: Sequence[Estimate]) -> Estimate:
    """Return the mean of several runs' estimates, and an interval that holds all of theirs."""
    intervals = [one.ci95 for one in estimates]
    known = [one for one in intervals if one is not None]
    return Estimate(
        sum(one.value for one in estimates) / len(estimates),
        (min(low for low, _ in known), max(high for _, high in known))
        if len(known) == len(intervals)
        else None,
    )
