"""A sweep: the same load at several values of one thing, and what each of them gives."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from valkeyctl.bench.figures.arms import ArmFigures
from valkeyctl.bench.load.generator import Progress
from valkeyctl.bench.report import Report
from valkeyctl.bench.statistics.intervals import Estimate
from valkeyctl.bench.sweep.field import Field, Step, Value
from valkeyctl.errors import InterruptedRunError, ValkeyctlError

Play: TypeAlias = Callable[[Step, Path, Callable[[Progress], None]], Report]

METRICS = ("hit_ratio", "p50", "p99", "throughput")


@dataclass(frozen=True)
class Cell:
    """What one arm did at one value.

    Attributes:
        value: Of what was swept.
        arm: Name; the value's own text where values are arms.
        requests: Over all runs of it.
        errors: Of them, without a right answer.
        held_back: Of them, that waited in the client for a place among those in flight.
        refused: Why a run of it shows the load generator and not the target; else empty.
        estimates: By `METRICS`, latencies in milliseconds. Over several runs the value is
            their mean, and the interval holds all of theirs: what differs between two
            runs is not in the interval of either.
    """

    value: Value
    arm: str
    requests: int
    errors: int
    held_back: int
    refused: str
    estimates: dict[str, Estimate] = field(repr=False)


@dataclass(frozen=True)
class Sweep:
    """What a sweep found.

    Attributes:
        field: What was changed.
        values: Ascending.
        scenario: Name of what was asked.
        cells: By value, then arm; a value that was not reached has none.
        one_run: Whether the values were arms of one run.
        passes: How many runs each value has; 1 where the values were arms.
        incomplete: Why it ended early; empty when it did not.
        interrupted: Whether that was Ctrl-C or SIGTERM.
        folder: Where its report goes.
        runs: Folders of the runs that have a report.
    """

    field: Field
    values: tuple[Value, ...]
    scenario: str
    cells: tuple[Cell, ...]
    one_run: bool
    passes: int
    incomplete: str
    interrupted: bool
    folder: Path
    runs: tuple[Path, ...]

    @property
    def arms(self) -> tuple[str, ...]:
        """Names of the series: the arms, or nothing where the values are the arms."""
        return ("",) if self.one_run else tuple(dict.fromkeys(one.arm for one in self.cells))

    def series(self, arm: str) -> tuple[Cell, ...]:
        """Return the cells of one arm, by value."""
        return tuple(one for one in self.cells if self.one_run or one.arm == arm)


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

    What was measured before a failure or Ctrl-C is returned, marked incomplete.

    Args:
        what: What is swept.
        values: Ascending.
        planned: As `field.steps` made them.
        play: Plays one of them into a folder, and reports.
        folder: For the runs' folders.
        progress: Called with the share that is done.

    Raises:
        ValkeyctlError: The first run failed, or was interrupted before it measured.
    """
    reports: list[tuple[Step, Report]] = []
    incomplete, interrupted = "", False
    for number, step in enumerate(planned):

        def follow(one: Progress, number: int = number, step: Step = step) -> None:
            done = min(1.0, one.done / one.total) if one.total else 0.0
            # In a run of its own the value is not the arm's name.
            where = one.arm if "" not in step.values else f"{step.name} {one.arm}"
            progress((number + done) / len(planned), where.strip() or one.phase)

        try:
            found = play(step, folder / step.name, follow)
        except (ValkeyctlError, KeyboardInterrupt) as error:
            if not reports:
                raise
            interrupted = isinstance(error, InterruptedRunError | KeyboardInterrupt)
            incomplete = f"{step.name}: {str(error) or 'Ctrl-C'}"
            break
        reports.append((step, found))
        if found.incomplete:
            interrupted = True
            incomplete = f"{step.name}: {found.incomplete}"
            break
    one_run = "" not in planned[0].values
    return Sweep(
        field=what,
        values=tuple(values),
        scenario=planned[0].plan.scenario.name,
        cells=tuple(_cells(values, reports)),
        one_run=one_run,
        passes=1 if one_run else len(planned) // len(values),
        incomplete=incomplete,
        interrupted=interrupted,
        folder=folder,
        runs=tuple(report.folder for _, report in reports),
    )


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


def _cells(values: Sequence[Value], reports: Sequence[tuple[Step, Report]]) -> Iterable[Cell]:
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
    return Cell(
        value=value,
        arm=name,
        requests=sum(run.arm.requests for run in runs),
        errors=sum(run.arm.wrong for run in runs),
        held_back=sum(run.arm.held_back for run in runs),
        refused=next((run.refused for run in runs if run.refused), ""),
        estimates={
            metric: _joined([run.arm.estimates[metric] for run in runs])
            for metric in METRICS
            if all(metric in run.metrics for run in runs)
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
