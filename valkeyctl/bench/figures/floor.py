"""The noise floor: how much two equal arms of one run differ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from valkeyctl.bench.figures.arms import Measured
from valkeyctl.bench.figures.comparison import comparable
from valkeyctl.bench.plan import Plan
from valkeyctl.bench.statistics.intervals import METRICS, Bootstrap

_METRICS = ("p50", "p99", "mean", "throughput")


@dataclass(frozen=True)
class Floor:
    """One figure of one arm that was played twice.

    Attributes:
        first: Name of the arm.
        second: Its other name.
        metric: Of `METRICS`.
        ratio: How many times better the second was; the truth is 1.
        ci95: Bounds of its 95 % interval; None where the samples support none.
    """

    first: str
    second: str
    metric: str
    ratio: float
    ci95: tuple[float, float] | None

    @property
    def reach(self) -> float:
        """The farthest from no difference that the interval goes, as a share: 0.03 is 3 %."""
        bounds = (self.ratio, *(self.ci95 or ()))
        return max((max(bound, 1 / bound) - 1 for bound in bounds if bound > 0), default=0.0)

    @property
    def clean(self) -> bool:
        """Whether the interval holds the truth, which is no difference."""
        return self.ci95 is None or self.ci95[0] <= 1 <= self.ci95[1]


def floors(plan: Plan, measured: Sequence[Measured], bootstrap: Bootstrap) -> tuple[Floor, ...]:
    """Return what every A/A pair of a run says, metric by metric."""
    return tuple(_floors(plan, measured, bootstrap))


def _floors(plan: Plan, measured: Sequence[Measured], bootstrap: Bootstrap) -> Iterator[Floor]:
    wanted = [m for m in METRICS if m in _METRICS and (m != "throughput" or _closed(plan))]
    for (a, first), (b, second) in combinations(enumerate(measured), 2):
        if not plan.arms[a].same_as(plan.arms[b]):
            continue
        if not (len(first.series.pooled) and len(second.series.pooled)):
            continue
        for metric in wanted:
            ratio = first.bracket.ratio(second.bracket, bootstrap, metric)
            if comparable(ratio):
                yield Floor(first.arm.name, second.arm.name, metric, ratio.value, ratio.ci95)


def _closed(plan: Plan) -> bool:
    return plan.load_model == "closed"
