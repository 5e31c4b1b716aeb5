"""valkey-glide: a client in Rust on one socket, without a cache's bookkeeping."""

from __future__ import annotations

import json
from collections.abc import Mapping

import glide  # type: ignore[import-not-found]

from benchmarks.micro import contents
from benchmarks.micro.adapters.arm import Arm, Prepare
from benchmarks.micro.adapters.keyed import TTL
from benchmarks.micro.adapters.typed import TypedAnswer, plain
from benchmarks.micro.timing import Work


class Plain(Arm):
    """As it comes."""

    title = "valkey-glide"
    near = False
    zstd = False

    def works(self) -> Mapping[str, Prepare]:
        """As `Arm.works`."""
        return {
            "hit": self.hit,
            "load": self.hit,
            "many": self.many,
            "set": self.set,
            "typed": self.typed,
        }

    def plain(self, answer: object) -> object:
        """As `Arm.plain`."""
        return plain(answer)

    async def open(self, port: int) -> None:
        """As `Arm.open`."""
        glide.Logger.set_logger_config(glide.LogLevel.ERROR)
        near = None
        if self.near:
            near = glide.ClientSideCache.create(
                max_cache_kb=10240, entry_ttl_ms=600_000, server_assisted=True
            )
        self.client = await glide.GlideClient.create(
            glide.GlideClientConfiguration(
                [glide.NodeAddress("127.0.0.1", port)],
                client_side_cache=near,
                compression=glide.CompressionConfiguration(enabled=True) if self.zstd else None,
            )
        )
        await self.client.ping()

    async def close(self) -> None:
        """As `Arm.close`."""
        await self.client.close()

    async def hit(self) -> Work:
        """GET, then decode."""
        client, keys = self.client, await self._store()

        async def work(number: int) -> object:
            return json.loads(await client.get(keys[number]))

        return work

    async def many(self) -> Work:
        """MGET of a hundred, then decode each."""
        client = self.client
        await self._store()
        batches = [[f"glide:{name}" for name in batch] for batch in contents.BATCHES]

        async def work(number: int) -> object:
            return [json.loads(found) for found in await client.mget(batches[number])]

        return work

    async def set(self) -> Work:
        """Encode, then SET with an expiry."""
        client, values = self.client, contents.VALUES
        keys = [f"glide:{name}" for name in contents.IDS]
        expiry = glide.ExpirySet(glide.ExpiryType.SEC, TTL)

        async def work(number: int) -> object:
            return (
                await client.set(keys[number], json.dumps(values[number]), expiry=expiry) == "OK"
                or None
            )

        return work

    async def typed(self) -> Work:
        """GET, then let pydantic read the JSON."""
        client, keys = self.client, await self._store()

        async def work(number: int) -> object:
            return TypedAnswer.model_validate_json(await client.get(keys[number]))

        return work

    async def _store(self) -> list[str]:
        keys = [f"glide:{name}" for name in contents.IDS]
        for name, value in zip(keys, contents.VALUES, strict=True):
            await self.client.set(name, json.dumps(value))
        return keys


class Near(Plain):
    """With its client-side cache, told by the server what to forget."""

    title = "valkey-glide client_side"
    near = True

    def works(self) -> Mapping[str, Prepare]:
        """As `Arm.works`."""
        return {"near": self.hit}


class Compressed(Plain):
    """With its compression, which it calls experimental."""

    title = "valkey-glide, zstd"
    zstd = True

    def works(self) -> Mapping[str, Prepare]:
        """As `Arm.works`."""
        return {"compressed": self.compressed}

    async def compressed(self) -> Work:
        """GET of 16 KiB, then decode."""
        client, keys = self.client, [f"glide:z:{name}" for name in contents.IDS]
        for key, value in zip(keys, contents.large_values(), strict=False):
            await client.set(key, json.dumps(value))

        async def work(number: int) -> object:
            return json.loads(await client.get(keys[number]))

        return work


ARMS = (Plain(), Near(), Compressed())
