"""Entries to be cleared: two hundred real ones among plain keys, which the server makes itself.

Libraries that delete by the names of keys do not look at values, so plain keys cost them
the same and spare each fill a minute.
"""

from __future__ import annotations

import json

import redis.asyncio

from benchmarks.micro import contents

SAMPLE = contents.IDS[:200]
"""The real ones."""

_BYTES = 100


class Connected:
    """A `redis.asyncio` client of the server."""

    client: redis.asyncio.Redis

    async def open(self, port: int) -> None:
        """Connect, with all settings as they come."""
        self.client = redis.asyncio.Redis(host="127.0.0.1", port=port)
        await self.client.ping()

    async def close(self) -> None:
        """Disconnect."""
        # redis-py 4, which one peer needs, has no aclose.
        await getattr(self.client, "aclose", self.client.close)()


class Populated(Connected):
    """Keys of one namespace, all of which begin alike."""

    prefix = "bench"

    async def open(self, port: int) -> None:
        """As `Clearing.open`; some of the calls take the server seconds."""
        self.client = redis.asyncio.Redis(host="127.0.0.1", port=port, socket_timeout=120)
        await self.client.ping()

    async def fill(self, keys: int) -> None:
        """As `Clearing.fill`."""
        for name in SAMPLE:
            await self.store(name)
        await self.client.execute_command(  # type: ignore[no-untyped-call]
            "DEBUG", "POPULATE", keys - len(SAMPLE), self.prefix, _BYTES
        )

    async def served(self) -> int:
        """As `Clearing.served`."""
        return len([name for name in SAMPLE if await self.read(name) is not None])

    async def store(self, name: str) -> None:
        """Store one entry of the sample."""
        await self.client.set(f"{self.prefix}:{name}", json.dumps(contents.VALUES[0]))

    async def read(self, name: str) -> object:
        """Return one entry of the sample; None when it is not there."""
        return await self.client.get(f"{self.prefix}:{name}")
