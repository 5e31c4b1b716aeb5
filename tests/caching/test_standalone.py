"""The slots of one server: none is ever lost, and none is given to two."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.caching.conftest import MortalServer
from tests.conftest import free_port
from valkeyctl.caching.driver.channel import Channel
from valkeyctl.caching.driver.standalone import Standalone
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import DeadlineError, UnreachableError, UsageError


@pytest.fixture
async def link(endpoint: Endpoint) -> AsyncIterator[Standalone]:
    """A link of a single slot."""
    single = Standalone(endpoint, size=1, connect_timeout=1.0)
    yield single
    await single.aclose()


async def test_waiting_callers_are_served_first_come_first(link: Standalone) -> None:
    """Fifty callers share the slot, each gets its own answer."""
    answers = await asyncio.gather(*(link.exchange([("ECHO", n)]) for n in range(50)))

    assert answers == [[b"%d" % n] for n in range(50)]


async def test_a_caller_cancelled_while_it_is_handed_a_slot_passes_it_on(
    link: Standalone,
) -> None:
    """The turn between being given a connection and knowing it is a turn like any other."""
    held = await link._take()
    waiting = asyncio.create_task(link.exchange([("PING",)]))
    await asyncio.sleep(0)
    link._give_back(held)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)

    assert await asyncio.wait_for(link.exchange([("PING",)]), 1) == [b"PONG"]


async def test_callers_cancelled_at_any_moment_never_lose_the_slot(link: Standalone) -> None:
    """Connecting, sending, reading or waiting: the next caller finds a clean connection."""
    for turns in range(12):
        calls = [asyncio.create_task(link.exchange([("ECHO", "wrong")])) for _ in range(3)]
        for _ in range(turns):
            await asyncio.sleep(0)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)

        assert await asyncio.wait_for(link.exchange([("ECHO", turns)]), 1) == [b"%d" % turns]


async def test_a_word_that_cannot_be_sent_harms_nobody(link: Standalone) -> None:
    """The connection is still in step afterwards."""
    with pytest.raises(UsageError, match="was not asked"):
        await link.exchange([("ECHO", None)])  # type: ignore[list-item]

    assert await link.exchange([("PING",)]) == [b"PONG"]


async def test_a_connection_that_takes_too_long_is_a_deadline_error(server: MortalServer) -> None:
    """The message says how long; the slot is free again."""
    server.freeze()
    link = Standalone(server.endpoint, size=1, connect_timeout=0.05)

    for _ in range(2):
        with pytest.raises(DeadlineError, match=r"no connection to .* within 50 ms"):
            await link.exchange([("PING",)])

    server.thaw()
    assert await link.exchange([("PING",)]) == [b"PONG"]
    await link.aclose()


async def test_a_caller_served_in_the_turn_of_closing_opens_nothing(endpoint: Endpoint) -> None:
    """redis-py would silently connect again for it."""
    link = Standalone(endpoint, size=1, connect_timeout=1.0)
    held = await link._take()
    waiting = asyncio.create_task(link.exchange([("PING",)]))
    await asyncio.sleep(0)
    link._give_back(held)

    await link.aclose()

    with pytest.raises(UnreachableError, match="closed"):
        await waiting
    assert not held.is_open


async def test_a_connection_that_comes_back_first_serves_before_a_new_one_is_made(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Making one takes many turns of the event loop, and a caller's budget may be over before."""
    link = Standalone(endpoint, size=2, connect_timeout=1.0)
    held = await link._take()

    async def hang(_: Channel) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(Channel, "open", hang)
    waiting = asyncio.create_task(link.exchange([("PING",)]))
    await asyncio.sleep(0)
    link._give_back(held)

    assert await asyncio.wait_for(waiting, 1) == [b"PONG"]
    await link.aclose()


async def test_a_server_that_takes_no_more_clients_serves_those_it_has(
    server: MortalServer,
) -> None:
    """Whoever would need a new connection waits for one that is in use."""
    link = Standalone(server.endpoint, size=10, connect_timeout=1.0)
    await link.exchange([("CONFIG", "SET", "maxclients", 1)])

    answers = await asyncio.gather(*(link.exchange([("ECHO", n)]) for n in range(20)))

    assert answers == [[b"%d" % n] for n in range(20)]
    await link.aclose()


async def test_every_waiting_caller_hears_that_nothing_listens() -> None:
    """Each of an attempt of its own; nobody waits for a connection that will not come."""
    link = Standalone(Endpoint(port=free_port()), size=2, connect_timeout=1.0)

    outcomes = await asyncio.wait_for(
        asyncio.gather(*(link.exchange([("PING",)]) for _ in range(9)), return_exceptions=True), 2
    )

    assert [type(outcome) for outcome in outcomes] == [UnreachableError] * 9
    assert len({id(outcome) for outcome in outcomes}) == 9
    await link.aclose()
