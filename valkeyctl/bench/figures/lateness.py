"""What the load generator's own lateness may have done to the figures of an arm.

A request that left late has two latencies: from when it was due, which holds the lateness,
and from when it left, as if there had been none. The first is never too low; the second is
what the target was seen to take. What is true under both is true however late they were.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from valkeyctl.bench.figures.outcomes import Rows
from valkeyctl.bench.figures.spread import Spread
from valkeyctl.bench.statistics.intervals import QUANTILES, Bootstrap, Estimate, Series

# Below a hundredth, two latencies are one: an interval that is 1 % wider says nothing else.
_MATTERS = 0.01
_OF_LATENCY = (*QUANTILES, "mean")


@dataclass(frozen=True)
class Bracket:
    """An arm's rounds, by the latencies that lateness leaves possible.

    Attributes:
        due: Latencies from when requests were due.
        left: The same from when they left; None where it makes no difference that matters.
    """

    due: Series = field(repr=False)
    left: Series | None = field(default=None, repr=False)

    def of(self, bootstrap: Bootstrap, metric: str) -> Estimate:
        """Return *metric*, with an interval that holds under both latencies."""
        found = bootstrap.of(self.due, metric)
        if self.left is None or metric not in _OF_LATENCY:
            return found
        return spanning(found, bootstrap.of(self.left, metric))

    def ratio(self, candidate: Bracket, bootstrap: Bootstrap, metric: str) -> Estimate:
        """Return how many times better *candidate* is, likewise."""
        found = bootstrap.ratio(self.due, candidate.due, metric)
        if self._exact(candidate, metric):
            return found
        return spanning(found, bootstrap.ratio(self._left, candidate._left, metric))

    def unpaired_ratio(
        self, candidate: Bracket, bootstrap: Bootstrap, other: Bootstrap, metric: str
    ) -> Estimate:
        """Return the same of two runs; *other* resamples the rounds of *candidate*."""
        found = bootstrap.unpaired_ratio(self.due, candidate.due, other, metric)
        if self._exact(candidate, metric):
            return found
        return spanning(found, bootstrap.unpaired_ratio(self._left, candidate._left, other, metric))

    @property
    def _left(self) -> Series:
        return self.due if self.left is None else self.left

    def _exact(self, candidate: Bracket, metric: str) -> bool:
        return metric not in _OF_LATENCY or (self.left is None and candidate.left is None)


def punctual(rows: Rows) -> Rows:
    """Return *rows* as if each had been due when it left.

    What waited for a place among those in flight was held back by the target, and stays due
    when it was.
    """
    found = rows.copy()
    found["intended"] = np.where(rows["queued"] == 0, rows["start"], rows["intended"])
    return found


def matters(due: Spread | None, left: Spread | None) -> bool:
    """Say whether lateness makes up more than a hundredth of any figure."""
    if due is None or left is None:
        return False
    return any(getattr(due, name) > getattr(left, name) * (1 + _MATTERS) for name in _OF_LATENCY)


def spanning(one: Estimate, other: Estimate) -> Estimate:
    """Return *one* with an interval that holds both theirs; without one where either has none."""
    longer = max(one.longer, other.longer)
    if one.ci95 is None or other.ci95 is None:
        return Estimate(one.value, None, longer=longer)
    return Estimate(
        one.value,
        (min(one.ci95[0], other.ci95[0]), max(one.ci95[1], other.ci95[1])),
        min(one.blocks, other.blocks),
        max(one.autocorrelation, other.autocorrelation),
        longer,
    )
