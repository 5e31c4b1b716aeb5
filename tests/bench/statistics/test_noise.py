"""The noise floor that equal arms set."""

from __future__ import annotations

import math

import numpy as np
import pytest

from valkeyctl.bench.statistics.intervals import Estimate
from valkeyctl.bench.statistics.noise import noise_floor


def test_one_pair_sets_the_floor_by_the_reach_of_its_interval() -> None:
    """The farther bound counts, on whichever side it lies."""
    found = noise_floor([Estimate(0.99, (0.95, 1.02))])

    assert found is not None
    assert found.change == pytest.approx(1 / 0.95 - 1)
    assert (found.pairs, found.clean) == (1, True)


def test_equal_arms_that_differ_are_no_clean_floor() -> None:
    """An interval that excludes the truth says that the machine was not even."""
    found = noise_floor([Estimate(1.1, (1.02, 1.2)), Estimate(1.0, None)])

    assert found is not None
    assert found.change == pytest.approx(0.2)
    assert not found.clean


def test_a_pair_without_an_interval_sets_the_floor_by_its_ratio() -> None:
    """In either direction; a bound of 0 has no logarithm and is left out."""
    for alone in (Estimate(1.1, None), Estimate(1 / 1.1, None), Estimate(1.1, (0.0, 1.05))):
        found = noise_floor([alone])

        assert found is not None
        assert found.change == pytest.approx(0.1)


@pytest.mark.parametrize(("ci95", "clean"), [((1.0, 1.2), True), ((1.001, 1.2), False)])
def test_an_interval_that_ends_at_no_difference_holds_it(
    ci95: tuple[float, float], clean: bool
) -> None:
    """The bounds belong to the interval, as in the verdicts."""
    found = noise_floor([Estimate(1.1, ci95)])

    assert found is not None
    assert found.clean == clean


@pytest.mark.parametrize("pairs", [5, 12, 40])
def test_many_pairs_predict_the_next_one(pairs: int) -> None:
    """In 95 % of 2,000 cases, to two points, the next pair lies below the floor."""
    logs = 0.03 * np.random.default_rng(pairs).standard_normal((2000, pairs + 1))
    below = 0

    for row in logs:
        found = noise_floor([Estimate(math.exp(one), None) for one in row[:-1]])
        assert found is not None
        below += abs(row[-1]) <= math.log1p(found.change)

    assert 0.93 <= below / 2000 <= 0.97


@pytest.mark.parametrize(("pairs", "t"), [(5, 2.571), (10, 2.228), (30, 2.042)])
def test_the_floor_of_many_pairs_is_a_quantile_of_student(pairs: int, t: float) -> None:
    """As tables have it, times the root mean square of what the pairs differ by."""
    found = noise_floor([Estimate(math.exp((-1) ** place * 0.03), None) for place in range(pairs)])

    assert found is not None
    assert math.log1p(found.change) == pytest.approx(t * 0.03, rel=0.01)


@pytest.mark.parametrize("value", [0.0, math.inf, math.nan])
def test_no_usable_pair_is_no_floor(value: float) -> None:
    """A ratio without answers on one side says nothing."""
    assert noise_floor([]) is None
    assert noise_floor([Estimate(value, None)]) is None
