"""Requests that end early, and applications that do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from fastapi import FastAPI

from tests.fastapi.serving import Counting, application, ask, browsing, cache_mark
from tests.gateway.serving import served
from valkeyctl.caching import CacheService, NamespacePolicy, ValkeyClient
from valkeyctl.endpoint import Endpoint
from valkeyctl.fastapi import CachedRoute, CacheRule, ResponseCacheMiddleware, cached_response


@pytest.mark.parametrize("form", ["route", "middleware"])
async def test_when_the_one_who_brings_the_answer_is_cancelled_the_next_one_does(
    client: ValkeyClient, form: str
) -> None:
    """Those who wait neither hang nor fail."""
    counting = Counting()
    begun = asyncio.Event()
    async with CacheService(client, app="site", budget=5) as cache:
        app = FastAPI()
        app.router.route_class = CachedRoute
        app.state.valkey_cache = cache
        if form == "middleware":
            rule = CacheRule("metadata", ttl=60)
            app.add_middleware(ResponseCacheMiddleware, rule=rule, paths=["/"])

        async def slow() -> int:
            begun.set()
            await asyncio.sleep(0.1)  # so that it can be cancelled, and others wait
            return counting.next()

        endpoint: Callable[..., object] = slow
        if form == "route":
            endpoint = cached_response("metadata", ttl=60)(slow)
        app.get("/slow")(endpoint)

        leader = asyncio.create_task(ask(app, "/slow"))
        await begun.wait()
        waiters = [asyncio.create_task(ask(app, "/slow")) for _ in range(3)]
        await asyncio.sleep(0.03)  # they look, and then wait
        waiters[0].cancel()
        leader.cancel()
        async with asyncio.timeout(5):
            ended = await asyncio.gather(leader, *waiters, return_exceptions=True)

    assert [type(end) for end in ended] == [
        asyncio.CancelledError,
        asyncio.CancelledError,
        list,
        list,
    ]
    assert [end[1]["body"] for end in ended if isinstance(end, list)] == [b"1", b"1"]
    assert counting.calls == 1


@pytest.mark.parametrize("form", ["route", "middleware"])
async def test_an_application_ends_while_an_answer_is_renewed(
    endpoint: Endpoint, form: str
) -> None:
    """It waits for no origin, and leaves no task behind."""
    app = application(endpoint, policy=NamespacePolicy(0.1, jitter=0, stale=60))
    renewing = asyncio.Event()
    counting = Counting()

    async def slow() -> int:
        if counting.next() > 1:
            renewing.set()
            await asyncio.sleep(60)  # an origin that hangs
        return counting.calls

    decorated: Callable[..., object] = slow
    if form == "route":
        decorated = cached_response("metadata")(slow)
    else:
        app.add_middleware(ResponseCacheMiddleware, rule=CacheRule("metadata"), paths=["/"])
    app.get("/slow")(decorated)

    before = asyncio.all_tasks()
    async with asyncio.timeout(5):
        async with browsing(app) as http:
            await http.get("/slow")
            await asyncio.sleep(0.11)  # past its freshness, by the server's own clock
            stale = await http.get("/slow")
            await renewing.wait()
        await asyncio.sleep(0)

    assert cache_mark(stale) == "stale"
    assert asyncio.all_tasks() == before


async def test_a_caller_who_leaves_does_not_take_the_answer_along(endpoint: Endpoint) -> None:
    """What was begun for one is finished, and stored for the next."""
    app, counting = application(endpoint, budget=5), Counting()
    begun = asyncio.Event()

    @app.get("/slow")
    @cached_response("metadata", ttl=60)
    async def slow() -> int:
        begun.set()
        await asyncio.sleep(0.1)  # so that its caller can leave meanwhile
        return counting.next()

    async with served(app) as url:
        port = int(url.rpartition(":")[2])
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET /slow HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        await begun.wait()
        writer.close()
        await writer.wait_closed()
        async with asyncio.timeout(5):
            while app.state.valkey_cache.stats()["metadata"].writes < 1:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        stored = await app.state.valkey.execute("KEYS", "site:metadata:*")

    assert len(stored) == 1
    assert counting.calls == 1
