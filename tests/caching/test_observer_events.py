"""What observers hear of a real cache on a real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.caching.conftest import MortalServer
from tests.caching.test_observer import Raising, Recording
from valkeyctl.caching import CacheService, NamespacePolicy, ValkeyClient
from valkeyctl.errors import ValkeyctlError


@pytest.fixture
def heard() -> Recording:
    """An observer that remembers."""
    return Recording()


@pytest.fixture
async def cache(client: ValkeyClient, heard: Recording) -> AsyncIterator[CacheService]:
    """A cache that is observed."""
    policies = {
        "metadata": NamespacePolicy(60),
        "stale": NamespacePolicy(0.05, jitter=0, stale=60),
        "small": NamespacePolicy(60, max_value_bytes=10),
    }
    async with CacheService(
        client, app="t", policies=policies, budget=5, observers=[heard]
    ) as made:
        yield made


def kinds(heard: Recording) -> list[tuple[object, ...]]:
    """Return the events without what varies from run to run: times and sizes."""
    short = {"read": 3, "wrote": 3, "failed": 4, "breaker": 2}
    picked = {"loaded": (0, 1, 3, 4), "invalidated": (0, 1, 3)}
    return [
        tuple(event[place] for place in picked[str(event[0])])
        if event[0] in picked
        else event[: short[str(event[0])]]
        for event in heard.events
    ]


async def test_a_load_and_a_hit_are_told_with_sizes_and_seconds(
    cache: CacheService, heard: Recording
) -> None:
    """In the order in which they happen."""

    async def load() -> str:
        return "x" * 1000

    await cache.get_or_load("metadata", "a", load)
    await cache.get_or_load("metadata", "a", load)

    assert sorted(map(str, kinds(heard))) == sorted(
        map(
            str,
            [
                ("loaded", "metadata", "miss", True),
                ("wrote", "metadata", "stored"),
                ("read", "metadata", "miss"),
                ("read", "metadata", "hit"),
            ],
        )
    )
    by_kind = {event[0]: event for event in heard.events}
    loaded, wrote, hit = by_kind["loaded"], by_kind["wrote"], heard.events[-1]
    assert isinstance(loaded[2], float)
    assert 0 <= loaded[2] < 1
    assert wrote[3] == 1000
    assert isinstance(hit[3], int)
    assert hit[3] >= 1000


async def test_callers_who_share_a_load_are_told_as_collapsed(
    cache: CacheService, heard: Recording
) -> None:
    """One miss, one load, and the others."""

    async def load() -> int:
        await asyncio.sleep(0.02)  # so that the others wait
        return 1

    await asyncio.gather(*(cache.get_or_load("metadata", "a", load) for _ in range(5)))

    events = kinds(heard)
    assert events.count(("read", "metadata", "miss")) == 1
    assert events.count(("read", "metadata", "collapsed")) == 4
    assert events.count(("loaded", "metadata", "miss", True)) == 1


async def test_a_failed_load_is_told_as_failed(cache: CacheService, heard: Recording) -> None:
    """With the time that it took all the same."""

    async def load() -> int:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        await cache.get_or_load("metadata", "a", load)

    assert ("loaded", "metadata", "miss", False) in kinds(heard)
    assert cache.stats()["metadata"].load_failures == 1


async def test_stale_answers_and_the_loads_behind_them_are_told_as_such(
    cache: CacheService, heard: Recording
) -> None:
    """And a forced load as forced."""
    loaded = asyncio.Event()

    async def load() -> int:
        loaded.set()
        return 1

    await cache.get_or_load("stale", "a", load)
    await asyncio.sleep(0.06)  # past its freshness, by the server's own clock
    loaded.clear()
    await cache.get_or_load("stale", "a", load)
    async with asyncio.timeout(5):
        await loaded.wait()
        while ("loaded", "stale", "stale", True) not in kinds(heard):  # noqa: ASYNC110 - behind us
            await asyncio.sleep(0.001)
    await cache.fetch("stale", "a", load, refresh=True)

    assert ("read", "stale", "stale") in kinds(heard)
    assert ("loaded", "stale", "forced", True) in kinds(heard)
    assert cache.stats()["stale"].stale_served == 1


async def test_writes_that_do_not_happen_are_told_with_their_reason(
    cache: CacheService, heard: Recording
) -> None:
    """Too large for the namespace, or overtaken by an invalidation."""
    await cache.set("small", "a", "x" * 11)

    async def load() -> int:
        await cache.invalidate("metadata")
        return 1

    await cache.get_or_load("metadata", "a", load)

    events = kinds(heard)
    assert ("wrote", "small", "too_large") in events
    assert ("wrote", "metadata", "refused") in events


async def test_invalidations_are_told_with_their_namespace_and_without_their_tag(
    cache: CacheService, heard: Recording
) -> None:
    """A tag may name a user."""
    await cache.invalidate("metadata")
    await cache.invalidate_tag("user:alice")

    assert kinds(heard) == [("invalidated", "metadata", True), ("invalidated", None, True)]
    assert "alice" not in str(heard.events)


async def test_an_undecodable_entry_is_told_as_corrupt(
    cache: CacheService, client: ValkeyClient, heard: Recording
) -> None:
    """And its read as a miss."""
    await cache.set("metadata", "a", "x")
    (key,) = await client.execute("KEYS", "t:metadata:*")  # type: ignore[misc]
    assert isinstance(key, bytes)
    stored = await client.execute("GET", key)
    assert isinstance(stored, bytes)
    await client.execute("SET", key, stored[:1] + b"\xff" + stored[2:])
    heard.events.clear()

    await cache.get("metadata", "a")

    assert kinds(heard) == [("failed", "metadata", "read", "corrupt"), ("read", "metadata", "miss")]


async def test_an_outage_is_told_by_kind_and_as_moves_of_the_breaker(
    server: MortalServer, heard: Recording
) -> None:
    """Open when it goes, closed when it is back; no more once the cache is closed."""
    async with (
        ValkeyClient(server.endpoint) as client,
        CacheService(client, app="t", observers=[heard]) as cache,
    ):
        await cache.get("metadata", "a")
        server.kill()
        for _ in range(5):
            await cache.get("metadata", "a")
        server.start()
        async with asyncio.timeout(5):
            while ("breaker", "closed") not in heard.events:  # noqa: ASYNC110 - it comes back by itself
                await asyncio.sleep(0.01)
        with pytest.raises(ValkeyctlError):
            server.kill()
            await cache.invalidate("metadata")
        failed = [event for event in heard.events if event[0] == "failed"]
        await cache.aclose()
        heard.events.clear()
        client.breaker.trip()

    assert ("failed", "metadata", "read", "unreachable") in failed
    assert ("failed", "metadata", "read", "breaker_open") in failed
    assert heard.events == []


async def test_an_observer_that_raises_costs_no_caller_anything(client: ValkeyClient) -> None:
    """Neither a read, nor a write, nor an invalidation, nor the breaker's work."""
    async with CacheService(client, app="t", observers=[Raising()]) as cache:

        async def load() -> str:
            return "value"

        assert await cache.get_or_load("metadata", "a", load) == "value"
        assert await cache.get("metadata", "a") == "value"
        await cache.invalidate("metadata")
        client.breaker.trip()
        client.breaker.reset()
        assert await cache.get("metadata", "a") is None
