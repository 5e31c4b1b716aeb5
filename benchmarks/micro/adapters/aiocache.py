"""aiocache with its JSON serializer."""

from __future__ import annotations

from collections.abc import Sequence

from aiocache import Cache, cached, cached_stampede  # type: ignore[import-not-found]
from aiocache.serializers import JsonSerializer  # type: ignore[import-not-found]

from benchmarks.micro import contents
from benchmarks.micro.adapters.arm import Origin
from benchmarks.micro.adapters.keyed import TTL, Keyed
from benchmarks.micro.adapters.populated import Populated
from benchmarks.micro.timing import Work


class Json(Keyed):
    """As its documentation sets it up."""

    title = "aiocache"
    rows = ("hit", "set", "many", "load")

    async def open(self, port: int) -> None:
        """As `Arm.open`."""
        self.options = {"endpoint": "127.0.0.1", "port": port, "serializer": JsonSerializer()}
        self.cache = Cache(Cache.REDIS, **self.options)
        await self.cache.exists("nothing")

    async def close(self) -> None:
        """As `Arm.close`."""
        await self.cache.close()

    async def get(self, key: str) -> object:
        """As `Keyed.get`."""
        return await self.cache.get(key)

    async def set(self, key: str, value: contents.Answer) -> object:
        """As `Keyed.set`."""
        return await self.cache.set(key, value, ttl=TTL) or None

    async def get_many(self, keys: Sequence[str]) -> object:
        """As `Keyed.get_many`."""
        return await self.cache.multi_get(keys)

    def loading(self) -> Work:
        """As `Keyed.loading`: its decorator."""
        values = contents.VALUES

        def key_of(_: object, number: int) -> str:
            return f"aiocache:load:{number}"

        async def load(number: int) -> object:
            return values[number]

        decorate = cached(ttl=TTL, key_builder=key_of, cache=Cache.REDIS, **self.options)
        work: Work = decorate(load)
        return work


class Clear(Populated):
    """Its `clear` of a namespace: KEYS, then one DEL of them all."""

    title = "aiocache clear"

    async def open(self, port: int) -> None:
        """As `Clearing.open`."""
        await super().open(port)
        # Its own limit of five seconds may not be enough for a large keyspace.
        self.cache = Cache(Cache.REDIS, endpoint="127.0.0.1", port=port, timeout=None)

    async def close(self) -> None:
        """As `Clearing.close`."""
        await self.cache.close()
        await super().close()

    async def clear(self) -> None:
        """As `Clearing.clear`."""
        await self.cache.clear(namespace=self.prefix)


class Stampede:
    """`cached_stampede`, whose lease is ten times what the origin takes."""

    title = "aiocache cached_stampede"

    async def open(self, port: int) -> None:
        """As `Herd.open`."""
        self.options = {"endpoint": "127.0.0.1", "port": port, "serializer": JsonSerializer()}

    async def close(self) -> None:
        """As `Herd.close`."""

    def caller(self, origin: Origin) -> Origin:
        """As `Herd.caller`."""
        decorate = cached_stampede(lease=2, ttl=60, key="cold", cache=Cache.REDIS, **self.options)
        call: Origin = decorate(origin)
        return call


ARMS = (Json(),)
CLEARINGS = (Clear(),)
HERDS = (Stampede(),)
