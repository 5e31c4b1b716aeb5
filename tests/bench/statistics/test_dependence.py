"""How many blocks a series of rounds is worth."""

from __future__ import annotations

import numpy as np
import pytest

from valkeyctl.bench.statistics.dependence import LEAST_BLOCKS, _widening, dependence, lag1


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


@pytest.mark.parametrize("values", [[1.0] * 30, [3.0, 1.0, 2.0, 5.0, 4.0]])
def test_what_cannot_be_measured_is_taken_for_independent(values: list[float]) -> None:
    """No spread, or too few rounds."""
    assert dependence(np.array(values)).autocorrelation == 0.0
    assert dependence(np.array(values)).blocks == len(values)
