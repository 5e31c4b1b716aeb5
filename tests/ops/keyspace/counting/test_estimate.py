"""Intervals that hold the truth as often as they say, also where few keys carry much."""

from __future__ import annotations

import random

import pytest

from valkeyctl.ops.keyspace.counting.estimate import Drawn, Estimates, Part, Ratio

KEYS = 1_000_000


def test_intervals_of_runs_hold_the_truth() -> None:
    """Over 400 samples of uneven runs the coverage is within a few points of 95 %."""
    rng = random.Random(3)
    held = 0
    for _ in range(400):
        drawn, ratio = Drawn(), Ratio()
        for _ in range(200):
            size = rng.randint(40, 60)
            # Half of the runs lie where the group is twice as dense: a cluster effect.
            density = rng.choice([0.1, 0.2])
            drawn.add(size, 1.0)
            ratio.add(sum(rng.random() < density for _ in range(size)), 1, size, 1.0)
        _, (low, high) = ratio.estimate(drawn, KEYS, 1)
        held += low <= 150_000 <= high

    assert 0.92 <= held / 400 <= 0.98


def test_a_few_big_keys_make_a_wide_interval() -> None:
    """Where one run in fifty holds a big key, the truth is inside, and mostly above the middle."""
    rng = random.Random(5)
    held = 0
    for _ in range(300):
        drawn, estimates = Drawn(), Estimates()
        for _ in range(200):
            big = rng.random() < 0.02
            drawn.add(50, 1.0)
            if big:
                estimates.add(Part(1, 1_000_000, 1, 1_000_000), 50, 1.0)
        measured = estimates.measure(drawn, KEYS)
        assert measured.ci95 is not None
        low, high = measured.ci95.memory_bytes
        held += low <= 400_000_000 <= high  # 0.02 of 20,000 runs, a million bytes each
        assert high - measured.memory > measured.memory - low

    assert held / 300 >= 0.93


def test_what_was_not_seen_may_be_there() -> None:
    """No key without expiry among 10,000 of a million: there may be 3.7 in 10,000."""
    drawn, estimates = Drawn(), Estimates()
    for _ in range(200):
        drawn.add(50, 1.0)
        estimates.add(Part(50, 5_000, 0, 100), 50, 1.0)

    measured = estimates.measure(drawn, KEYS, unseen=7_000)

    assert measured.ci95 is not None
    assert measured.without_expiry == 0
    assert measured.ci95.without_expiry[0] == 0
    assert measured.ci95.without_expiry[1] == pytest.approx(369, rel=0.02)
    assert measured.ci95.keys[1] == KEYS
    assert measured.ci95.memory_bytes[1] > 100_000_000 + 7_000


def test_runs_of_unequal_slots_count_alike() -> None:
    """On a Cluster the estimate is the mean of the runs' means, whatever their sizes."""
    drawn, ratio = Drawn(), Ratio()
    for size, amount in ((100, 10), (10, 5), (1, 0)):
        drawn.add(size, 1 / size)
        ratio.add(amount, 1, size, 1 / size)

    estimate, _ = ratio.estimate(drawn, 3_000, 1)

    assert estimate == round(3_000 * (0.1 + 0.5 + 0.0) / 3)


def test_parts_are_put_together() -> None:
    """A branch holds what its branches hold."""
    part = Part()
    part.add(10, -1)
    part.add(30, 5)

    assert part.plus(Part(1, 20, 0, 20)) == Part(3, 60, 1, 30)
