"""cashews, with as many connections as callers could use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cashews import Cache  # type: ignore[import-not-found]

from benchmarks.micro import contents
from benchmarks.micro.adapters.arm import Origin, Prepare
from benchmarks.micro.adapters.keyed import TTL, Keyed
from benchmarks.micro.adapters.populated import SAMPLE, Populated
from benchmarks.micro.adapters.typed import TypedAnswer, plain
from benchmarks.micro.timing import Work

_TAG = "models"
_AT_ONCE = 1000


async def connected(port: int, options: Mapping[str, object]) -> Cache:
    """Return an open cache."""
    cache = Cache()
    cache.setup(f"redis://127.0.0.1:{port}/0", max_connections=64, **options)
    await cache.init()
    await cache.ping()
    return cache


class Json(Keyed):
    """With JSON, which is the work that the others do."""

    title = "cashews json"
    rows = ("hit", "set", "many", "load")
    options: Mapping[str, object] = {"pickle_type": "json"}

    async def open(self, port: int) -> None:
        """As `Arm.open`."""
        self.cache = await connected(port, self.options)

    async def close(self) -> None:
        """As `Arm.close`."""
        await self.cache.close()

    async def get(self, key: str) -> object:
        """As `Keyed.get`."""
        return await self.cache.get(key)

    async def set(self, key: str, value: contents.Answer) -> object:
        """As `Keyed.set`."""
        return await self.cache.set(key, value, expire=TTL) or None

    async def get_many(self, keys: Sequence[str]) -> object:
        """As `Keyed.get_many`."""
        return list(await self.cache.get_many(*keys))

    def loading(self) -> Work:
        """As `Keyed.loading`: its decorator."""
        values = contents.VALUES

        async def load(number: int) -> object:
            return values[number]

        work: Work = self.cache(ttl=TTL, key=self.title + ":load:{number}")(load)
        return work


class Default(Json):
    """As it comes: pickle, which runs whatever the server sends."""

    title = "cashews (pickle)"
    options: Mapping[str, object] = {}

    def works(self) -> Mapping[str, Prepare]:
        """As `Arm.works`."""
        return {**super().works(), "typed": self.typed}

    def plain(self, answer: object) -> object:
        """As `Arm.plain`."""
        return plain(answer)

    async def typed(self) -> Work:
        """`get` of a pickled model."""
        cache, keys = self.cache, [f"typed:{name}" for name in contents.IDS]
        for key, value in zip(keys, contents.VALUES, strict=True):
            await cache.set(key, TypedAnswer.model_validate(value), expire=TTL)

        async def work(number: int) -> object:
            return await cache.get(keys[number])

        return work


class Compressed(Json):
    """With zlib, since it has no zstd."""

    title = "cashews json, zlib"
    options: Mapping[str, object] = {"pickle_type": "json", "compress_type": "zlib"}

    def works(self) -> Mapping[str, Prepare]:
        """As `Arm.works`."""
        return {"compressed": self.compressed}

    async def compressed(self) -> Work:
        """`get` of 16 KiB."""
        cache, keys = self.cache, self.keys()
        for key, value in zip(keys, contents.large_values(), strict=False):
            await self.set(key, value)

        async def work(number: int) -> object:
            return await cache.get(keys[number])

        return work


class Near(Json):
    """With its copy in the process, kept by client tracking."""

    title = "cashews client_side"
    options: Mapping[str, object] = {"pickle_type": "json", "client_side": True}

    def works(self) -> Mapping[str, Prepare]:
        """As `Arm.works`."""
        return {"near": self.near}

    async def near(self) -> Work:
        """`get` of what is in the process."""
        cache, keys = self.cache, self.keys()
        for key, value in zip(keys, contents.VALUES, strict=True):
            await self.set(key, value)

        async def work(number: int) -> object:
            return await cache.get(keys[number])

        return work


class DeleteMatch(Populated):
    """SCAN and UNLINK, a page of a hundred keys a time."""

    title = "cashews delete_match"

    async def open(self, port: int) -> None:
        """As `Clearing.open`."""
        await super().open(port)
        self.cache = await connected(port, {})

    async def close(self) -> None:
        """As `Clearing.close`."""
        await self.cache.close()
        await super().close()

    async def store(self, name: str) -> None:
        """As `Populated.store`."""
        await self.cache.set(f"{self.prefix}:{name}", contents.VALUES[0], expire=TTL)

    async def read(self, name: str) -> object:
        """As `Populated.read`."""
        return await self.cache.get(f"{self.prefix}:{name}")

    async def clear(self) -> None:
        """As `Clearing.clear`."""
        await self.cache.delete_match(f"{self.prefix}:*")


class DeleteTags(DeleteMatch):
    """The tag's set of keys, a hundred a time."""

    title = "cashews delete_tags"

    async def fill(self, keys: int) -> None:
        """As `Clearing.fill`; the set gets the plain keys as well."""
        await super().fill(keys)
        for at in range(0, keys - len(SAMPLE), _AT_ONCE):
            names = range(at, min(at + _AT_ONCE, keys - len(SAMPLE)))
            await self.client.sadd(f"_tag:{_TAG}", *(f"{self.prefix}:{name}" for name in names))

    async def store(self, name: str) -> None:
        """As `Populated.store`."""
        key = f"{self.prefix}:{name}"
        await self.cache.set(key, contents.VALUES[0], expire=TTL, tags=(_TAG,))

    async def clear(self) -> None:
        """As `Clearing.clear`."""
        await self.cache.delete_tags(_TAG)


class Lock:
    """Its decorator with ``lock=True``."""

    title = "cashews lock"

    async def open(self, port: int) -> None:
        """As `Herd.open`."""
        self.cache = await connected(port, {})

    async def close(self) -> None:
        """As `Herd.close`."""
        await self.cache.close()

    def caller(self, origin: Origin) -> Origin:
        """As `Herd.caller`."""
        call: Origin = self.cache(ttl=60, key="cold", lock=True)(origin)
        return call


class Early(Lock):
    """Its `early` decorator, which recomputes before the entry ends."""

    title = "cashews early"

    def caller(self, origin: Origin) -> Origin:
        """As `Herd.caller`."""
        call: Origin = self.cache.early(ttl=60, early_ttl=30, key="cold")(origin)
        return call


ARMS = (Json(), Default(), Compressed(), Near())
CLEARINGS = (DeleteMatch(), DeleteTags())
HERDS = (Lock(), Early())
