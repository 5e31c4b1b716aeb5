"""Callers in several processes that want the same entry; clients stand for processes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection

from tests.caching.origin import Origin, is_awaited, until
from valkeyctl.caching import CacheService
from valkeyctl.caching.flight import ANYONE

KEY, LEASE = "t:metadata:k", "t:~load:metadata:k"


def loads(
    cache: CacheService, origin: Callable[[], Awaitable[object]], tags: Collection[str] = ()
) -> asyncio.Task[object]:
    """Return a caller of that process."""
    return asyncio.create_task(cache.get_or_load("metadata", "k", origin, tags=tags))


async def holds(cache: CacheService, origin: Origin) -> asyncio.Task[object]:
    """Return a caller that is loading."""
    caller = loads(cache, origin)
    await origin.began.wait()
    return caller


async def waits(
    cache: CacheService, origin: Callable[[], Awaitable[object]]
) -> asyncio.Task[object]:
    """Return a caller that waits for another process."""
    caller = loads(cache, origin)
    await until(lambda: is_awaited(cache.client, LEASE))
    return caller


def joined(cache: CacheService) -> int:
    """Return how many callers of that process share the load of another."""
    flight = cache._works.loads._flights.get(KEY.encode())
    return 0 if flight is None else len(flight.waiters)


def is_waiting(cache: CacheService) -> bool:
    """Say whether a load of that process has asked, and waits for another."""
    flight = cache._works.loads._flights.get(KEY.encode())
    return flight is not None and flight.token is not ANYONE


def nothing_is_left(*caches: CacheService) -> bool:
    """Say whether no load, no waiter and no errand is left in these processes."""
    return all(
        not cache._works.loads._flights
        and not cache._works.loads._errands
        and cache._works.loads._wakes._waiting == {}
        for cache in caches
    )
