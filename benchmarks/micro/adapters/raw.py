"""The yardstick: `redis.asyncio` with hiredis, and what an application would write on it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping

import zstandard

from benchmarks.micro import contents
from benchmarks.micro.adapters.arm import Arm, Origin, Prepare
from benchmarks.micro.adapters.keyed import TTL
from benchmarks.micro.adapters.populated import Connected, Populated
from benchmarks.micro.adapters.typed import TypedAnswer, plain
from benchmarks.micro.timing import Work

_LEASE_MS = 5000


class Raw(Connected, Arm):
    """GET and `json.loads`, and the like."""

    title = "raw"

    def works(self) -> Mapping[str, Prepare]:
        """As `Arm.works`."""
        return {
            "hit": self.hit,
            "load": self.hit,
            "many": self.many,
            "set": self.set,
            "typed": self.typed,
            "compressed": self.compressed,
        }

    def plain(self, answer: object) -> object:
        """As `Arm.plain`."""
        return plain(answer)

    async def hit(self) -> Work:
        """GET, then decode."""
        client, ids = self.client, await self._store()

        async def work(number: int) -> object:
            return json.loads(await client.get(ids[number]))  # type: ignore[arg-type]

        return work

    async def many(self) -> Work:
        """MGET of a hundred, then decode each."""
        client = self.client
        await self._store()
        batches = [[f"raw:{name}" for name in batch] for batch in contents.BATCHES]

        async def work(number: int) -> object:
            return [json.loads(found) for found in await client.mget(batches[number])]  # type: ignore[arg-type]

        return work

    async def set(self) -> Work:
        """Encode, then SET with an expiry."""
        client, ids, values = self.client, await self._store(), contents.VALUES

        async def work(number: int) -> object:
            return await client.set(ids[number], json.dumps(values[number]), ex=TTL)

        return work

    async def typed(self) -> Work:
        """GET, then let pydantic read the JSON."""
        client, ids = self.client, await self._store()

        async def work(number: int) -> object:
            return TypedAnswer.model_validate_json(await client.get(ids[number]))  # type: ignore[arg-type]

        return work

    async def compressed(self) -> Work:
        """GET, then zstd, then decode; 16 KiB."""
        client, ids = self.client, [f"raw:z:{name}" for name in contents.IDS]
        pack = zstandard.ZstdCompressor().compress
        unpack = zstandard.ZstdDecompressor().decompress
        for name, value in zip(ids, contents.large_values(), strict=False):
            await client.set(name, pack(json.dumps(value).encode()), ex=TTL)

        async def work(number: int) -> object:
            return json.loads(unpack(await client.get(ids[number])))  # type: ignore[arg-type]

        return work

    async def _store(self) -> list[str]:
        ids = [f"raw:{name}" for name in contents.IDS]
        pipeline = self.client.pipeline(transaction=False)
        for name, value in zip(ids, contents.VALUES, strict=True):
            pipeline.set(name, json.dumps(value), ex=TTL)
        await pipeline.execute()
        return ids


class TurnBatched(Connected, Arm):
    """A sketch of the limit: the GETs of one event-loop turn leave as one MGET."""

    title = "raw, one MGET a turn"

    def works(self) -> Mapping[str, Prepare]:
        """As `Arm.works`."""
        return {"hit": self.hit}

    async def hit(self) -> Work:
        """Wait for the end of the turn, then MGET, then decode."""
        client = self.client
        ids = [f"raw:{name}" for name in contents.IDS]
        loop = asyncio.get_running_loop()
        waiting: list[tuple[str, asyncio.Future[bytes]]] = []
        tasks: set[asyncio.Task[None]] = set()

        async def fetch(batch: list[tuple[str, asyncio.Future[bytes]]]) -> None:
            answers = await client.mget([name for name, _ in batch])
            for (_, future), answer in zip(batch, answers, strict=True):
                future.set_result(answer)  # type: ignore[arg-type]

        def leave() -> None:
            batch = waiting.copy()
            waiting.clear()
            task = loop.create_task(fetch(batch))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        async def work(number: int) -> object:
            future: asyncio.Future[bytes] = loop.create_future()
            if not waiting:
                loop.call_soon(leave)
            waiting.append((ids[number], future))
            return json.loads(await future)

        for name, value in zip(ids, contents.VALUES, strict=True):
            await client.set(name, json.dumps(value), ex=TTL)
        return work


class ScanAndUnlink(Populated):
    """What one writes on the driver: SCAN, a page of a thousand, and UNLINK."""

    title = "raw SCAN 1000 + UNLINK"

    async def clear(self) -> None:
        """As `Clearing.clear`."""
        cursor = 0
        while True:
            cursor, keys = await self.client.scan(cursor, match=f"{self.prefix}:*", count=1000)
            if keys:
                await self.client.unlink(*keys)
            if not cursor:
                return


class WakingLock(Connected):
    """A sketch of the limit: a future per process, SET NX between them, BLPOP to wake."""

    title = "raw future + SET NX + BLPOP"

    def caller(self, origin: Origin) -> Origin:
        """As `Herd.caller`."""
        client = self.client
        flight: asyncio.Task[object] | None = None

        async def load() -> object:
            stored = await client.get("st:k")
            if stored is not None:
                return json.loads(stored)
            if await client.set("st:lock", "1", nx=True, px=_LEASE_MS):
                value = await origin()
                pipeline = client.pipeline(transaction=False)
                pipeline.set("st:k", json.dumps(value), ex=60)
                pipeline.delete("st:lock")
                pipeline.rpush("st:wake", *["1"] * 64)
                pipeline.pexpire("st:wake", 2000)
                await pipeline.execute()
                return value
            # A second, since the driver gives up on a server that is silent for five.
            await client.blpop(["st:wake"], timeout=1)
            return await load()

        async def call() -> object:
            nonlocal flight
            if flight is None or flight.done():
                flight = asyncio.create_task(load())
            return await asyncio.shield(flight)

        return call


ARMS = (Raw(), TurnBatched())
CLEARINGS = (ScanAndUnlink(),)
HERDS = (WakingLock(),)
