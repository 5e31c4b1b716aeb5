"""An invalidation that has returned has been heard by every near cache."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest

from tests.caching.conftest import MortalServer
from tests.caching.near.reader import KEYS, Reader, connections
from tests.caching.near.test_near import commands
from valkeyctl.caching import ValkeyClient
from valkeyctl.caching.near import Quorum
from valkeyctl.caching.near.quorum import _OPEN
from valkeyctl.errors import UsageError


class Invalidator:
    """A process that invalidates, and has no near cache."""

    def __init__(self, client: ValkeyClient, *, lease: float = 0.05) -> None:
        self.client = client
        self.quorum = Quorum(client, "app", lease=lease)

    async def invalidate(self, namespace: str = "m") -> bool:
        """Do as `CacheService.invalidate`."""
        announcement = self.quorum.announce("namespace", namespace)
        _, holders = await self.client.pipeline(
            [("UNLINK", *KEYS.versions(namespace)), announcement.command]
        )
        assert isinstance(holders, int)
        return await self.quorum.settle(holders, announcement)

    async def invalidate_tag(self, tag: str) -> bool:
        announcement = self.quorum.announce("tag", tag)
        _, holders = await self.client.pipeline(
            [("UNLINK", *KEYS.tag_versions(tag)), announcement.command]
        )
        assert isinstance(holders, int)
        return await self.quorum.settle(holders, announcement)


@pytest.fixture
async def invalidator(server: MortalServer) -> AsyncIterator[Invalidator]:
    """One on a server that can be hurt."""
    async with ValkeyClient(server.endpoint) as client:
        yield Invalidator(client)


@pytest.fixture
async def readers(server: MortalServer) -> AsyncIterator[list[Reader]]:
    """Three near caches that hold an entry of each of two namespaces."""
    async with AsyncExitStack() as stack:
        made = []
        for _ in range(3):
            client = await stack.enter_async_context(ValkeyClient(server.endpoint))
            for namespace in ("m", "n"):
                await client.set(KEYS.place(namespace, "x").key, "one", ttl=60)
            made.append(Reader(client))
            await made[-1].tracks()
        for reader in made:
            await reader.holds("x", tags=(b"models",))
            await reader.holds("x", "n")
        yield made


def holding(readers: list[Reader]) -> list[tuple[bool, bool]]:
    """Return for each whether it holds the entry of either namespace."""
    return [tuple("x" in reader.near._spaces[name].entries for name in "mn") for reader in readers]  # type: ignore[misc]


async def test_without_near_caches_nobody_is_waited_for(
    invalidator: Invalidator, server: MortalServer
) -> None:
    """One command more, whatever was invalidated, and no connection."""
    before = await commands(invalidator.client)

    assert await invalidator.invalidate()

    assert await commands(invalidator.client) - before == 3  # UNLINK, PUBLISH and the count
    assert (await invalidator.client.info("stats"))["total_connections_received"] == "2"


async def test_who_has_invalidated_knows_that_all_have_dropped_it(
    invalidator: Invalidator, readers: list[Reader]
) -> None:
    """In a fraction of the lease, the first time too; what was not meant stays."""
    for _ in range(5):
        for reader in readers:
            await reader.holds("x")
        began = time.perf_counter()

        assert await invalidator.invalidate()

        assert holding(readers) == [(False, True)] * 3
        assert time.perf_counter() - began < 0.045


async def test_a_tag_is_dropped_by_all(invalidator: Invalidator, readers: list[Reader]) -> None:
    """And only what carries it."""
    assert await invalidator.invalidate_tag("models")
    assert holding(readers) == [(False, True)] * 3

    assert await invalidator.invalidate_tag("others")
    assert holding(readers) == [(False, True)] * 3


async def test_a_near_cache_may_invalidate_too(readers: list[Reader]) -> None:
    """It is one of those that it waits for."""
    assert await Invalidator(readers[0].client).invalidate()

    assert holding(readers) == [(False, True)] * 3


async def test_many_at_a_time_do_not_mix_their_acknowledgements(
    invalidator: Invalidator, readers: list[Reader]
) -> None:
    """The first ones, too, which subscribe first."""
    outcomes = await asyncio.gather(*(invalidator.invalidate() for _ in range(20)))

    assert outcomes == [True] * 20
    assert invalidator.quorum._counts == {}
    assert (await invalidator.client.info("clients"))["pubsub_clients"] == "4"


async def test_one_that_does_not_answer_is_waited_for_until_its_lease_is_over(
    server: MortalServer, invalidator: Invalidator, readers: list[Reader]
) -> None:
    """It serves nothing then; the others have dropped it long before."""
    await invalidator.invalidate()
    async with ValkeyClient(server.endpoint) as deaf:
        await deaf.subscriber.subscribe("app:~near", lambda _: None)
        for reader in readers:
            await reader.holds("x")
        began = time.perf_counter()

        assert not await invalidator.invalidate()

        assert 0.045 < time.perf_counter() - began < 0.2
    assert holding(readers) == [(False, True)] * 3
    assert invalidator.quorum._counts == {}


async def test_without_an_answer_of_the_server_all_leases_are_waited_out(
    invalidator: Invalidator,
) -> None:
    """How many near caches there are is not known then."""
    began = time.perf_counter()

    assert not await invalidator.quorum.settle(None, invalidator.quorum.announce("tag", "t"))

    assert 0.045 < time.perf_counter() - began < 0.2


async def test_who_may_not_listen_waits_the_leases_out(
    server: MortalServer, invalidator: Invalidator, readers: list[Reader]
) -> None:
    """A user without the right to the acknowledgements."""
    rules = ("on", "nopass", "+@all", "~*", "resetchannels", "&app:~near")
    await invalidator.client.execute("ACL", "SETUSER", "half", *rules)
    half = replace(server.endpoint, username="half", password="x")
    async with ValkeyClient(half) as client:
        began = time.perf_counter()

        assert not await Invalidator(client).invalidate()

        assert time.perf_counter() - began > 0.045
        assert holding(readers) == [(False, True)] * 3


async def test_a_lost_subscription_is_made_again(
    invalidator: Invalidator, readers: list[Reader]
) -> None:
    """Until then an invalidation waits for the leases at most, and is right all the same."""
    await invalidator.invalidate()
    for line in await connections(invalidator.client, tracking=False):
        await invalidator.client.execute("CLIENT", "KILL", "ID", line["id"])

    async with asyncio.timeout(5):
        while not await invalidator.invalidate():
            assert holding(readers) == [(False, True)] * 3

    assert invalidator.quorum._subscription is not None
    assert invalidator.quorum._subscription.active


async def test_announcements_that_nobody_settles_are_forgotten(
    invalidator: Invalidator, readers: list[Reader]
) -> None:
    """A pipeline that failed must not cost memory for ever."""
    await invalidator.invalidate()
    for _ in range(_OPEN + 10):
        invalidator.quorum.announce("tag", "t")

    assert len(invalidator.quorum._counts) == _OPEN
    assert await invalidator.invalidate()


@pytest.mark.parametrize("name", ["", "two words"])
async def test_what_cannot_be_announced_is_refused(invalidator: Invalidator, name: str) -> None:
    """Near caches would not know what is meant."""
    with pytest.raises(UsageError):
        invalidator.quorum.announce("tag", name)
