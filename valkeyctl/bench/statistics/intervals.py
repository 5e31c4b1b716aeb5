"""Percentiles that were observed, and intervals that hold with few rounds.

The unit of resampling is a block of rounds, not the request: requests of one round share
whatever the machine was doing then, so resampling requests would claim far more certainty
than there is. How many rounds make a block follows from their autocorrelation
(`dependence`). Arms are resampled together, because they are compared in pairs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Literal

import numpy as np
import numpy.typing as npt

from valkeyctl.bench.statistics.blocks import blocks_of, totals
from valkeyctl.bench.statistics.dependence import LEAST_BLOCKS, dependence

Floats = npt.NDArray[np.float64]
Verdict = Literal["better", "worse", "same", "inconclusive"]

QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999}
METRICS = (*QUANTILES, "mean", "throughput")
LEAST_ROUNDS = 5
SAME_MARGIN = 0.05
_REPLICATES = 1999
# More blocks than these add work and no certainty.
_MOST_BLOCKS = 200
# Up to here all 2**n - 1 subsets are taken, further on some of them.
_ALL_SUBSETS = 10
_BINS = 1024
# Fewer are so few values that no resample says how they vary.
_LEAST_BEYOND = 5


def rank(count: int, q: float) -> int:
    """Return the 0-based nearest rank of the *q*-quantile among *count* sorted values.

    Raises:
        ValueError: count is below 1, or q is outside (0, 1].

    Source: Hyndman & Fan, Sample Quantiles in Statistical Packages (1996), definition 1.
    """
    if count < 1 or not 0 < q <= 1:
        raise ValueError(f"no rank for q={q} of {count} values")
    # The margin keeps 0.07 * 100, which floats make 7.000000000000001, at 7.
    return max(0, math.ceil(q * count - 1e-9) - 1)


def percentile(ascending: Floats, q: float) -> float:
    """Return the *q*-quantile by the nearest-rank method: a value that was observed.

    Raises:
        ValueError: ascending is empty, or q is outside (0, 1].
    """
    return float(ascending[rank(len(ascending), q)])


@dataclass(frozen=True)
class Estimate:
    """A figure with the interval that its rounds support.

    Attributes:
        value: From all rounds together.
        ci95: Bounds of the 95 % interval; None where the samples support none: with fewer
            than `LEAST_BLOCKS` rounds, a quantile with next to nothing beyond it, or of a
            share an interval that would leave everything possible.
        blocks: How many blocks of rounds the interval rests on; 0 without one.
        autocorrelation: Of neighbouring rounds; 0 where it cannot be told from none.
        longer: How many times as long the run would have to be for its noise to be worth
            `LEAST_BLOCKS` independent rounds; 1 where it is long enough.
    """

    value: float
    ci95: tuple[float, float] | None
    blocks: int = 0
    autocorrelation: float = 0.0
    longer: float = 1.0


def judge(ratio: Estimate, rounds: int, *, floor: float = 0.0) -> Verdict:
    """Return what *ratio* (above 1: the candidate is better) allows one to say.

    Args:
        ratio: With its interval.
        rounds: That it comes from; with fewer than `LEAST_ROUNDS` nothing is said.
        floor: By how much equal arms differ on this machine (0.02 is 2 %; `noise_floor`);
            a difference must lie beyond it as a whole.

    Returns:
        ``same`` when the whole interval lies within `SAME_MARGIN` of no difference;
        ``better`` or ``worse`` when it excludes 1, and the floor.
    """
    if ratio.ci95 is None or rounds < LEAST_ROUNDS:
        return "inconclusive"
    low, high = ratio.ci95
    if low >= 1 - SAME_MARGIN and high <= 1 + SAME_MARGIN:
        return "same"
    if low > 1 + floor:
        return "better"
    return "worse" if high < 1 / (1 + floor) else "inconclusive"


def _times_better(baseline: Floats, candidate: Floats, metric: str) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return candidate / baseline if metric == "throughput" else baseline / candidate


def _reached(metric: str, *arms: Series) -> bool:
    """Say whether *arms* have values enough beyond the quantile; without, it is a maximum.

    Resampling knows nothing of a maximum: p99.9 of 120 requests gave 20 % false alarms,
    and p99 with 1 or 2 values beyond it still 8 to 11 %.
    """
    beyond = 1 - QUANTILES.get(metric, 0.0)
    return all(len(arm.pooled) * beyond > _LEAST_BEYOND - 1e-9 for arm in arms)


class Series:
    """One arm's rounds: latencies, and how long each round took."""

    def __init__(
        self,
        latencies: Sequence[Floats],
        seconds: Sequence[float],
        shares: Sequence[tuple[float, float]] = (),
    ) -> None:
        """Hold one arm's rounds.

        Args:
            latencies: Of the right answers, one array a round, in any order and unit.
            seconds: Length of each round.
            shares: Of each round, answers from the cache and right answers.
        """
        self.rounds = [np.sort(values) for values in latencies]
        self.seconds = np.asarray(seconds, dtype=np.float64)
        self.shares = np.asarray(shares or [(0, 0)] * len(self.rounds), dtype=np.float64)
        self._bins: dict[int, Floats] = {}

    @cached_property
    def pooled(self) -> Floats:
        """All latencies, ascending."""
        return np.concatenate(self.rounds)[self._order] if self.rounds else np.empty(0)

    @cached_property
    def _order(self) -> npt.NDArray[np.int64]:
        return np.argsort(np.concatenate(self.rounds), kind="stable")

    @cached_property
    def _owners(self) -> npt.NDArray[np.int32]:
        """The round of each pooled value."""
        sizes = [len(values) for values in self.rounds]
        return np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)[self._order]

    @cached_property
    def _counts(self) -> Floats:
        return np.array([len(values) for values in self.rounds], dtype=np.float64)

    @cached_property
    def _sums(self) -> Floats:
        return np.array([values.sum() for values in self.rounds], dtype=np.float64)

    def evaluate(self, metric: str, weights: Floats) -> Floats:
        """Return *metric* under every row of *weights*, which say how often a block counts.

        Args:
            metric: One of `METRICS`, or ``hit_ratio``; quantiles are exact, nearest rank.
            weights: One row for each resample, one column for each block of consecutive
                rounds; as many blocks as rounds, or fewer. Whole numbers.
        """
        total = partial(totals, weights)

        # A resample of rounds without a right answer has no figure; the interval says so.
        with np.errstate(divide="ignore", invalid="ignore"):
            if metric == "mean":
                return total(self._sums) / total(self._counts)
            if metric == "throughput":
                return total(self._counts) / total(self.seconds)
            if metric == "hit_ratio":
                return total(self.shares[:, 0]) / total(self.shares[:, 1])
        return self._at_rank(_wanted(metric, total(self._counts)), weights)

    def smooth(self, metric: str, weights: Floats) -> Floats:
        """Return `evaluate`, but quantiles as the mean of two ranks, for how they vary.

        The geometric mean of the latencies one standard error of the rank below and above:
        resamples of a single rank hop between the few values that happen to be near it,
        and so vary more than the quantile does (p99 gave 2 % false alarms, with this 4).

        Source: Hall, DiCiccio & Romano, On Smoothing and the Bootstrap, Annals of
        Statistics 17 (1989).
        """
        if metric not in QUANTILES:
            return self.evaluate(metric, weights)
        counts = totals(weights, self._counts)
        wanted, q = _wanted(metric, counts), QUANTILES[metric]
        error = np.round(np.sqrt(q * (1 - q) * counts))
        below = self._at_rank(np.maximum(wanted - error, 1), weights)
        # A resample of rounds without a right answer has no rank: NaN, as without it.
        above = self._at_rank(np.minimum(wanted + error, np.maximum(counts, 1)), weights)
        return np.sqrt(below * above)

    def _at_rank(self, wanted: Floats, weights: Floats) -> Floats:
        """Return the value at rank *wanted*, from 1, of every resample; NaN without any.

        No resample is built: a million samples would be copied thousands of times.
        Weighted counts of coarse bins say in which bin the rank lies, and only within that
        bin single values are counted.
        """
        pooled = self.pooled
        if not len(pooled):
            return np.full(len(weights), np.nan)
        blocks = weights.shape[1]
        below = weights @ self._below(blocks).T
        found = np.full(len(weights), np.nan)
        # Column 0 is 0 and the last one counts all; a resample of no value stays NaN.
        places = (below < wanted[:, None]).sum(axis=1)
        edges = self._bin_edges
        owners = blocks_of(len(self.rounds), blocks)[self._owners]
        for place in np.unique(places[places < len(edges)]):
            chosen = np.flatnonzero(places == place)
            inside = slice(edges[place - 1], edges[place])
            count = np.cumsum(weights[np.ix_(chosen, owners[inside])], axis=1)
            rest = wanted[chosen] - below[chosen, place - 1]
            found[chosen] = pooled[inside][(count >= rest[:, None]).argmax(axis=1)]
        return found

    @cached_property
    def _bin_edges(self) -> npt.NDArray[np.int64]:
        count = len(self.pooled)
        bins = min(_BINS, math.isqrt(count))
        return np.arange(bins + 1) * count // bins

    def _below(self, blocks: int) -> Floats:
        """Return how many values of each block lie before each edge of a bin."""
        if blocks not in self._bins:
            edges = self._bin_edges
            bins = np.repeat(np.arange(len(edges) - 1), np.diff(edges))
            cells = bins * blocks + blocks_of(len(self.rounds), blocks)[self._owners]
            counts = np.bincount(cells, minlength=(len(edges) - 1) * blocks)
            table = np.zeros((len(edges), blocks))
            table[1:] = np.cumsum(counts.reshape(-1, blocks), axis=0)
            self._bins[blocks] = table
        return self._bins[blocks]


class Bootstrap:
    """Resamples of the rounds, the same ones for every arm and metric.

    A resample keeps each block of rounds with probability 1/2 and leaves out the others
    (double or nothing), and the interval spans the middle 95 % of what the resamples give.
    For independent differences that are symmetric about the truth, as those of arms in
    alternating order are, every gap between neighbouring results holds the truth with
    equal probability: so the level is exact from 5 blocks on, whatever the tails, and no
    table of Student's t is needed. Plain bootstrap percentiles with few rounds gave 8 to
    15 % false alarms, and t intervals 1 to 4 % where a neighbour made the noise jump.

    Source: Hartigan, Using Subsample Values as Typical Values, JASA 64 (1969), theorem 1
    and corollary 2; Maritz, Biometrika 66 (1979), for estimates other than the mean.
    """

    def __init__(self, rounds: int, seed: int, *, replicates: int = _REPLICATES) -> None:
        self.rounds = rounds
        self._seed = seed
        self._replicates = replicates
        self._drawn: dict[int, Floats] = {}
        self._all = np.ones((1, min(rounds, _MOST_BLOCKS)))

    def of(self, series: Series, metric: str) -> Estimate:
        """Return *metric* of one arm with its interval."""
        value = float(series.evaluate(metric, self._all)[0])
        if not _reached(metric, series):
            return Estimate(value, None)
        figure = partial(series.smooth, metric)
        return self._estimate(value, figure, share=metric == "hit_ratio")

    def ratio(self, baseline: Series, candidate: Series, metric: str) -> Estimate:
        """Return how many times better *candidate* is: above 1 is faster, or more a second."""
        first, second = (one.evaluate(metric, self._all) for one in (baseline, candidate))
        value = float(_times_better(first, second, metric)[0])
        if not _reached(metric, baseline, candidate):
            return Estimate(value, None)

        def figure(weights: Floats) -> Floats:
            first, second = (one.smooth(metric, weights) for one in (baseline, candidate))
            return _times_better(first, second, metric)

        return self._estimate(value, figure)

    def unpaired_ratio(
        self, baseline: Series, candidate: Series, other: Bootstrap, metric: str
    ) -> Estimate:
        """Return the ratio of series from two runs, whose rounds are no pairs.

        *other* resamples the rounds of *candidate*; this object those of *baseline*. The
        interval is made of those of both arms.

        Source: Zou & Donner, Construction of confidence limits about effect measures,
        Statistics in Medicine 27 (2008): the method of variance estimates recovery.
        """
        first, second = self.of(baseline, metric), other.of(candidate, metric)
        better = _times_better(np.array([first.value]), np.array([second.value]), metric)
        value = float(better[0])
        if first.ci95 is None or second.ci95 is None or not 0 < value < math.inf:
            return Estimate(value, None)
        # The upper one over the lower one, as the metric has it.
        above, under = (second, first) if metric == "throughput" else (first, second)
        down, up = (
            math.hypot(_log_reach(above, side), _log_reach(under, 1 - side)) for side in (0, 1)
        )
        return Estimate(
            value,
            (value * math.exp(-down), value * math.exp(up)),
            min(first.blocks, second.blocks),
            max(first.autocorrelation, second.autocorrelation),
            max(first.longer, second.longer),
        )

    def _estimate(
        self, value: float, figure: Callable[[Floats], Floats], *, share: bool = False
    ) -> Estimate:
        """Return *value* with the interval that resamples of *figure* give."""
        units = min(self.rounds, _MOST_BLOCKS)
        if units < LEAST_BLOCKS:
            return Estimate(value, None)
        without = figure(np.vstack([np.ones((1, units)), 1 - np.eye(units)]))
        with np.errstate(divide="ignore", invalid="ignore"):
            scale = without if share else np.log(without)
            # What the figure loses without a round is that round's influence on it.
            rounds = dependence(scale[0] - scale[1:]) if np.isfinite(scale).all() else None
        if rounds is None:
            return Estimate(value, None)
        resampled = figure(self._subsets(rounds.blocks))
        with np.errstate(divide="ignore", invalid="ignore"):
            away = (resampled if share else np.log(resampled)) - scale[0]
        if not np.isfinite(away).all():
            return Estimate(value, None)
        # Where a figure jumps from value to value, half of the rounds may never reach it.
        low = min(rounds.widening * _typical(away, 0.025), 0.0)
        high = max(rounds.widening * _typical(away, 0.975), 0.0)
        if share:
            bounds = (max(0.0, value + low), min(1.0, value + high))
            if bounds == (0.0, 1.0):
                return Estimate(value, None, 0, rounds.autocorrelation, rounds.longer)
        else:
            bounds = (value * math.exp(low), value * math.exp(high))
        return Estimate(value, bounds, rounds.blocks, rounds.autocorrelation, rounds.longer)

    def _subsets(self, blocks: int) -> Floats:
        """Return weights of 0 and 1: all subsets of few blocks, some of many; none empty."""
        if blocks not in self._drawn:
            if blocks <= _ALL_SUBSETS:
                numbers = np.arange(1, 2**blocks)[:, None]
                drawn = (numbers >> np.arange(blocks)) & 1
            else:
                rng = np.random.default_rng([self._seed, blocks])
                drawn = rng.integers(0, 2, size=(self._replicates, blocks))
                drawn[drawn.sum(axis=1) == 0, 0] = 1
            self._drawn[blocks] = drawn.astype(np.float64)
        return self._drawn[blocks]


def _typical(values: Floats, q: float) -> float:
    """Return the bound below which the truth lies with probability *q*.

    The k sorted values leave k + 1 gaps of equal probability, so it is the q (k + 1)-th.
    """
    place = min(max(q * (len(values) + 1), 1.0), float(len(values))) - 1
    ascending = np.sort(values)
    below = math.floor(place)
    above = min(below + 1, len(values) - 1)
    return float(ascending[below] + (place - below) * (ascending[above] - ascending[below]))


def _log_reach(one: Estimate, side: int) -> float:
    """Return how far the lower (0) or upper (1) bound is from the value, in logarithms."""
    if one.ci95 is None:
        raise AssertionError("only asked of an estimate with an interval")
    return abs(math.log(one.ci95[side] / one.value))


def _wanted(metric: str, counts: Floats) -> Floats:
    """Return the rank, from 1, of the quantile among so many values, as `rank` does."""
    return np.maximum(np.ceil(QUANTILES[metric] * counts - 1e-9), 1)
