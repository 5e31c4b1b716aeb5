"""What is due when, by a clock that a test moves."""

from __future__ import annotations

import asyncio

from tests.caching.moving import MovingClock, settle
from valkeyctl.caching.agenda import Agenda


async def test_things_are_due_in_their_time() -> None:
    """Soonest first, and so many at once."""
    clock = MovingClock()
    agenda: Agenda[str] = Agenda(clock=clock, sleep=clock.sleep)
    for thing, delay in (("c", 3), ("a", 1), ("b", 2), ("d", 60)):
        agenda.put(thing, delay)
    due = asyncio.ensure_future(agenda.due(10))
    await settle()
    assert not due.done()

    clock.move(1)
    assert await due == ["a"]
    clock.move(5)
    assert await agenda.due(1) == ["b"]
    assert await agenda.due(10) == ["c"]


async def test_a_thing_is_there_once() -> None:
    """At the time that was said last."""
    clock = MovingClock()
    agenda: Agenda[str] = Agenda(clock=clock, sleep=clock.sleep)
    agenda.put("a", 1)
    agenda.put("a", 5)
    agenda.put("b", 2)
    agenda.put("c", 2)
    agenda.drop("c")
    agenda.drop("never there")

    clock.move(2)
    assert await agenda.due(10) == ["b"]
    clock.move(3)
    assert await agenda.due(10) == ["a"]


async def test_what_is_put_wakes_who_waits() -> None:
    """Also where nothing was there, or only later things."""
    clock = MovingClock()
    agenda: Agenda[str] = Agenda(clock=clock, sleep=clock.sleep)
    first = asyncio.ensure_future(agenda.due(10))
    await settle()
    agenda.put("a", 0)
    assert await first == ["a"]

    agenda.put("late", 100)
    second = asyncio.ensure_future(agenda.due(10))
    await settle()
    agenda.put("soon", 0)
    assert await second == ["soon"]


async def test_waiting_can_be_given_up() -> None:
    """And leaves nothing behind."""
    clock = MovingClock()
    agenda: Agenda[str] = Agenda(clock=clock, sleep=clock.sleep)
    agenda.put("late", 100)
    before = asyncio.all_tasks()
    waiting = asyncio.ensure_future(agenda.due(10))
    await settle()

    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)

    assert asyncio.all_tasks() == before
