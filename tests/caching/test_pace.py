"""So many a second, evenly."""

from __future__ import annotations

import pytest

from tests.caching.moving import RushingClock
from valkeyctl.caching.pace import Pacer


async def test_turns_come_evenly() -> None:
    """Many ids at once take as long as one by one."""
    clock = RushingClock()
    began = clock()
    pacer = Pacer(10, clock=clock, sleep=clock.sleep)

    for ids in (1, 5, 1):
        await pacer.turn(ids)

    assert clock() - began == pytest.approx(0.6)


async def test_a_pause_is_no_reserve() -> None:
    """After an hour without work there is no burst."""
    clock = RushingClock()
    pacer = Pacer(10, clock=clock, sleep=clock.sleep)
    await pacer.turn()
    clock.now += 3600
    began = clock()

    for _ in range(3):
        await pacer.turn()

    assert clock() - began == pytest.approx(0.2)


async def test_without_a_bound_nobody_waits() -> None:
    """Not even for a turn of the loop."""
    clock = RushingClock()
    pacer = Pacer(None, clock=clock, sleep=clock.sleep)

    await pacer.turn(1000)

    assert clock.slept == []
