"""Life without a server: the application goes on, slower and without surprises."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from tests.caching.conftest import MortalServer
from tests.caching.test_client_faults import until
from tests.conftest import free_port
from valkeyctl.caching import CacheService, ResponseCache, ValkeyClient
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import UnreachableError, ValkeyctlError


class Origin:
    """A loader that counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    async def __call__(self) -> str:
        self.calls += 1
        await asyncio.sleep(0)
        return "loaded"


async def test_without_a_server_every_read_is_a_miss_and_every_write_is_skipped() -> None:
    """Only what must not be silent raises."""
    async with ValkeyClient(Endpoint(port=free_port())) as client:
        cache = CacheService(client, app="t")

        assert await cache.get("metadata", "k", "default") == "default"
        assert await cache.get_many("metadata", ["a", "b"]) == {}
        assert not await cache.contains("metadata", "k")
        assert not await cache.set("metadata", "k", 1)
        assert await cache.set_many("metadata", {"a": 1}) == 0
        assert await cache.get_or_load("metadata", "k", Origin()) == "loaded"
        with pytest.raises(UnreachableError):
            await cache.delete("metadata", "k")
        with pytest.raises(UnreachableError):
            await cache.invalidate("metadata")
        with pytest.raises(UnreachableError):
            await cache.invalidate_tag("x")

    stats = cache.stats()["metadata"]
    assert (stats.hits, stats.misses, stats.writes) == (0, 5, 0)
    assert sum(stats.errors.values()) == 6


async def test_without_a_server_concurrent_misses_still_share_a_load() -> None:
    """The origin needs protection most when the cache is gone."""
    origin = Origin()
    async with ValkeyClient(Endpoint(port=free_port())) as client:
        cache = CacheService(client, app="t")

        await asyncio.gather(*(cache.get_or_load("metadata", "k", origin) for _ in range(100)))

    assert origin.calls == 1


async def test_a_killed_server_costs_little_and_is_used_again(server: MortalServer) -> None:
    """Loads go on through the outage; hits are back within a second of the restart."""
    origin = Origin()
    async with ValkeyClient(server.endpoint) as client:
        cache = CacheService(client, app="t")
        await cache.get_or_load("metadata", "k", origin)
        server.kill()

        for _ in range(10):
            began = time.monotonic()
            assert await cache.get_or_load("metadata", "k", origin) == "loaded"
            assert time.monotonic() - began < 0.1

        await asyncio.to_thread(server.start)

        async def hits() -> bool:
            return (await cache.fetch("metadata", "k", origin)).outcome == "hit"

        assert await until(hits, within=5) < 1.0


async def test_a_frozen_server_costs_one_budget_a_call_and_then_nothing(
    server: MortalServer,
) -> None:
    """25 ms from the first call on, under a millisecond once the breaker is open."""
    origin = Origin()
    async with ValkeyClient(server.endpoint) as client:
        cache = CacheService(client, app="t")
        await cache.get_or_load("metadata", "k", origin)
        server.freeze()

        taken = []
        for _ in range(50):
            began = time.perf_counter()
            assert await cache.get_or_load("metadata", "k", origin) == "loaded"
            taken.append(time.perf_counter() - began)

        assert max(taken) < 0.05 + 0.05  # the budget twice, and a machine that stutters
        assert sorted(taken)[25] < 0.001
        assert cache.stats()["metadata"].errors["deadline"] == 3

        server.thaw()

        async def hits() -> bool:
            return (await cache.fetch("metadata", "k", origin)).outcome == "hit"

        assert await until(hits, within=5) < 1.0


async def test_a_full_server_still_serves_and_can_be_invalidated(server: MortalServer) -> None:
    """Out of memory, writes are skipped and counted; reads and invalidations work."""
    async with ValkeyClient(server.endpoint) as client:
        cache = CacheService(client, app="t", budget=1.0)
        await cache.set("metadata", "k", "old")
        await client.execute("CONFIG", "SET", "maxmemory", 1)

        assert not await cache.set("context", "k", "v")

        assert await cache.get("metadata", "k") == "old"
        assert await cache.get_or_load("metadata", "new", Origin()) == "loaded"
        assert cache.stats()["metadata"].errors == {"server": 1}

        await cache.invalidate("metadata")

        assert await cache.get("metadata", "k") is None
        # No version can be made now; the load is served and not stored, and that is counted.
        assert await cache.get_or_load("metadata", "k", Origin()) == "loaded"
        assert cache.stats()["metadata"].errors == {"server": 2}
        assert client.breaker.state == "closed"


async def test_a_read_only_server_is_read(server: MortalServer) -> None:
    """A replica answers hits; what it refuses to write is skipped."""
    async with ValkeyClient(server.endpoint) as client:
        cache = CacheService(client, app="t", budget=1.0)
        await cache.set("context", "stale", "v")
        await cache.invalidate("context")
        await cache.set("metadata", "k", "v")
        await client.execute("REPLICAOF", "127.0.0.1", free_port())

        assert await cache.get("metadata", "k") == "v"
        assert await cache.get("context", "stale") is None
        assert cache.stats()["context"].errors == {}
        assert await cache.get_or_load("metadata", "other", Origin()) == "loaded"
        assert not await cache.set("metadata", "k", "w")
        with pytest.raises(ValkeyctlError, match="READONLY"):
            await cache.invalidate("metadata")


async def test_a_wrong_password_is_a_cache_that_never_hits(
    mortal_server: Callable[..., MortalServer],
) -> None:
    """Counted as what it is; the application comes up and goes on."""
    endpoint = mortal_server("--requirepass", "right").endpoint
    async with ValkeyClient(replace(endpoint, password="wrong")) as client:
        cache = CacheService(client, app="t", budget=1.0)

        assert await cache.get_or_load("metadata", "k", Origin()) == "loaded"

    assert cache.stats()["metadata"].errors == {"auth": 1}


async def test_trouble_is_logged_once_and_so_is_its_end(server: MortalServer) -> None:
    """An outage of a thousand calls is two lines, not a thousand."""
    with capture_logs() as lines:
        async with ValkeyClient(server.endpoint) as client:
            cache = CacheService(client, app="t")
            await cache.get("metadata", "k")
            server.kill()
            for _ in range(100):
                await cache.get("metadata", "k")
            await asyncio.to_thread(server.start)

            async def works() -> bool:
                before = sum(cache.stats()["metadata"].errors.values())
                await cache.get("metadata", "k")
                return sum(cache.stats()["metadata"].errors.values()) == before

            await until(works, within=5)

    assert [line["event"] for line in lines] == [
        "cache_degraded",
        "cache_unreachable",
        "cache_reachable",
        "cache_recovered",
    ]


async def test_cancelling_a_caller_cancels_its_read(server: MortalServer) -> None:
    """A cancellation is never taken for a failure of the server."""
    async with ValkeyClient(server.endpoint) as client:
        cache = CacheService(client, app="t", budget=5)
        await cache.get("metadata", "k")
        server.freeze()
        reading = asyncio.create_task(cache.get_or_load("metadata", "k", Origin()))
        await asyncio.sleep(0.02)

        reading.cancel()

        with pytest.raises(asyncio.CancelledError):
            await reading
        assert cache.stats()["metadata"].errors == {}
        assert client.breaker.state == "closed"


async def test_answers_go_on_without_a_server() -> None:
    """The response cache fails open likewise."""
    async with ValkeyClient(Endpoint(port=free_port())) as client:
        responses = ResponseCache(client, app="t")

        async def call() -> dict[str, object]:
            return {"choices": [{"finish_reason": "stop"}]}

        answer = await responses.complete({"model": "m"}, call, scope="alice")

    assert (answer.outcome, answer.ttl) == ("miss", None)
