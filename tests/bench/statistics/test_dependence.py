"""How many blocks a series of rounds is worth."""

from __future__ import annotations

import numpy as np
import pytest

from valkeyctl.bench.statistics.dependence import (
    LEAST_BLOCKS,
    _longer,
    _widening,
    dependence,
    lag1,
)


def remembering(seed: int, length: int, memory: float) -> np.ndarray:
    """Return an AR(1) series."""
    values = np.random.default_rng(seed).standard_normal(length)
    for place in range(1, length):
        values[place] += memory * values[place - 1]
    return values


def test_independent_rounds_are_resampled_one_by_one() -> None:
    """One in ten may look correlated at each of four scales; most do not."""
    found = [dependence(remembering(seed, 40, 0.0)) for seed in range(200)]

    alone = [one for one in found if one.autocorrelation == 0]
    assert len(alone) >= 150
    assert {(one.blocks, one.widening) for one in alone} == {(40, 1.0)}


def test_rounds_correlate_when_chance_alone_would_do_it_in_one_run_of_ten() -> None:
    """By the normal distribution, whose 90 % point is 1.2816, and the bias of -1/n."""
    runs = [remembering(seed, 12, 0.2) for seed in range(300)]
    errors = np.array([(lag1(run) + 1 / 12) * np.sqrt(12) for run in runs])

    found = np.array([dependence(run).autocorrelation > 0 for run in runs])

    assert (found == (errors >= 1.2816)).all()
    assert 20 < found.sum() < 280


def test_fewer_than_ten_rounds_are_too_few_to_measure_it() -> None:
    """Ten that rise are seen to; nine are taken as they are."""
    assert dependence(np.arange(10.0)).autocorrelation > 0.5
    assert dependence(np.arange(9.0)).autocorrelation == 0.0


def test_the_autocorrelation_is_taken_a_standard_error_above_its_likely_value() -> None:
    """The likely one is (n r + 1) / (n - 3); in 0.97 it ends."""
    values = remembering(7, 16, 0.6)
    likely = (16 * lag1(values) + 1) / 13

    found = dependence(values)

    assert 0.3 < likely < 0.7
    assert found.autocorrelation == pytest.approx(likely + ((1 - likely**2) / 16) ** 0.5)
    assert dependence(np.arange(400.0)).autocorrelation == 0.97


def test_blocks_are_as_long_as_the_autocorrelation_asks() -> None:
    """8 r / (1 - r^2) rounds: of 39 rounds, too few for groups of two, nine or so blocks."""
    found = [dependence(remembering(seed, 39, 0.3)) for seed in range(60)]

    correlated = [one for one in found if 0 < one.autocorrelation < 0.5]
    assert len(correlated) > 10
    for one in correlated:
        rounds = round(8 * one.autocorrelation / (1 - one.autocorrelation**2))
        assert one.blocks == 39 // rounds > LEAST_BLOCKS


def test_neighbours_of_equal_values_do_not_correlate() -> None:
    """Without a spread there is nothing to correlate; of a rising series most is left."""
    assert lag1(np.ones(10)) == 0.0
    assert lag1(np.array([1.0, 2.0, 3.0, 4.0])) == pytest.approx(0.25)


@pytest.mark.parametrize("memory", [0.5, 0.8])
def test_rounds_that_remember_are_joined_and_the_interval_is_widened(memory: float) -> None:
    """Fewer blocks, never below five, and an autocorrelation on the safe side."""
    found = [dependence(remembering(seed, 120, memory)) for seed in range(100)]

    assert all(LEAST_BLOCKS <= one.blocks <= 60 for one in found)
    assert np.median([one.autocorrelation for one in found]) >= 0.95 * memory
    assert all(one.widening >= 1 for one in found)


def test_slow_noise_is_found_beneath_quick_noise() -> None:
    """Neighbouring rounds hardly correlate; the means of several do."""
    slow, quick = (np.array([remembering(s, 200, m) for s in range(60)]) for m in (0.95, 0.0))
    mixed = slow / slow.std() + 2 * quick[:, ::-1]

    assert np.median([lag1(row) for row in mixed]) < 0.3
    assert np.mean([dependence(row).autocorrelation > 0.3 for row in mixed]) > 0.75


def test_the_widening_is_that_of_the_whole_covariance() -> None:
    """The closed form equals summing up the matrix of an AR(1) process."""
    r, n, m = 0.6, 40, 8
    places = np.arange(n)
    covariance = r ** np.abs(places[:, None] - places)
    means = np.repeat(np.eye(m), n // m, axis=1) * m / n
    blocks = means @ covariance @ means.T
    whole = blocks.mean()
    apparent = (np.trace(blocks) / m - whole) / (m - 1)

    assert _widening(r, n, m) == pytest.approx((whole / apparent) ** 0.5)


def test_rounds_that_remember_are_worth_fewer_independent_ones() -> None:
    """At r = 0.9, 19 rounds are worth one: a run of 38 would have to be 2.5 times as long."""
    assert _longer(0.9, 38) == pytest.approx(2.5)
    assert _longer(0.9, 200) == 1.0
    assert dependence(np.arange(40.0)).longer > 5
    assert dependence(remembering(3, 200, 0.3)).longer == 1.0


@pytest.mark.parametrize("values", [[1.0] * 30, [3.0, 1.0, 2.0, 5.0, 4.0]])
def test_what_cannot_be_measured_is_taken_for_independent(values: list[float]) -> None:
    """No spread, or too few rounds."""
    assert dependence(np.array(values)).autocorrelation == 0.0
    assert dependence(np.array(values)).blocks == len(values)
