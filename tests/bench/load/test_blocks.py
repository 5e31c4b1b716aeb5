"""Cutting the stream, and the order of play."""

from __future__ import annotations

import pytest

from valkeyctl.bench.arm import Arm
from valkeyctl.bench.load.blocks import (
    Stage,
    block_size,
    cut,
    order,
    requests_that_fit,
    rounds_that_fit,
    stages,
)
from valkeyctl.bench.plan import Plan


def test_blocks_hold_every_request_once_and_differ_by_one_at_most() -> None:
    """Also where the number does not divide."""
    for requests in (10, 12_031, 97):
        sizes = cut(requests, 10)

        assert sum(sizes) == requests
        assert max(sizes) - min(sizes) <= 1


def test_every_arm_plays_each_block_in_alternating_order() -> None:
    """A B, B A, A B: a steady drift weighs on both alike."""
    played = list(stages([3, 3, 2], 2))

    assert played == [
        Stage(0, 0, 3), Stage(1, 0, 3),
        Stage(1, 1, 3), Stage(0, 1, 3),
        Stage(0, 2, 2), Stage(1, 2, 2),
    ]  # fmt: skip
    assert order(1, 3) == [2, 1, 0]


def test_a_closed_loop_block_fills_its_share_of_the_duration() -> None:
    """Arms of 100/s and 50/s need 30 ms a request pair: 1,000 of them in 30 s."""
    assert block_size([100, 50], 30, 10, 16) == 100
    assert block_size([100, 50], 0.1, 10, 16) == 16


def test_slow_answers_get_fewer_and_longer_blocks() -> None:
    """Sixteen users at 16/s need a second an answer: 30 s hold 5 blocks of two arms, not 60."""
    assert rounds_that_fit([16, 16], 30, 60, 16) == 5
    assert rounds_that_fit([160, 160], 30, 60, 16) == 37
    assert rounds_that_fit([10_000, 10_000], 30, 60, 16) == 60
    assert rounds_that_fit([1, 1], 30, 3, 16) == 3


@pytest.mark.parametrize(
    ("rates", "held", "most"),
    [
        # Twice 10 s at what the generator can send, for two arms.
        ([], 1000.0, 10_000),
        # 8 users had 80 a second, so 200 in flight have 2,000 at best; a round of both arms
        # may take 20 s.
        ([80.0, 80.0], None, 5 * 20_000),
        # An arm without a right answer says nothing of itself.
        ([80.0, 0.0], None, 5 * 40_000),
        ([80.0, 80.0], 1000.0, 10_000),
        # Nobody knows, and no process has ever sent more.
        ([], None, 500_000),
        # One a round is the least.
        ([], 0.001, 5),
    ],
)
def test_a_schedule_that_cannot_be_kept_ends_in_bounded_time(
    rates: list[float], held: float | None, most: int
) -> None:
    """By what the generator has the processor time for, and what the target does at best."""
    plan = Plan.of(rate=900_000.0, duration=10.0, rounds=5, arms=[Arm("a"), Arm("b")])

    assert requests_that_fit(plan, rates, held, 5) == most


def test_who_says_how_many_requests_there_are_gets_them() -> None:
    """However long it takes; and a closed loop asks for no more than it gets."""
    for plan in (Plan.of(rate=1e6, requests=1000, rounds=5), Plan.of(users=4)):
        assert requests_that_fit(plan, [1.0], 1.0, 5) is None
