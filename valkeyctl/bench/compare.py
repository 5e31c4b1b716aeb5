"""Finished runs side by side, arm by arm: what has changed since then."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from valkeyctl.bench.arm import Node
from valkeyctl.bench.circumstances import differences, of_plans
from valkeyctl.bench.figures.conclusion import METRIC_NAMES, figure
from valkeyctl.bench.figures.sentence import short_name
from valkeyctl.bench.measuredrun import MeasuredRun
from valkeyctl.bench.noise import Noise, noise
from valkeyctl.bench.plan import Plan
from valkeyctl.bench.report import interval_words
from valkeyctl.bench.samples import Samples
from valkeyctl.bench.statistics.intervals import (
    METRICS,
    Estimate,
    Verdict,
    judge,
)
from valkeyctl.errors import UsageError

CAVEAT = (
    "These are runs at different times: whatever changed on the machine between them is part "
    "of the difference, and no interval knows of it. Only arms of one run, played in turns, "
    "show what a setting does."
)
_HEADLINES = ("p50", "p99", "throughput")


@dataclass(frozen=True)
class Change:
    """One figure of one arm, in the last run against a baseline run.

    Attributes:
        arm: Its name in both runs.
        metric: ``p50`` to ``p999``, ``mean`` (of latency) or ``throughput``.
        baseline: Folder of the run that it is compared with.
        ratio: How many times better the last run is; below 1 it is worse.
        ci95: Bounds of its 95 % interval; None where the samples support none.
        floor: How many times the figure differs by noise alone; None when unknown.
        widened: *ci95* with *floor* at both ends, by which it is judged.
        errors: Wrong answers of the arm in all runs, those of rounds that were not
            finished included; with any nothing is concluded.
        verdict: What may be said.
    """

    arm: str
    metric: str
    baseline: str
    ratio: float
    ci95: tuple[float, float] | None
    floor: float | None
    widened: tuple[float, float] | None
    errors: int
    verdict: Verdict

    @property
    def drowned(self) -> bool:
        """Whether it would be a difference, were it not for the noise floor."""
        if self.ci95 is None or self.widened is None or self.verdict != "inconclusive":
            return False
        return not self.errors and not self.ci95[0] <= 1 <= self.ci95[1]


@dataclass(frozen=True)
class RunComparison:
    """How the last of several runs stands to the others.

    Attributes:
        baselines: Folders of the runs that are compared with.
        last: Folder of the run that is judged.
        comparisons: Arm by arm and metric by metric.
        noise: What runs of the same thing differ by.
        differences: What the runs did not have in common, for a person.
        refused: Why nothing may be concluded; empty when something may.
        incomplete: Why a run ended early; empty when none did.
        failed: Arms in common with wrong answers, and how many in all runs together.
        left_out: Of which arms nothing is said, and why.
        caveat: What no interval of such a comparison covers.
    """

    baselines: tuple[str, ...]
    last: str
    comparisons: tuple[Change, ...]
    noise: Noise
    differences: tuple[str, ...]
    refused: str = ""
    incomplete: str = ""
    failed: Mapping[str, int] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    caveat: str = CAVEAT

    def to_json(self) -> dict[str, Node]:
        """Return the data of the ``bench.compare`` envelope."""
        return {
            "first": self.baselines[0],
            "second": self.last,
            "baselines": list(self.baselines),
            "comparisons": [_document(one) for one in self.comparisons],
            "noise_floor": {
                "runs": self.noise.runs,
                "arms_played_twice": self.noise.pairs,
                "about": self.noise.words,
            },
            "differences": list(self.differences),
            "failed": dict(self.failed),
            "left_out": list(self.left_out),
            "refused": self.refused or None,
            "incomplete": bool(self.incomplete),
            "incomplete_reason": self.incomplete or None,
            "caveat": self.caveat,
        }

    def sentences(self) -> tuple[str, ...]:
        """Return what may be said, bad news first."""
        return tuple(_sentences(self))


def compare(first: Samples, *others: Samples, floor: Sequence[Samples] = ()) -> RunComparison:
    """Return how the last of the runs stands to those before it, for every arm in common.

    Rounds of different runs are no pairs, so each run is resampled by itself and the
    intervals are wider than those between arms of one run. Of several baselines each
    figure is compared with the one in their middle, and their spread is noise.

    Args:
        first: A baseline.
        others: Further baselines, and last the run that is judged.
        floor: Further runs of what the baselines are runs of; only their spread counts.

    Raises:
        NotFoundError: A run has no complete round.
        UsageError: There is only one run; or the runs have no arm in common; or they are
            of different loads; or baselines, or *floor*, are not of the same thing.
    """
    if not others:
        raise UsageError("one run cannot be compared", hint="Give the folder of a second one")
    *baselines, last = (MeasuredRun(one, number) for number, one in enumerate((first, *others)))
    repeats = [MeasuredRun(one, len(others) + 1 + number) for number, one in enumerate(floor)]
    for run in (*baselines, last, *repeats):
        _check_load(baselines[0].plan, run.plan)
    for run in (*baselines[1:], *repeats):
        _check_alike(baselines[0], run)
    common = [name for name in last.measured if all(name in run.measured for run in baselines)]
    if not common:
        names = (", ".join(baselines[0].measured), ", ".join(last.measured))
        raise UsageError(
            f"the runs have no arm in common: {names[0]} against {names[1]}",
            hint="Name the arms alike with --arm",
        )
    known = noise([*baselines, *repeats], [*baselines, *repeats, last])
    refused = next((why for run in (*baselines, last) if (why := run.refused)), "")
    # Of whichever baseline: which of them is in the middle may be the failures' doing.
    failed = {
        arm: errors
        for arm in common
        if (errors := sum(run.failed(arm) for run in (*baselines, last)))
    }
    changes = [
        _middle(several)
        for arm in common
        if all(run.answered(arm) for run in (*baselines, last))
        for metric in METRICS
        if last.plan.load_model == "closed" or metric != "throughput"
        if (several := list(_changes(baselines, last, arm, metric, known)))
    ]
    if refused or failed:
        changes = [_withheld(one, failed.get(one.arm, 0), refused) for one in changes]
    incomplete = [run.folder for run in (*baselines, last) if run.samples.incomplete]
    return RunComparison(
        baselines=tuple(run.folder for run in baselines),
        last=last.folder,
        comparisons=tuple(changes),
        noise=known,
        differences=tuple(_differences(baselines, last)),
        refused=refused,
        incomplete=f"{incomplete[0]} is incomplete" if incomplete else "",
        failed=failed,
        left_out=tuple(_left_out(baselines, last)),
    )


def _left_out(baselines: Sequence[MeasuredRun], last: MeasuredRun) -> Iterator[str]:
    """Yield of which arms nothing is said: those that a run lacks, or never answered in."""
    runs = (*baselines, last)
    for arm in dict.fromkeys(name for run in runs for name in run.measured):
        for run in runs:
            if arm not in run.measured:
                yield f"{run.folder} has no arm {arm}, so nothing is said of it."
                break
            if not run.answered(arm):
                yield f"Arm {arm} had no right answer in {run.folder}, so nothing is said of it."
                break


def _changes(
    baselines: Sequence[MeasuredRun], last: MeasuredRun, arm: str, metric: str, known: Noise
) -> Iterator[Change]:
    for run in baselines:
        one = _change(run, last, arm, metric, known)
        # Nothing is so many times as long as a latency of 0.
        if 0 < one.ratio < math.inf:
            yield one


def _change(before: MeasuredRun, after: MeasuredRun, arm: str, metric: str, known: Noise) -> Change:
    ratio = before.times_better(after, arm, metric)
    factor = known.factor(arm, metric)
    widened = ratio.ci95
    if widened is not None and factor is not None:
        widened = (widened[0] / factor, widened[1] * factor)
    fewest = min(before.sampler.rounds, after.sampler.rounds)
    verdict = judge(Estimate(ratio.value, widened), fewest)
    return Change(arm, metric, before.folder, ratio.value, ratio.ci95, factor, widened, 0, verdict)


def _withheld(one: Change, errors: int, refused: str) -> Change:
    """Return *one* with its arm's wrong answers, and no verdict where nothing is concluded."""
    verdict = "inconclusive" if errors or refused else one.verdict
    return replace(one, errors=errors, verdict=verdict)


def _middle(changes: list[Change]) -> Change:
    """Return the change whose ratio is in the middle; of two the one that claims less."""
    ordered = sorted(changes, key=lambda one: one.ratio)
    low, high = ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]
    return min(low, high, key=lambda one: max(one.ratio, 1 / one.ratio))


def _check_load(first: Plan, other: Plan) -> None:
    if first.load_model != other.load_model:
        raise UsageError(
            "one run is an open loop and another a closed one; their latencies mean different "
            "things",
            hint="Repeat one of them with the other's load",
        )


def _check_alike(first: MeasuredRun, other: MeasuredRun) -> None:
    if found := next(of_plans(first.plan, other.plan), ""):
        raise UsageError(
            f"{other.folder} is no repetition of {first.folder}: {found}",
            hint="Give several baselines, and --floor, only for runs of one and the same plan",
        )


def _differences(baselines: Sequence[MeasuredRun], last: MeasuredRun) -> Iterator[str]:
    for run in baselines:
        head = f"{run.folder}: " if len(baselines) > 1 else ""
        for line in differences(run.samples, last.samples):
            yield head + line


def _document(one: Change) -> dict[str, Node]:
    return {
        "arm": one.arm,
        "metric": one.metric,
        "baseline": one.baseline,
        "ratio": one.ratio,
        "ci95": None if one.ci95 is None else list(one.ci95),
        "noise_floor": one.floor,
        "ci95_with_floor": None if one.widened is None else list(one.widened),
        "errors": one.errors,
        "verdict": one.verdict,
    }


def _sentences(found: RunComparison) -> Iterator[str]:
    if found.refused:
        yield f"Nothing may be concluded: {found.refused}"
    if found.incomplete:
        yield f"Only a part was measured: {found.incomplete}."
    for arm, errors in found.failed.items():
        yield f"Requests of arm {arm} failed ({errors:,} in all), so nothing is concluded of it."
    yield from found.left_out
    changed = [one for one in found.comparisons if one.verdict == "worse"]
    # What got worse is told in full, what got better in its headlines.
    changed += [
        one for one in found.comparisons if one.verdict == "better" and one.metric in _HEADLINES
    ]
    for one in changed:
        yield _change_words(one)
    if drowned := [one for one in found.comparisons if one.drowned]:
        names = ", ".join(f"{one.arm} {short_name(one.metric)}" for one in drowned)
        yield f"Within the noise floor, so no difference: {names}."
    judged = () if found.refused else [one for one in found.comparisons if not one.errors]
    if judged and all(one.verdict in {"same", "inconclusive"} for one in judged):
        yield "No difference could be shown."
    yield found.noise.words
    yield found.caveat


def _change_words(one: Change) -> str:
    low, high = one.widened or (one.ratio, one.ratio)
    times = one.ratio
    if one.verdict == "worse":
        times, low, high = 1 / times, 1 / high, 1 / low
    noise = "" if one.floor is None else ", noise included"
    return (
        f"Arm {one.arm} is {one.verdict} by {METRIC_NAMES[one.metric]}: {figure(times)} times "
        f"(95 % interval {figure(low)} to {figure(high)}{noise})."
    )


def rows(found: RunComparison) -> tuple[tuple[str, ...], ...]:
    """Return the table for a person: a row of headings, then one for each figure."""
    head = ("arm", "metric", "times better", "95 % interval", "noise", "verdict")
    return (
        head,
        *(
            (
                one.arm,
                short_name(one.metric),
                figure(one.ratio),
                interval_words(one.ci95),
                "-" if one.floor is None else f"{(one.floor - 1) * 100:.1f} %",
                one.verdict,
            )
            for one in found.comparisons
        ),
    )
