"""One request's dealings with a cache that may call its loader at any time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

from starlette.responses import PlainTextResponse, StreamingResponse

from valkeyctl.caching import CacheService, Lookup, ValkeyClient
from valkeyctl.fastapi import CacheRule
from valkeyctl.fastapi.exchange import Exchange, Landed
from valkeyctl.fastapi.rule import Plan
from valkeyctl.fastapi.stored import StoredResponse, body_of

RULE = CacheRule("metadata", ttl=60)
PLAN = Plan("0" * 64, (), refresh=False)
OLD = StoredResponse((("etag", '"old"'),), b"old", 0.0)
NEW = StoredResponse((("etag", '"new"'),), b"new", 0.0)


class Hasty(CacheService):
    """Has a stale answer, and begins to renew it before it hands it out."""

    renewal: asyncio.Task[object] | None = None

    async def fetch(self, namespace: str, id: str, loader: object, **_: object) -> Lookup[object]:  # type: ignore[override]  # noqa: A002
        async def renewing() -> object:
            return await cast("Callable[[], Awaitable[object]]", loader)()

        self.renewal = asyncio.create_task(renewing())
        return Lookup(OLD.value(), "stale", 1.0, 10.0)


async def test_a_renewal_that_begins_at_once_is_still_behind_the_request(
    client: ValkeyClient,
) -> None:
    """The caller gets the stale answer; the renewal asks again instead of waiting for it."""
    cache = Hasty(client, app="t")
    replays = 0

    async def replay() -> Landed:
        nonlocal replays
        replays += 1
        return NEW

    exchange = Exchange(cache, RULE, PLAN, replay)
    async with asyncio.timeout(5):
        found = await exchange.look()
        assert cache.renewal is not None
        renewed = await cache.renewal

    assert found is not None
    assert (found.response, found.outcome, exchange.leads) == (OLD, "stale", False)
    assert (StoredResponse.read(renewed), replays) == (NEW, 1)


def test_only_a_response_that_sends_its_body_in_one_piece_has_one() -> None:
    """Whatever attributes somebody's streaming class has beside."""

    class Both(StreamingResponse):
        body = b"not all of it"

    assert body_of(PlainTextResponse("all")) == b"all"
    assert body_of(StreamingResponse(iter("all"))) is None
    assert body_of(Both(iter("all"))) is None


def test_what_is_stored_comes_back_as_it_was() -> None:
    """And nothing else is taken for an answer."""
    assert StoredResponse.read(NEW.value()) == NEW
    for foreign in (
        None,
        "text",
        {},
        {"headers": [], "body": b"", "at": 1},
        {"headers": [], "body": "", "at": 1.0},
        {"headers": [["a"]], "body": b"", "at": 1.0},
        {"headers": [["a", 1]], "body": b"", "at": 1.0},
        {"headers": {"a": "b"}, "body": b"", "at": 1.0},
    ):
        assert StoredResponse.read(foreign) is None
