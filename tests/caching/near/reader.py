"""Reads through a near cache, as `CacheService` does, but of plain values."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from valkeyctl.caching import ValkeyClient
from valkeyctl.caching.keys import KeyScheme
from valkeyctl.caching.near import MISS, NearCache

KEYS = KeyScheme("app")


async def until(condition: Callable[[], bool]) -> float:
    """Return the seconds until *condition* held; the server makes it hold."""
    began = time.perf_counter()
    while time.perf_counter() - began < 5:
        if condition():
            return time.perf_counter() - began
        await asyncio.sleep(0)
    raise AssertionError("still not so after 5 s")


async def connections(client: ValkeyClient, *, tracking: bool) -> list[dict[str, str]]:
    """Return the subscribed connections that the server lists, those that track or the others."""
    listed = await client.execute("CLIENT", "LIST", "TYPE", "pubsub")
    assert isinstance(listed, bytes)
    lines = [
        dict(part.split("=", 1) for part in line.split()) for line in listed.decode().splitlines()
    ]
    return [line for line in lines if ("t" in line["flags"]) == tracking]


class Reader:
    """A process with a near cache."""

    def __init__(
        self,
        client: ValkeyClient,
        *,
        lease: float = 0.05,
        clock: Callable[[], float] = time.monotonic,
        ttl: float = 60.0,
    ) -> None:
        self.client = client
        self.near = NearCache(client, KEYS, {"m": 30.0, "n": 30.0}, lease=lease, clock=clock)
        self.ttl = ttl

    async def read(self, id: str, namespace: str = "m", tags: tuple[bytes, ...] = ()) -> object:  # noqa: A002
        """Return what is stored, from the near cache where it has it."""
        value: object = self.near.get(namespace, id)
        if value is not MISS:
            return value
        return await self.fetch(id, namespace, tags)

    async def fetch(self, id: str, namespace: str = "m", tags: tuple[bytes, ...] = ()) -> object:  # noqa: A002
        """Return what the server has, and let the near cache hold it."""
        place = KEYS.place(namespace, id)
        token = self.near.begin()
        stored = await self.client.get(place.key)
        if stored is not None:
            self.near.put(token, namespace, id, stored, place=place, ttl=self.ttl, tags=tags)
        return stored

    async def tracks(self, tracking: bool = True) -> None:
        """Return when it tracks; the server makes it so."""
        self.near.begin()
        await until(lambda: self.near.stats().tracking == tracking)

    async def holds(self, id: str, namespace: str = "m", tags: tuple[bytes, ...] = ()) -> None:  # noqa: A002
        """Read until the near cache has it, and the lease to serve it."""
        async with asyncio.timeout(5):
            while self.near.get(namespace, id) is MISS:
                await self.fetch(id, namespace, tags)
                await asyncio.sleep(0.001)

    async def until_gone(self, id: str, namespace: str = "m") -> float:  # noqa: A002
        """Return the seconds until it holds the entry no more; the server makes it so."""
        return await until(lambda: id not in self.near._spaces[namespace].entries)
