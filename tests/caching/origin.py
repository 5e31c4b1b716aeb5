"""A loader for tests, and entries that were loaded long ago."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from valkeyctl.caching import CacheService, ValkeyClient
from valkeyctl.caching.codec import Envelope

Process: TypeAlias = Callable[..., Awaitable[CacheService]]
"""Starts a client and a service on it, as another process would have; takes its options."""


class Origin:
    """Counts its calls, and answers when it is told to.

    Args:
        values: What the calls return, in turn; the last one again and again. An exception
            is raised.
        held: Whether calls wait until `go` is set.
    """

    def __init__(self, *values: object, held: bool = False) -> None:
        self._values = values or ("loaded",)
        self.calls = 0
        self.began = asyncio.Event()
        self.go = asyncio.Event()
        if not held:
            self.go.set()

    async def __call__(self) -> object:
        value = self._values[min(self.calls, len(self._values) - 1)]
        self.calls += 1
        self.began.set()
        await self.go.wait()
        if isinstance(value, Exception):
            raise value
        return value


async def stored(client: ValkeyClient, key: str) -> Envelope:
    """Return the entry at *key*, taken apart."""
    return Envelope.unpack(await client.get(key) or b"")


async def make_older(client: ValkeyClient, key: str, seconds: float, **changes: int) -> None:
    """Let an entry have been written *seconds* earlier than it was.

    Args:
        client: On whose server.
        key: Of the entry, which keeps the time that it has left to live.
        seconds: May be below zero.
        changes: Other fields of its envelope.
    """
    entry = await stored(client, key)
    older = dataclasses.replace(entry, created_ms=entry.created_ms - round(seconds * 1000))
    packed = dataclasses.replace(older, **changes).pack()  # type: ignore[arg-type]
    await client.execute("SET", key, packed, "KEEPTTL")


async def is_awaited(client: ValkeyClient, lease: str) -> bool:
    """Say whether another process waits for the end of a lease."""
    return await client.execute("GETRANGE", lease, 32, 32) == b"w"


async def until(
    condition: Callable[[], bool] | Callable[[], Awaitable[bool]], *, within: float = 5
) -> None:
    """Return when *condition* holds; what makes it so goes on behind the callers."""
    async with asyncio.timeout(within):
        for turn in itertools.count():
            holds = condition()
            if (await holds) if isinstance(holds, Awaitable) else holds:
                return
            await asyncio.sleep(0 if turn < 20 else 0.002)
