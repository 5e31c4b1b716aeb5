"""Percentiles that were observed, and intervals that hold with few rounds.

The unit of resampling is the round, not the request: requests of one block share whatever
the machine was doing then, so resampling requests would claim far more certainty than
there is. Arms are resampled together, round by round, because they are compared in pairs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Verdict = Literal["better", "worse", "same", "inconclusive"]

QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999}
METRICS = (*QUANTILES, "mean", "throughput")
LEAST_ROUNDS = 5
SAME = (0.95, 1.05)
_REPLICATES = 2000
# Two-sided 95 % quantiles of Student's t for 1 to 30 degrees of freedom.
_T95 = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
    *(2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)


def rank(count: int, q: float) -> int:
    """Return the 0-based nearest rank of the *q*-quantile among *count* sorted values.

    Raises:
        ValueError: count is below 1, or q is outside (0, 1].

    Source: Hyndman & Fan, Sample Quantiles in Statistical Packages (1996), definition 1.
    """
    if count < 1 or not 0 < q <= 1:
        raise ValueError(f"no rank for q={q} of {count} values")
    # The margin keeps 0.95 * 20, which a float holds as 19.000000000000004, at 19.
    return max(0, math.ceil(q * count - 1e-9) - 1)


def percentile(ascending: Floats, q: float) -> float:
    """Return the *q*-quantile by the nearest-rank method: a value that was observed.

    Raises:
        ValueError: ascending is empty, or q is outside (0, 1].
    """
    return float(ascending[rank(len(ascending), q)])


def t95(degrees: int) -> float:
    """Return the two-sided 95 % quantile of Student's t; at least 1 degree of freedom."""
    if degrees <= len(_T95):
        return _T95[degrees - 1]
    # Cornish-Fisher; below 0.0005 off from 31 degrees on.
    z = 1.959964
    return z + (z**3 + z) / (4 * degrees) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * degrees**2)


@dataclass(frozen=True)
class Estimate:
    """A figure with the interval that its rounds support.

    Attributes:
        value: From all rounds together.
        ci95: Bounds of the 95 % interval; None where the samples support none: with one
            round, or a quantile that is the maximum of so few.
    """

    value: float
    ci95: tuple[float, float] | None


def judge(ratio: Estimate, rounds: int) -> Verdict:
    """Return what *ratio* (above 1: the candidate is better) allows one to say.

    ``same`` means that the whole interval lies within 5 % of no difference. With fewer
    than `LEAST_ROUNDS` rounds nothing is said.
    """
    if ratio.ci95 is None or rounds < LEAST_ROUNDS:
        return "inconclusive"
    low, high = ratio.ci95
    if low >= SAME[0] and high <= SAME[1]:
        return "same"
    if low > 1:
        return "better"
    return "worse" if high < 1 else "inconclusive"


def _times_better(baseline: Floats, candidate: Floats, metric: str) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return candidate / baseline if metric == "throughput" else baseline / candidate


def _reached(metric: str, *arms: Series) -> bool:
    """Say whether *arms* have values beyond the quantile; without, it is their maximum.

    Resampling knows nothing of a maximum: p99.9 of 120 requests gave 20 % false alarms.
    """
    beyond = 1 - QUANTILES.get(metric, 0.0)
    return all(len(arm.pooled) * beyond > 1 - 1e-9 for arm in arms)


class Series:
    """One arm's rounds: latencies, and how long each round took."""

    def __init__(
        self,
        latencies: Sequence[Floats],
        seconds: Sequence[float],
        shares: Sequence[tuple[int, int]] = (),
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

    @cached_property
    def pooled(self) -> Floats:
        """All latencies, ascending."""
        return np.sort(np.concatenate(self.rounds)) if self.rounds else np.empty(0)

    @cached_property
    def _counts(self) -> Floats:
        return np.array([len(values) for values in self.rounds], dtype=np.float64)

    @cached_property
    def _sums(self) -> Floats:
        return np.array([values.sum() for values in self.rounds], dtype=np.float64)

    def evaluate(self, metric: str, weights: Floats) -> Floats:
        """Return *metric* under every row of *weights*, which say how often a round counts.

        Args:
            metric: One of `METRICS`, or ``hit_ratio``.
            weights: One row for each resample, one column for each round.
        """
        # A resample of rounds without a right answer has no figure; the interval says so.
        with np.errstate(divide="ignore", invalid="ignore"):
            if metric == "mean":
                return (weights @ self._sums) / (weights @ self._counts)
            if metric == "throughput":
                return (weights @ self._counts) / (weights @ self.seconds)
            if metric == "hit_ratio":
                return (weights @ self.shares[:, 0]) / (weights @ self.shares[:, 1])
        return self._quantile(QUANTILES[metric], weights)

    def _quantile(self, q: float, weights: Floats) -> Floats:
        """Return the exact nearest-rank quantile of every resample; NaN without any value.

        Bisects over the pooled values, all resamples at once, instead of building each
        resample: a million samples would be copied thousands of times.
        """
        pooled = self.pooled
        if not len(pooled):
            return np.full(len(weights), np.nan)
        wanted = np.maximum(np.ceil(q * (weights @ self._counts) - 1e-9), 1)
        low = np.zeros(len(weights), dtype=np.int64)
        high = np.full(len(weights), len(pooled) - 1)
        while (low < high).any():
            middle = (low + high) // 2
            values = pooled[middle]
            below = np.zeros(len(weights))
            for column, ascending in enumerate(self.rounds):
                below += weights[:, column] * np.searchsorted(ascending, values, side="right")
            enough = below >= wanted
            high = np.where(enough, middle, high)
            low = np.where(enough, low, middle + 1)
        return np.asarray(pooled[low], dtype=np.float64)


class Bootstrap:
    """Resamples of the rounds, the same ones for every arm and metric."""

    def __init__(self, rounds: int, seed: int, *, replicates: int = _REPLICATES) -> None:
        self.rounds = rounds
        # With many rounds each resample costs more, and fewer give the same spread.
        replicates = max(min(replicates, 400), min(replicates, 200_000 // rounds))
        rng = np.random.default_rng(seed)
        drawn = rng.multinomial(rounds, [1 / rounds] * rounds, size=replicates)
        self._weights = np.vstack([np.ones((1, rounds)), drawn]).astype(np.float64)

    def of(self, series: Series, metric: str) -> Estimate:
        """Return *metric* of one arm with its interval."""
        values = series.evaluate(metric, self._weights)
        if not _reached(metric, series):
            return Estimate(float(values[0]), None)
        return self._estimate(values, share=metric == "hit_ratio")

    def ratio(self, baseline: Series, candidate: Series, metric: str) -> Estimate:
        """Return how many times better *candidate* is: above 1 is faster, or more a second."""
        first = baseline.evaluate(metric, self._weights)
        second = candidate.evaluate(metric, self._weights)
        better = _times_better(first, second, metric)
        if not _reached(metric, baseline, candidate):
            return Estimate(float(better[0]), None)
        return self._estimate(better)

    def unpaired_ratio(
        self, baseline: Series, candidate: Series, other: Bootstrap, metric: str
    ) -> Estimate:
        """Return the ratio of series from two runs, whose rounds are no pairs.

        *other* resamples the rounds of *candidate*; this object those of *baseline*. The
        interval takes the smaller number of rounds for its width.
        """
        first = baseline.evaluate(metric, self._weights)
        second = candidate.evaluate(metric, other._weights)
        length = min(len(first), len(second))
        first, second = first[:length], second[:length]
        narrow = self if self.rounds <= other.rounds else other
        better = _times_better(first, second, metric)
        if not _reached(metric, baseline, candidate):
            return Estimate(float(better[0]), None)
        return narrow._estimate(better)

    def _estimate(self, values: Floats, *, share: bool = False) -> Estimate:
        """Return the first of *values*, with the interval that the others give.

        The spread of the resamples is the standard error, and Student's t makes it an
        interval, on the logarithm because ratios are multiples. Plain percentiles of the
        resamples are too narrow with few rounds: 8 to 15 % false alarms with 5 to 10
        rounds, where this gives 2 to 7 (docs/explanation/benchmark-method.md).
        Source: Davison & Hinkley, Bootstrap Methods and their Application (1997), 5.2.
        """
        value, n = float(values[0]), self.rounds
        with np.errstate(divide="ignore", invalid="ignore"):
            scale = values if share else np.log(values)
        if n < 2 or not np.isfinite(scale).all():
            return Estimate(value, None)
        # Resampling n rounds understates their variance by (n - 1) / n.
        reach = t95(n - 1) * float(scale[1:].std()) * math.sqrt(n / (n - 1))
        if share:
            return Estimate(value, (max(0.0, value - reach), min(1.0, value + reach)))
        return Estimate(value, (value * math.exp(-reach), value * math.exp(reach)))
