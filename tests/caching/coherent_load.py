"""Readers and invalidators of one cache, which notice an answer that must not be."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from valkeyctl.caching import CacheService, ValkeyClient
from valkeyctl.errors import ValkeyctlError

TAG = "x"


class CoherentLoad:
    """Counts upwards at the origin, and invalidates after each step.

    Whoever begins to read after an invalidation was confirmed must get the count that
    it was about, or a later one. While a cache has no server it cannot hear of one, and
    its callers share a load to spare the origin: then the count is that of the
    invalidations confirmed when the oldest of its loads under way began.

    Args:
        clients: What the caches speak through, in the same order.
        caches: Several clients' views of the same cache; the first one invalidates.
        ids: How many entries.
    """

    def __init__(
        self, clients: list[ValkeyClient], caches: list[CacheService], *, ids: int = 60
    ) -> None:
        self._views = [_View(*pair) for pair in zip(clients, caches, strict=True)]
        self._ids = [f"id-{number}" for number in range(ids)]
        self._rng = random.Random(7)
        self._count = 0
        self._confirmed = 0
        self.reads = 0
        self.loads = 0
        self.confirmed = 0
        self.unconfirmed: list[ValkeyctlError] = []
        self.wrong: list[str] = []

    @asynccontextmanager
    async def running(self, *, readers: int = 4) -> AsyncIterator[None]:
        """Keep reading and invalidating inside of the block; any exception of a read ends it."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._invalidate())]
            for view in self._views:
                tasks += [group.create_task(self._read(view)) for _ in range(readers)]
            yield
            for task in tasks:
                task.cancel()

    async def _invalidate(self) -> None:
        while True:
            self._count += 1
            about = self._count
            try:
                if about % 2:
                    await self._views[0].cache.invalidate("a")
                else:
                    await self._views[0].cache.invalidate_tag(TAG)
            except ValkeyctlError as error:
                self.unconfirmed.append(error)
            else:
                self.confirmed += 1
                self._confirmed = about
            await asyncio.sleep(self._rng.uniform(0, 0.03))

    async def _read(self, view: _View) -> None:
        cache = view.cache

        async def load() -> int:
            return await self._load(view)

        while True:
            id_ = self._rng.choice(self._ids)
            floor = min([self._confirmed, *view.loading]) if view.is_away else self._confirmed
            way = self._rng.random()
            found: object
            if way < 0.6:
                found = await cache.get_or_load("a", id_, load, ttl=60, tags=[TAG])
            elif way < 0.8:
                found = await cache.get("a", id_)
            else:
                values = (await cache.get_many("a", self._ids[:20])).values()
                found = min((value for value in values if isinstance(value, int)), default=None)
            self.reads += 1
            if isinstance(found, int) and found < floor:
                self.wrong.append(f"{found} after {floor} was confirmed")
            if self._rng.random() < 0.2:
                await cache.set("b", id_, "v", ttl=60)
            await asyncio.sleep(self._rng.uniform(0, 0.004))

    async def _load(self, view: _View) -> int:
        count, confirmed = self._count, self._confirmed
        self.loads += 1
        view.loading.append(confirmed)
        try:
            await asyncio.sleep(self._rng.uniform(0, 0.005))
        finally:
            view.loading.remove(confirmed)
        return count


@dataclass
class _View:
    """One client's view of the cache.

    Attributes:
        client: What the cache speaks through.
        cache: Where is read.
        loading: The last count that was confirmed when each load under way began.
    """

    client: ValkeyClient
    cache: CacheService
    loading: list[int] = field(default_factory=list)

    @property
    def is_away(self) -> bool:
        """Whether the client takes the server for gone."""
        return self.client.breaker.state != "closed"


async def stores_again(cache: CacheService, id_: str) -> None:
    """Wait until an entry can be stored and read, which nothing announces."""
    while True:
        if await cache.set("probe", id_, 1, ttl=60) and await cache.get("probe", id_) == 1:
            return
        await asyncio.sleep(0.01)


@asynccontextmanager
async def two_caches(
    client: ValkeyClient, other: ValkeyClient
) -> AsyncIterator[list[CacheService]]:
    """Two views of one cache, as two processes have them."""
    async with (
        client,
        other,
        CacheService(client, app="t") as first,
        CacheService(other, app="t") as second,
    ):
        yield [first, second]
