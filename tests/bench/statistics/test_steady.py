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
