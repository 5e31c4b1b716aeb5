"""Percentiles and intervals against arithmetic, and against thousands of made-up runs."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.strategies import floats, integers, lists, sampled_from

from valkeyctl.bench.statistics.intervals import (
    QUANTILES,
    Bootstrap,
    Estimate,
    Floats,
    Series,
    judge,
    percentile,
    rank,
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


def test_a_rank_is_whole_where_floats_miss_it() -> None:
    """0.07 * 100 is 7.000000000000001 in floats; a quantile of 0 or of nothing has no rank."""
    assert [rank(100, q) for q in (0.07, 0.071, 1.0)] == [6, 7, 99]
    for count, q in ((0, 0.5), (5, 0.0), (5, 1.01)):
        with pytest.raises(ValueError, match="no rank"):
            rank(count, q)


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


def test_how_a_quantile_varies_is_seen_one_standard_error_to_either_side_of_its_rank() -> None:
    """Of 1..100 the error of the rank is 3 at p90 and 5 at the median; ranks end at 1 and n."""
    hundred = Series([np.arange(100.0, 50.0, -1), np.arange(1.0, 51.0)], [1.0] * 2)
    sixty = Series([np.arange(1.0, 61.0)], [1.0])
    once = np.ones((1, 2))

    assert hundred.smooth("p90", once)[0] == pytest.approx(math.sqrt(87 * 93))
    assert hundred.smooth("p50", once)[0] == pytest.approx(math.sqrt(45 * 55))
    assert hundred.smooth("mean", once)[0] == pytest.approx(50.5)
    assert sixty.smooth("p99", np.ones((1, 1)))[0] == pytest.approx(math.sqrt(59 * 60))


def test_rounds_are_kept_in_ascending_order() -> None:
    """Percentiles of single rounds are read from them."""
    assert Series([np.array([3.0, 1.0, 2.0])], [1.0]).rounds[0].tolist() == [1.0, 2.0, 3.0]


def test_few_blocks_are_resampled_in_every_way_and_many_in_1999() -> None:
    """Up to ten blocks chance has no part; never is a resample empty."""
    every = Bootstrap(5, 1)._subsets(5)

    assert len({tuple(row) for row in every.tolist()}) == len(every) == 31
    assert (Bootstrap(10, 1)._subsets(10) == Bootstrap(10, 2)._subsets(10)).all()
    for seed in range(5):
        some = Bootstrap(11, seed)._subsets(11)
        assert some.shape == (1999, 11)
        assert some.sum(axis=1).min() >= 1


def test_the_same_seed_gives_the_same_interval() -> None:
    """A report that is made again says the same."""
    first, second = pair(np.random.default_rng(1), 12)

    once, again, other = (Bootstrap(12, seed).ratio(first, second, "p50") for seed in (1, 1, 2))

    assert once == again != other


@pytest.mark.parametrize(
    ("rounds", "runs", "requests"),
    [(5, 100, 30), (12, 100, 30), pytest.param(20, 1000, 60, marks=pytest.mark.slow)],
)
def test_equal_arms_are_seldom_told_apart(rounds: int, runs: int, requests: int) -> None:
    """A/A: intervals exclude 1 in about 5 % of the runs; 8 % is what chance may add."""
    rng = np.random.default_rng(11)
    alarms = dict.fromkeys(("p50", "mean"), 0)

    for run in range(runs):
        arms = pair(rng, rounds, requests=requests)
        bootstrap = Bootstrap(rounds, run, replicates=199)
        for metric in alarms:
            low, high = bootstrap.ratio(*arms, metric).ci95 or (0.0, 0.0)
            alarms[metric] += not low <= 1 <= high

    assert max(alarms.values()) <= 0.08 * runs, alarms


def test_a_true_difference_lies_in_the_interval_and_is_found() -> None:
    """1.5 times as fast: covered in 92 % of 100 made-up runs at least, found in nearly all."""
    rng = np.random.default_rng(12)
    covered = found = 0

    for run in range(100):
        arms = pair(rng, 20, times=1.5, requests=30)
        low, high = Bootstrap(20, run, replicates=199).ratio(*arms, "p50").ci95 or (0, 0)
        covered += low <= 1.5 <= high
        found += low > 1

    assert covered >= 92
    assert found >= 98


@pytest.mark.parametrize(
    ("ci95", "rounds", "verdict"),
    [
        ((1.2, 1.5), 10, "better"),
        ((0.5, 0.9), 10, "worse"),
        ((0.97, 1.04), 10, "same"),
        ((1.01, 1.04), 10, "same"),
        ((0.9, 1.2), 10, "inconclusive"),
        ((0.5, 0.949), 10, "worse"),
        ((0.949, 1.04), 10, "inconclusive"),
        ((1.2, 1.5), 4, "inconclusive"),
        ((1.2, 1.5), 5, "better"),
        (None, 10, "inconclusive"),
    ],
)
def test_a_verdict_follows_from_the_interval(
    ci95: tuple[float, float] | None, rounds: int, verdict: str
) -> None:
    """Not from the point, and never with fewer than five rounds."""
    assert judge(Estimate(1.3, ci95), rounds) == verdict


def test_a_difference_must_lie_beyond_the_noise_floor() -> None:
    """What equal arms differ by is nobody's merit."""
    shown = Estimate(1.1, (1.04, 1.16))

    assert judge(shown, 10) == judge(shown, 10, floor=0.03) == "better"
    assert judge(shown, 10, floor=0.05) == "inconclusive"
    assert judge(Estimate(0.8, (0.7, 0.953)), 10, floor=0.05) == "inconclusive"
    assert judge(Estimate(0.8, (0.7, 0.952)), 10, floor=0.05) == "worse"


def test_five_rounds_give_the_range_of_what_they_show() -> None:
    """Hartigan: the truth lies within the extremes of 5 rounds in 30 of 32 cases."""
    baseline = Series([np.array([v]) for v in (2.0, 2.2, 1.9, 2.1, 2.4)], [1.0] * 5)
    candidate = Series([np.array([1.0])] * 5, [1.0] * 5)

    found = Bootstrap(5, 1).ratio(baseline, candidate, "mean")

    assert found.ci95 == pytest.approx((1.9, 2.4))
    assert found.value == pytest.approx(2.12)
    assert found.blocks == 5


def test_what_lasts_over_rounds_is_resampled_in_blocks() -> None:
    """A slow wave in one arm alone is few pieces of evidence, however many rounds it has."""
    rng = np.random.default_rng(4)
    quick = rng.standard_normal(60)
    slow = np.sin(np.arange(60) / 6)

    def ratio(one: Floats, other: Floats) -> Estimate:
        arms = [[np.array([math.exp(level)]) for level in levels] for levels in (one, other)]
        first, second = (Series(blocks, [1.0] * 60) for blocks in arms)
        return Bootstrap(60, 1).ratio(first, second, "mean")

    quick, slow, even = 0.1 * quick / quick.std(), 0.1 * slow / slow.std(), np.zeros(60)
    white, wave, mirrored = ratio(quick, even), ratio(slow, even), ratio(even, slow)

    assert white.ci95 is not None and wave.ci95 is not None
    assert (white.blocks, white.autocorrelation) == (60, 0.0)
    assert wave.blocks == 5
    assert mirrored.ci95 == pytest.approx((1 / wave.ci95[1], 1 / wave.ci95[0]))
    assert wave.ci95[1] / wave.ci95[0] - 1 > 3 * (white.ci95[1] / white.ci95[0] - 1)


def test_runs_that_are_no_pairs_have_an_interval_of_both_widths() -> None:
    """Two runs: the variances add up, and swapping the runs mirrors the interval."""
    rng = np.random.default_rng(6)
    old = Series(list(np.exp(0.1 * rng.standard_normal((20, 50)))), [1.0] * 20)
    new = Series(list(np.exp(0.1 * rng.standard_normal((12, 50)))), [1.0] * 12)
    samplers = Bootstrap(20, 1), Bootstrap(12, 2)

    forward = samplers[0].unpaired_ratio(old, new, samplers[1], "p50")
    back = samplers[1].unpaired_ratio(new, old, samplers[0], "p50")
    alone = samplers[0].of(old, "p50")

    assert forward.ci95 is not None and back.ci95 is not None and alone.ci95 is not None
    assert forward.ci95 == pytest.approx((1 / back.ci95[1], 1 / back.ci95[0]))
    assert forward.ci95[1] / forward.ci95[0] > alone.ci95[1] / alone.ci95[0]
    assert forward.blocks == 12


def test_the_interval_of_two_runs_adds_what_moves_the_ratio_the_same_way() -> None:
    """Up: the upper one high, or the lower one low; of a throughput the new run is upper."""
    rng = np.random.default_rng(8)
    runs = [
        Series(list(np.exp(0.2 * rng.standard_normal((12, 40)))), np.exp(wide * noise).tolist())
        for wide, noise in zip((0.1, 0.4), rng.standard_exponential((2, 12)), strict=True)
    ]
    samplers = Bootstrap(12, 1), Bootstrap(12, 2)

    for metric, upper in (("p90", 0), ("throughput", 1)):
        found = samplers[0].unpaired_ratio(runs[0], runs[1], samplers[1], metric)
        alone = [one.of(run, metric) for one, run in zip(samplers, runs, strict=True)]
        above, under = alone[upper], alone[1 - upper]
        assert found.ci95 is not None and above.ci95 is not None and under.ci95 is not None
        down = math.hypot(
            math.log(above.ci95[0] / above.value), math.log(under.ci95[1] / under.value)
        )
        assert found.value == pytest.approx(above.value / under.value)
        assert found.ci95[0] == pytest.approx(found.value * math.exp(-down))


def test_a_run_is_as_much_too_short_as_the_worse_of_two() -> None:
    """The runs of a comparison are judged apart."""
    climbing = [np.exp(np.full(20, 0.1 * place)) for place in range(40)]
    quiet = Series([np.array([1.0, 2.0, 4.0])] * 40, [1.0] * 40)
    slow = Series(climbing, [1.0] * 40)

    found = Bootstrap(40, 1).unpaired_ratio(quiet, slow, Bootstrap(40, 2), "mean")

    assert found.longer == Bootstrap(40, 2).of(slow, "mean").longer > 5


@given(
    seed=integers(0, 2**32),
    rounds=integers(5, 30),
    times=floats(0.1, 10),
    metric=sampled_from(["p50", "p90", "mean", "throughput"]),
)
@settings(max_examples=25, deadline=None)
def test_an_interval_scales_and_mirrors(seed: int, rounds: int, times: float, metric: str) -> None:
    """It holds its value, moves with the unit of one arm, and mirrors when arms swap."""
    first, second = pair(np.random.default_rng(seed), rounds, requests=15)
    scaled = Series([times * block for block in first.rounds], (times * first.seconds).tolist())
    sampler = Bootstrap(rounds, seed, replicates=199)

    plain, swapped = sampler.ratio(first, second, metric), sampler.ratio(second, first, metric)
    moved = sampler.ratio(scaled, second, metric)

    assert plain.ci95 is not None and swapped.ci95 is not None and moved.ci95 is not None
    assert plain.ci95[0] <= plain.value <= plain.ci95[1]
    assert swapped.ci95 == pytest.approx((1 / plain.ci95[1], 1 / plain.ci95[0]))
    assert moved.ci95 == pytest.approx([times * bound for bound in plain.ci95])


@given(
    blocks=lists(lists(integers(1, 9), max_size=6), min_size=1, max_size=12),
    seed=integers(0, 2**32),
    q=sampled_from(["p50", "p90", "p99"]),
)
@settings(max_examples=40, deadline=None)
def test_a_weighted_quantile_is_that_of_the_resample(
    blocks: list[list[int]], seed: int, q: str
) -> None:
    """Ties, rounds without an answer, and groups of rounds, against sorting it all."""
    series = Series([np.array(block, dtype=float) for block in blocks], [1.0] * len(blocks))
    rng = np.random.default_rng(seed)
    groups = int(rng.integers(1, len(blocks) + 1))
    weights = rng.integers(0, 3, size=(8, groups)).astype(float)
    cuts = np.arange(groups + 1) * len(blocks) // groups

    found = series.evaluate(q, weights)

    for row, value in zip(weights, found, strict=True):
        kept = [
            number
            for place, times in enumerate(row)
            for block in blocks[cuts[place] : cuts[place + 1]]
            for number in block * int(times)
        ]
        expected = percentile(np.sort(np.array(kept, dtype=float)), QUANTILES[q]) if kept else None
        assert value == expected if kept else math.isnan(value)


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
    fewer, _ = pair(np.random.default_rng(1), 10, requests=45)
    assert Bootstrap(10, 1).of(fewer, "p99").ci95 is None
    assert Bootstrap(10, 1).ratio(first, fewer, "p99").ci95 is None


def test_a_hit_ratio_of_zero_has_an_interval_within_bounds() -> None:
    """Shares stay between 0 and 1."""
    series = Series([np.array([1.0])] * 5, [1.0] * 5, [(0, 10)] * 5)
    mixed = Series([np.array([1.0])] * 5, [1.0] * 5, [(n, 10) for n in (0, 0, 0, 1, 9)])

    assert Bootstrap(5, 1).of(series, "hit_ratio").ci95 == (0.0, 0.0)
    low, high = Bootstrap(5, 1).of(mixed, "hit_ratio").ci95 or (-1, 2)
    assert (low, high > 0.2) == (0.0, True)


def test_a_hit_ratio_that_could_be_anything_has_no_interval() -> None:
    """From 0 to 1 is no information: a cache that fills until the end of the run."""
    climbing = [(10 * place, 400) for place in range(40)]
    series = Series([np.array([1.0])] * 40, [1.0] * 40, climbing)

    found = Bootstrap(40, 1).of(series, "hit_ratio")

    assert (found.ci95, found.blocks) == (None, 0)
    assert found.value == pytest.approx(0.4875)
    assert found.longer > 5
