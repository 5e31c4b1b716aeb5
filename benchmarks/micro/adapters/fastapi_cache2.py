"""fastapi-cache2, outside of an endpoint, where it has nothing else to do."""

from __future__ import annotations

from fastapi_cache import FastAPICache  # type: ignore[import-not-found]
from fastapi_cache.backends.redis import RedisBackend  # type: ignore[import-not-found]
from fastapi_cache.coder import JsonCoder  # type: ignore[import-not-found]
from fastapi_cache.decorator import cache  # type: ignore[import-not-found]

from benchmarks.micro import contents
from benchmarks.micro.adapters.arm import Origin
from benchmarks.micro.adapters.keyed import TTL, Keyed
from benchmarks.micro.adapters.populated import Connected, Populated
from benchmarks.micro.timing import Work


class Json(Connected, Keyed):
    """Its backend and its JSON coder, as its decorator uses them."""

    title = "fastapi-cache2"
    rows = ("hit", "set", "load")

    async def open(self, port: int) -> None:
        """As `Arm.open`."""
        await super().open(port)
        self.backend = RedisBackend(self.client)
        FastAPICache.reset()
        FastAPICache.init(self.backend, prefix="fc2", coder=JsonCoder)

    async def get(self, key: str) -> object:
        """As `Keyed.get`."""
        _, found = await self.backend.get_with_ttl(key)
        return JsonCoder.decode(found)

    async def set(self, key: str, value: contents.Answer) -> object:
        """As `Keyed.set`."""
        await self.backend.set(key, JsonCoder.encode(value), TTL)
        return True

    def loading(self) -> Work:
        """As `Keyed.loading`: its decorator."""
        values = contents.VALUES

        async def load(number: int) -> object:
            return values[number]

        work: Work = cache(expire=TTL)(load)
        return work


class Clear(Populated):
    """Its `clear` of a namespace: KEYS and DELs in one script."""

    title = "fastapi-cache2 clear"

    async def clear(self) -> None:
        """As `Clearing.clear`."""
        await RedisBackend(self.client).clear(namespace=self.prefix)


class Decorator(Connected):
    """Its decorator, which has nothing against a stampede."""

    title = "fastapi-cache2 @cache"

    def caller(self, origin: Origin) -> Origin:
        """As `Herd.caller`."""
        FastAPICache.reset()
        FastAPICache.init(RedisBackend(self.client), prefix="fc2")

        call: Origin = cache(expire=60)(origin)
        return call


ARMS = (Json(),)
CLEARINGS = (Clear(),)
HERDS = (Decorator(),)
