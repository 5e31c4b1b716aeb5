"""langchain-community's asynchronous Redis cache, by prompt."""

from __future__ import annotations

import json

from langchain_community.cache import AsyncRedisCache  # type: ignore[import-not-found]
from langchain_core.outputs import Generation  # type: ignore[import-not-found]

from benchmarks.micro import contents
from benchmarks.micro.adapters.keyed import TTL, Keyed
from benchmarks.micro.adapters.populated import Connected

_MODEL = "m-1"


class Prompts(Connected, Keyed):
    """The value as the text of one generation, which is all that it can hold."""

    title = "langchain-community"

    async def open(self, port: int) -> None:
        """As `Arm.open`."""
        await super().open(port)
        self.cache = AsyncRedisCache(self.client, ttl=TTL)

    async def get(self, key: str) -> object:
        """As `Keyed.get`."""
        return await self.cache.alookup(key, _MODEL)

    async def set(self, key: str, value: contents.Answer) -> object:
        """As `Keyed.set`."""
        await self.cache.aupdate(key, _MODEL, [Generation(text=json.dumps(value))])
        return True

    def plain(self, answer: object) -> object:
        """As `Arm.plain`."""
        return json.loads(answer[0].text) if isinstance(answer, list) else answer


ARMS = (Prompts(),)
