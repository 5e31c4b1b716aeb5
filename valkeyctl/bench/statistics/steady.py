"""Where the steady state of a run begins, by a stated test on what each round showed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from valkeyctl.bench.statistics.blocks import Floats, block_means
from valkeyctl.bench.statistics.dependence import dependence

LEAST_ROUNDS = 10
TEST = "MSER for where it begins, Mann-Kendall for a trend that remains"
# Standard errors that the beginning must be off by: the largest of many tries is looked at.
_OFF = 4.0
# Two-sided 0.1 % of the normal distribution: the correction for autocorrelation is rough.
_TREND = 3.291
# Rounds farther off than this many robust standard deviations of the second half count
# as if they were just as far: else a neighbour's burst would decide where the run settles.
_CLIP = 8.0
_DEVIATIONS = 1.4826  # of a normal distribution: its standard deviation over its median one
_MOST_POINTS = 200


@dataclass(frozen=True)
class Watched:
    """What is watched of one arm, round by round.

    Attributes:
        name: For the reason, such as ``hit ratio of arm cached``.
        values: One a round; NaN for a round that has none.
        margin: Smallest change that matters, in the unit of *values*.
    """

    name: str
    values: Sequence[float]
    margin: float

    @classmethod
    def latency(cls, arm: str, means: Sequence[float]) -> Watched:
        """Return the mean latencies of an arm's rounds, any unit, to be judged by 5 %."""
        with np.errstate(divide="ignore", invalid="ignore"):
            logarithms = np.log(np.asarray(means, dtype=np.float64))
        return cls(f"latency of arm {arm}", tuple(logarithms.tolist()), math.log(1.05))

    @classmethod
    def hit_ratio(cls, arm: str, ratios: Sequence[float]) -> Watched:
        """Return the hit ratios (0..1) of an arm's rounds, to be judged by 0.02."""
        return cls(f"hit ratio of arm {arm}", tuple(ratios), 0.02)


@dataclass(frozen=True)
class Steady:
    """Where the steady state begins.

    Attributes:
        first_round: Index of the first steady round; always in the first half. 0
            when nothing is to be dropped, or no steady state was found.
        steady: Whether there is one; True also where rounds are too few to look for it.
        reason: What was found, as a sentence without its full stop.
    """

    first_round: int
    steady: bool
    reason: str


def steady_from(series: Sequence[Watched]) -> Steady:
    """Return from which round on none of *series* is still settling.

    For each series MSER proposes how many rounds to drop; they are dropped when the first
    half of them is off from what follows by more than chance and by more than the
    series' margin. The latest proposal holds for all. If any series still has a trend
    after it that is significant and larger than its margin, or none settles within the
    first half, there is no steady state.

    Raises:
        ValueError: *series* differ in length.

    Source: White, An Effective Truncation Heuristic for Bias Reduction in Simulation
    Output, Simulation 69 (1997), for MSER; Mann (1945) and Kendall (1975) for the trend,
    whose variance is corrected for autocorrelation as by Yue & Wang, Water Resources
    Management 18 (2004); Sen (1968) for its slope.
    """
    lengths = {len(one.values) for one in series}
    if len(lengths) > 1:
        raise ValueError(f"series of different lengths: {sorted(lengths)}")
    rounds = lengths.pop() if lengths else 0
    if rounds < LEAST_ROUNDS:
        return Steady(0, True, f"{rounds} rounds are too few to look for a steady state")
    known = [(one, filled) for one in series if (filled := _filled(one.values)) is not None]
    first, because = 0, ""
    for one, values in known:
        begin = _begin(values, one.margin)
        if begin == rounds // 2:
            return Steady(0, False, f"the {one.name} did not settle in the first half of the run")
        if begin > first:
            first, because = begin, one.name
    for one, values in known:
        change = _trend(values[first:])
        if abs(change) > one.margin:
            way = "rising" if change > 0 else "falling"
            return Steady(0, False, f"the {one.name} was still {way} at the end of the run")
    if first:
        return Steady(first, True, f"the {because} settled after {first} of {rounds} rounds")
    return Steady(0, True, "no round differs from the others as a cold start does")


def _filled(values: Sequence[float]) -> Floats | None:
    """Return *values* with each gap filled by the value before it; None without any."""
    found = np.asarray(values, dtype=np.float64)
    there = np.flatnonzero(np.isfinite(found))
    if not len(there):
        return None
    latest = np.searchsorted(there, np.arange(len(found)), side="right") - 1
    return np.asarray(found[there[np.maximum(latest, 0)]], dtype=np.float64)


def _begin(values: Floats, margin: float) -> int:
    """Return how many rounds to drop; half of them says that it never settled."""
    rounds = len(values)
    half = values[rounds // 2 :]
    middle = float(np.median(half))
    sigma = _DEVIATIONS * float(np.median(np.abs(half - middle))) or float(half.std())
    clipped = np.clip(values - middle, -_CLIP * sigma, _CLIP * sigma) if sigma else values - middle
    latest = rounds // 2
    # Sums over what is kept when d rounds are dropped, for every d at once.
    kept = rounds - np.arange(latest + 1)
    sums = np.cumsum(clipped[::-1])[::-1][: latest + 1]
    squares = np.cumsum((clipped**2)[::-1])[::-1][: latest + 1]
    rule = np.maximum(squares - sums**2 / kept, 0.0) / kept**2
    best = int(np.argmin(rule))
    # Chance alone moves the minimum about: the first d that is as good as the best, within
    # the error of a variance, is taken. A minimum at the very end is no minimum yet.
    near = rule <= rule[best] * (1 + math.sqrt(2 / rounds)) + 1e-12 * sigma**2
    begin = latest if best == latest else int(np.argmax(near))
    if not begin:
        return 0
    head, rest = values[: (begin + 1) // 2], values[begin:]
    off = abs(float(head.mean()) - float(np.median(rest)))
    # What has not settled yet is no autocorrelation.
    fewer = 1.0 if best == latest else _inflation(clipped[begin:])
    error = sigma * math.sqrt(fewer * (1 / len(head) + 1 / len(rest)))
    return begin if off > max(margin, _OFF * error) else 0


def _inflation(values: Floats) -> float:
    """Return how many values hold as much as one independent value."""
    r = dependence(values).autocorrelation
    return (1 + r) / (1 - r)


def _trend(values: Floats) -> float:
    """Return by how much *values* change from first to last; 0 where it may be chance."""
    values = block_means(values, min(len(values), _MOST_POINTS))
    n = len(values)
    later, earlier = np.triu_indices(n, k=1)[::-1]
    differences = values[later] - values[earlier]
    statistic = float(np.sign(differences).sum())
    _, ties = np.unique(values, return_counts=True)
    variance = (n * (n - 1) * (2 * n + 5) - float((ties * (ties - 1) * (2 * ties + 5)).sum())) / 18
    if variance <= 0:
        return 0.0
    slope = float(np.median(differences / (later - earlier)))
    variance *= _inflation(values - slope * np.arange(n))
    # The margin of 1 is for a statistic that moves in steps of 2.
    if abs(statistic) - 1 < _TREND * math.sqrt(variance):
        return 0.0
    return slope * (n - 1)
