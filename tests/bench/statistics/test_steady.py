"""Where a run settles: filled caches, noisy machines, and what never settles."""

from __future__ import annotations

import numpy as np
import pytest

from valkeyctl.bench.statistics.steady import Watched, steady_from


def watched(
    rng: np.random.Generator, rounds: int, cold: int = 0, neighbour: float = 0.0
) -> list[Watched]:
    """Return a cached and an uncached arm; the cache is empty for *cold* rounds."""
    share = np.where(np.arange(rounds) < cold, 0.1, 0.6)
    busy = neighbour * (rng.random(rounds) < 0.1)
    latency = 5.0 * np.exp(busy + 0.04 * rng.standard_normal((2, rounds)))
    return [
        Watched.latency("uncached", latency[0].tolist()),
        Watched.latency("cached", (latency[1] * (1.3 - share)).tolist()),
        Watched.hit_ratio("cached", (rng.binomial(100, share) / 100).tolist()),
    ]


@pytest.mark.parametrize("cold", [1, 2, 5, 12])
def test_a_cache_that_fills_is_found_within_one_round(cold: int) -> None:
    """In at least 90 of 100 runs, whose noise differs."""
    rng = np.random.default_rng(cold)

    found = [steady_from(watched(rng, 40, cold)) for _ in range(100)]

    near = [one for one in found if one.steady and abs(one.first_round - cold) <= 1]
    assert len(near) >= 90
    assert "settled after" in near[0].reason


@pytest.mark.parametrize(("rounds", "most"), [(10, 20), (20, 9), (60, 4)])
def test_a_steady_run_is_seldom_cut(rounds: int, most: int) -> None:
    """Of 150 stationary runs, with three series each."""
    rng = np.random.default_rng(rounds)

    found = [steady_from(watched(rng, rounds)) for _ in range(150)]

    assert sum(one.first_round > 0 or not one.steady for one in found) <= most * 1.5


def test_a_burst_in_the_middle_is_no_cold_start() -> None:
    """What slows a round down is not the beginning of the run."""
    rng = np.random.default_rng(5)
    series = watched(rng, 40)
    values = list(series[0].values)
    values[8:12] = [value + 2.0 for value in values[8:12]]

    found = steady_from([Watched("latency", values, 0.05), *series[1:]])

    assert (found.first_round, found.steady) == (0, True)


def test_what_still_rises_is_not_steady_and_nothing_is_dropped() -> None:
    """A hit ratio that climbs to the end has no steady figure."""
    rising = np.linspace(0.2, 0.7, 40) + 0.01 * np.random.default_rng(1).standard_normal(40)

    found = steady_from([Watched.hit_ratio("cached", rising.tolist())])

    assert (found.first_round, found.steady) == (0, False)
    assert "hit ratio of arm cached" in found.reason


def test_a_run_that_takes_half_its_rounds_to_settle_is_not_cut() -> None:
    """Half of the rounds is too much to drop."""
    late = [0.1] * 20 + [0.6] * 20

    found = steady_from([Watched.hit_ratio("cached", late)])

    assert (found.first_round, found.steady) == (0, False)


def test_a_change_that_does_not_matter_is_not_dropped() -> None:
    """A tenth of a per cent, however certain."""
    first = [1.001, *([1.0] * 19)]

    assert steady_from([Watched.latency("a", first)]).first_round == 0
    assert steady_from([Watched.latency("a", [2.0, *first[1:]])]).first_round == 1


def test_what_matters_is_five_per_cent_of_latency_and_two_points_of_hit_ratio() -> None:
    """A first round that is off by less is kept, by more is dropped."""
    for first, dropped in ((1.04, 0), (1.06, 1)):
        found = steady_from([Watched.latency("a", [first, *([1.0] * 19)])])
        assert found.first_round == dropped
    for ratio, dropped in ((0.515, 0), (0.525, 1)):
        found = steady_from([Watched.hit_ratio("a", [ratio, *([0.5] * 19)])])
        assert found.first_round == dropped


@pytest.mark.parametrize(("off", "dropped"), [(5.0, 0), (7.0, 1), (-5.0, 0), (-7.0, 1)])
def test_the_beginning_is_dropped_from_four_standard_errors_on(off: float, dropped: int) -> None:
    """Of 39 rounds of -1, 0 and 1 the robust deviation is 1.48: the first may be off by 6."""
    rest = [1.0, -1.0, 0.0] * 13

    assert steady_from([Watched("x", [off, *rest], 0.05)]).first_round == dropped
    assert steady_from([Watched("x", [off, *rest], 8.0)]).first_round == 0


def test_where_most_rounds_are_equal_the_others_still_say_how_far_chance_goes() -> None:
    """The median deviation is 0 then: the first of four such rounds is no cold start."""
    values = np.full(40, 0.5)
    values[[0, 25, 30, 35]] = 0.6

    assert steady_from([Watched.hit_ratio("a", values.tolist())]).first_round == 0


def test_rounds_that_remember_are_seldom_cut_or_called_unsteady() -> None:
    """A slow wave is no cold start and no trend: of 100 steady runs with r = 0.8, six at most."""
    wrong = 0
    for seed in range(100):
        values = np.random.default_rng(seed).standard_normal(60)
        for place in range(1, 60):
            values[place] += 0.8 * values[place - 1]
        found = steady_from([Watched("x", values.tolist(), 0.05)])
        wrong += found.first_round > 0 or not found.steady

    assert wrong <= 6


def test_ten_rounds_are_the_fewest_to_look_at() -> None:
    """Nine are said to be too few."""
    ten = [2.0, *([1.0] * 9)]

    assert steady_from([Watched.latency("a", ten)]).first_round == 1
    assert steady_from([Watched.latency("a", ten[:9])]).first_round == 0
    assert "9 rounds are too few" in steady_from([Watched.latency("a", ten[:9])]).reason


@pytest.mark.parametrize("seed", range(4))
def test_bursts_do_not_hide_a_cold_start(seed: int) -> None:
    """However long a neighbour's bursts are, they count as eight deviations."""
    values = np.random.default_rng(seed).standard_normal(40)
    values[:5] += 10
    values[[12, 25, 33]] += 1000

    assert steady_from([Watched("x", values.tolist(), 0.5)]).first_round in (4, 5)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("sign", "way"), [(1, "rising"), (-1, "falling")])
def test_a_trend_beneath_noise_is_found_and_named(seed: int, sign: int, way: str) -> None:
    """2.5 deviations over 60 rounds; it must matter, too."""
    noise = np.random.default_rng(seed).standard_normal(60)
    values = (sign * (np.linspace(0, 2.5, 60) + noise)).tolist()

    found = steady_from([Watched("x", values, 1.0)])

    assert (found.first_round, found.steady) == (0, False)
    assert found.reason == f"the x was still {way} at the end of the run"
    assert steady_from([Watched("x", values, 4.0)]).steady


def test_a_trend_is_the_change_from_the_first_round_to_the_last() -> None:
    """Twenty rounds of 0.05 each change by 0.95, which a margin of 0.96 lets pass."""
    line = (0.05 * np.arange(20)).tolist()

    assert steady_from([Watched("x", line, 0.96)]).steady
    assert not steady_from([Watched("x", line, 0.94)]).steady
    half = steady_from([Watched("x", line, 0.5)])
    assert half.reason == "the x did not settle in the first half of the run"


def test_a_cold_start_is_no_trend() -> None:
    """What is left after it is looked at, and the latest of several beginnings holds."""
    rng = np.random.default_rng(9)
    early, late = (
        np.where(np.arange(60) < cold, 3.0, 0.0) + 0.1 * rng.standard_normal(60) for cold in (4, 11)
    )

    found = steady_from(
        [Watched("early", early.tolist(), 0.05), Watched("late", late.tolist(), 0.05)]
    )

    assert (found.first_round, found.steady) == (11, True)
    assert found.reason == "the late settled after 11 of 60 rounds"


@pytest.mark.parametrize(
    "series",
    [
        [],
        [Watched.hit_ratio("a", [0.5] * 9)],
        [Watched.hit_ratio("a", [float("nan")] * 20)],
        [Watched.hit_ratio("a", [float("nan"), *([0.5] * 19)])],
        [Watched.latency("a", [0.0] * 20)],
    ],
)
def test_where_there_is_nothing_to_see_all_rounds_count(series: list[Watched]) -> None:
    """Too few rounds, no answers, or a round without any."""
    found = steady_from(series)

    assert (found.first_round, found.steady) == (0, True)


def test_series_of_different_runs_are_refused() -> None:
    """They cannot be of the same rounds."""
    with pytest.raises(ValueError, match="10, 20"):
        steady_from([Watched("a", [1.0] * 10, 0.1), Watched("b", [1.0] * 20, 0.1)])
