"""LiteLLM's Redis cache, which its proxy keeps answers in."""

from __future__ import annotations

import os
from collections.abc import Sequence

# Else its import asks the network for a list of prices, and waits for the answer.
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

from litellm.caching.redis_cache import RedisCache  # type: ignore[import-not-found]

from benchmarks.micro import contents
from benchmarks.micro.adapters.arm import Origin
from benchmarks.micro.adapters.keyed import TTL, Keyed


class Json(Keyed):
    """As it comes."""

    title = "litellm"
    rows = ("hit", "set", "many")

    async def open(self, port: int) -> None:
        """As `Arm.open`."""
        self.cache = RedisCache(host="127.0.0.1", port=port)
        await self.cache.ping()

    async def close(self) -> None:
        """As `Arm.close`."""
        await self.cache.disconnect()

    async def get(self, key: str) -> object:
        """As `Keyed.get`."""
        return await self.cache.async_get_cache(key)

    async def set(self, key: str, value: contents.Answer) -> object:
        """As `Keyed.set`."""
        await self.cache.async_set_cache(key, value, ttl=TTL)
        return True

    async def get_many(self, keys: Sequence[str]) -> object:
        """As `Keyed.get_many`."""
        return await self.cache.async_batch_get_cache(list(keys))

    def plain(self, answer: object) -> object:
        """As `Arm.plain`; many come by key."""
        if isinstance(answer, dict) and len(answer) == contents.BATCH:
            return list(answer.values())
        return answer


class GetComputeSet(Json):
    """Get, or compute and set, which is what its proxy does: nothing against a stampede."""

    title = "litellm get, compute, set"

    def caller(self, origin: Origin) -> Origin:
        """As `Herd.caller`."""

        async def call() -> object:
            found = await self.cache.async_get_cache("cold")
            if found is None:
                found = await origin()
                await self.cache.async_set_cache("cold", found, ttl=60)
            return found

        return call


ARMS = (Json(),)
HERDS = (GetComputeSet(),)
