"""Percentiles and intervals against arithmetic, and against thousands of made-up runs."""

from __future__ import annotations

import math

import numpy as np
import pytest

from valkeyctl.bench.statistics import (
    Bootstrap,
    Estimate,
    Floats,
    Series,
    judge,
    percentile,
    t95,
)


def pair(
    rng: np.random.Generator, rounds: int, *, times: float = 1.0, requests: int = 60
) -> tuple[Series, Series]:
    """Return two arms that share what each round does to the machine; *times* is the truth."""
    shared = 0.2 * rng.standard_normal(rounds)
    own = 0.03 * rng.standard_normal((2, rounds))

    def arm(number: int, factor: float) -> Series:
        spread = 0.6 * rng.standard_normal((rounds, requests))
        blocks = factor * np.exp(shared[:, None] + own[number][:, None] + spread)
        return Series(list(blocks), [1.0] * rounds)

    return arm(0, times), arm(1, 1.0)


@pytest.mark.parametrize(
    ("q", "expected"), [(0.5, 10.0), (0.9, 18.0), (0.95, 19.0), (0.99, 20.0), (0.05, 1.0), (1, 20)]
)
def test_a_percentile_is_a_value_that_was_observed(q: float, expected: float) -> None:
    """Nearest rank of 1..20, also where q * n is a whole number that floats miss."""
    assert percentile(np.arange(1.0, 21.0), q) == expected


def test_an_empty_series_has_no_percentile() -> None:
    """Nothing is made up for it."""
    with pytest.raises(ValueError, match="0 values"):
        percentile(np.empty(0), 0.5)


def test_resampled_quantiles_equal_those_of_resamples_that_were_built() -> None:
    """The bisection gives exactly what sorting every resample would give."""
    rng = np.random.default_rng(3)
    blocks = [rng.integers(1, 50, size=n).astype(float) for n in (7, 1, 30, 12)]
    weights = rng.multinomial(4, [0.25] * 4, size=200).astype(float)

    for metric, q in (("p50", 0.5), ("p90", 0.9), ("p999", 0.999)):
        found = Series(blocks, [1.0] * 4).evaluate(metric, weights)

        for row, value in zip(weights, found, strict=True):
            built: Floats = np.sort(
                np.concatenate([np.tile(b, int(w)) for b, w in zip(blocks, row, strict=True)])
            )
            assert value == percentile(built, q)


def test_the_other_metrics_are_weighted_by_requests_and_seconds() -> None:
    """A long round counts for what it holds."""
    series = Series([np.array([1.0, 3.0]), np.array([8.0])], [1.0, 3.0], [(1, 2), (0, 1)])
    once = np.ones((1, 2))

    assert series.evaluate("mean", once)[0] == 4.0
    assert series.evaluate("throughput", once)[0] == 0.75
    assert series.evaluate("hit_ratio", once)[0] == pytest.approx(1 / 3)


def test_students_t_is_close_beyond_its_table() -> None:
    """The expansion meets the table where they join, and the normal far away."""
    assert t95(1) == 12.706
    assert t95(31) == pytest.approx(2.0395, abs=5e-4)
    assert t95(100_000) == pytest.approx(1.96, abs=1e-3)


def test_the_same_seed_gives_the_same_interval() -> None:
    """A report that is made again says the same."""
    first, second = pair(np.random.default_rng(1), 10)

    once, again, other = (Bootstrap(10, seed).ratio(first, second, "p50") for seed in (1, 1, 2))

    assert once == again != other


@pytest.mark.parametrize(
    ("rounds", "runs", "requests"),
    [(5, 150, 60), (10, 150, 60), pytest.param(10, 1000, 200, marks=pytest.mark.slow)],
)
def test_equal_arms_are_seldom_told_apart(rounds: int, runs: int, requests: int) -> None:
    """A/A: intervals exclude 1 in about 5 % of the runs; 8 % is what chance may add."""
    rng = np.random.default_rng(11)
    alarms = dict.fromkeys(("p50", "mean"), 0)

    for run in range(runs):
        arms = pair(rng, rounds, requests=requests)
        bootstrap = Bootstrap(rounds, run, replicates=300)
        for metric in alarms:
            low, high = bootstrap.ratio(*arms, metric).ci95 or (0.0, 0.0)
            alarms[metric] += not low <= 1 <= high

    assert max(alarms.values()) <= 0.08 * runs, alarms


def test_a_true_difference_lies_in_the_interval_and_is_found() -> None:
    """1.5 times as fast: covered in 92 % of 100 made-up runs at least, found in all."""
    rng = np.random.default_rng(12)
    covered = found = 0

    for run in range(100):
        arms = pair(rng, 10, times=1.5)
        low, high = Bootstrap(10, run, replicates=300).ratio(*arms, "p50").ci95 or (0, 0)
        covered += low <= 1.5 <= high
        found += low > 1

    assert covered >= 92
    assert found == 100


@pytest.mark.parametrize(
    ("ci95", "rounds", "verdict"),
    [
        ((1.2, 1.5), 10, "better"),
        ((0.5, 0.9), 10, "worse"),
        ((0.97, 1.04), 10, "same"),
        ((1.01, 1.04), 10, "same"),
        ((0.9, 1.2), 10, "inconclusive"),
        ((1.2, 1.5), 4, "inconclusive"),
        (None, 10, "inconclusive"),
    ],
)
def test_a_verdict_follows_from_the_interval(
    ci95: tuple[float, float] | None, rounds: int, verdict: str
) -> None:
    """Not from the point, and never with fewer than five rounds."""
    assert judge(Estimate(1.3, ci95), rounds) == verdict


def test_one_round_and_no_answer_have_no_interval() -> None:
    """An interval is not made up where there is no spread to make it of."""
    some, none = Series([np.array([1.0, 2.0])], [1.0]), Series([np.empty(0)], [1.0])

    assert Bootstrap(1, 1).ratio(some, some, "p50") == Estimate(1.0, None)
    assert math.isnan(Bootstrap(1, 1).of(none, "p50").value)


def test_a_quantile_that_is_the_maximum_has_no_interval() -> None:
    """p99.9 of 500 requests is one request: resampling cannot say how it varies."""
    first, second = pair(np.random.default_rng(1), 10, requests=50)

    assert Bootstrap(10, 1).ratio(first, second, "p999").ci95 is None
    assert Bootstrap(10, 1).ratio(first, second, "p99").ci95 is not None
    assert Bootstrap(10, 1).of(first, "p999").ci95 is None


def test_a_hit_ratio_of_zero_has_an_interval_within_bounds() -> None:
    """Shares stay between 0 and 1."""
    series = Series([np.array([1.0])] * 5, [1.0] * 5, [(0, 10)] * 5)
    mixed = Series([np.array([1.0])] * 5, [1.0] * 5, [(n, 10) for n in (0, 0, 0, 1, 9)])

    assert Bootstrap(5, 1).of(series, "hit_ratio") == Estimate(0.0, (0.0, 0.0))
    low, high = Bootstrap(5, 1).of(mixed, "hit_ratio").ci95 or (-1, 2)
    assert (low, high > 0.2) == (0.0, True)
