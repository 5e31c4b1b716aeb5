"""How far apart runs of the same thing lie: what a difference must exceed to be one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, pairwise

from valkeyctl.bench.measuredrun import MeasuredRun
from valkeyctl.bench.statistics.intervals import METRICS, Estimate
from valkeyctl.bench.statistics.noise import noise_floor

Place = tuple[str, str]  # an arm's name, and a metric


@dataclass(frozen=True)
class Noise:
    """The noise floor of a comparison of runs.

    Attributes:
        runs: Runs of the same thing that it comes from; 0 where there is one at most.
        pairs: Arms that were played twice within a run, in turns with each other.
        factors: By arm and metric, by how many times two of them may differ, 1 or more.
    """

    runs: int
    pairs: int
    factors: Mapping[Place, float] = field(repr=False)

    def factor(self, arm: str, metric: str) -> float | None:
        """Return how many times a figure of *arm* differs by noise alone; None when unknown.

        An arm that was not repeated gets the largest of the others'.
        """
        if (arm, metric) in self.factors:
            return self.factors[arm, metric]
        others = [value for (_, name), value in self.factors.items() if name == metric]
        return max(others, default=None)

    @property
    def words(self) -> str:
        """Where it comes from, and how far that can be trusted."""
        if self.runs:
            return (
                f"The noise floor comes from {self.runs} runs of the same thing; the fewer they "
                "are, the lower it may be by luck."
            )
        if self.pairs:
            arms = "an arm" if self.pairs == 1 else f"{self.pairs} arms"
            return (
                f"The noise floor comes from {arms} played twice within a run, in turns; between "
                "two runs a machine differs by more."
            )
        return (
            "No noise floor is known, so a difference may be the machine's: repeat a run "
            "unchanged and give it with --floor, or play the baseline twice with --aa."
        )


def noise(alike: Sequence[MeasuredRun], all_runs: Sequence[MeasuredRun]) -> Noise:
    """Return how far apart things lie that are the same.

    Args:
        alike: Runs of the same thing. Each is held against the next: all pairs would count
            each run many times, and claim more knowledge than there is.
        all_runs: Every run there is; arms that one of them played twice count as well.
    """
    found: dict[Place, list[Estimate]] = {}
    for first, second in pairwise(alike):
        for arm in first.measured:
            if first.answered(arm) and second.answered(arm):
                for metric in METRICS:
                    ratio = first.times_better(second, arm, metric)
                    found.setdefault((arm, metric), []).append(ratio)
    pairs = 0
    for run in all_runs:
        for one, other in combinations(run.plan.arms, 2):
            if not (one.same_as(other) and run.answered(one.name) and run.answered(other.name)):
                continue
            pairs += 1
            for metric in METRICS:
                ratio = run.apart(one.name, other.name, metric)
                for arm in (one.name, other.name):
                    found.setdefault((arm, metric), []).append(ratio)
    factors = {
        place: 1 + floor.change
        for place, ratios in found.items()
        if (floor := noise_floor(ratios)) is not None
    }
    return Noise(len(alike) if len(alike) > 1 else 0, pairs, factors)
