"""fastapi-redis-sdk: the backend beneath its FastAPI dependency."""

from __future__ import annotations

from redis_fastapi.cache_backend import CacheBackend  # type: ignore[import-not-found]

from benchmarks.micro import contents
from benchmarks.micro.adapters.keyed import TTL, Keyed
from benchmarks.micro.adapters.populated import Connected, Populated

_GROUP = "bench"


class Json(Connected, Keyed):
    """With an eviction group, as for entries that may have to go together."""

    title = "fastapi-redis-sdk"

    async def open(self, port: int) -> None:
        """As `Arm.open`."""
        await super().open(port)
        self.backend = CacheBackend(self.client, eviction_group=_GROUP)

    async def get(self, key: str) -> object:
        """As `Keyed.get`."""
        return await self.backend.get(key)

    async def set(self, key: str, value: contents.Answer) -> object:
        """As `Keyed.set`."""
        await self.backend.set(key, value, ttl=TTL)
        return True


class DeleteGroup(Populated):
    """Its `delete_group`: the whole SCAN and all UNLINKs in one script."""

    title = "fastapi-redis-sdk delete_group"

    async def open(self, port: int) -> None:
        """As `Clearing.open`."""
        await super().open(port)
        self.backend = CacheBackend(self.client, eviction_group=_GROUP)
        self.prefix = self.backend._build_key("").removesuffix(":")

    async def store(self, name: str) -> None:
        """As `Populated.store`."""
        await self.backend.set(name, contents.VALUES[0], ttl=TTL)

    async def read(self, name: str) -> object:
        """As `Populated.read`."""
        return await self.backend.get(name)

    async def clear(self) -> None:
        """As `Clearing.clear`."""
        await self.backend.delete_group()


ARMS = (Json(),)
CLEARINGS = (DeleteGroup(),)
