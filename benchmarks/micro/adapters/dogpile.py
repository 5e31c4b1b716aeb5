"""dogpile.cache, which is synchronous: the event loop waits with its caller."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dogpile.cache import make_region  # type: ignore[import-not-found]

from benchmarks.micro import contents
from benchmarks.micro.adapters.arm import Prepare
from benchmarks.micro.adapters.keyed import TTL, Keyed
from benchmarks.micro.adapters.typed import TypedAnswer, plain
from benchmarks.micro.timing import Work


class Region(Keyed):
    """As it comes: pickle."""

    title = "dogpile.cache (sync)"
    blocking = True
    rows = ("hit", "set", "many", "load")

    def works(self) -> Mapping[str, Prepare]:
        """As `Arm.works`."""
        return {**super().works(), "typed": self.typed}

    def plain(self, answer: object) -> object:
        """As `Arm.plain`."""
        return plain(answer)

    async def open(self, port: int) -> None:
        """As `Arm.open`."""
        self.region = make_region().configure(
            "dogpile.cache.redis",
            expiration_time=TTL,
            arguments={"host": "127.0.0.1", "port": port, "redis_expiration_time": 2 * TTL},
        )

    async def close(self) -> None:
        """As `Arm.close`."""
        self.region.backend.writer_client.close()

    async def get(self, key: str) -> object:
        """As `Keyed.get`."""
        return self.region.get(key)

    async def set(self, key: str, value: contents.Answer) -> object:
        """As `Keyed.set`."""
        self.region.set(key, value)
        return True

    async def get_many(self, keys: Sequence[str]) -> object:
        """As `Keyed.get_many`."""
        return self.region.get_multi(keys)

    def loading(self) -> Work:
        """As `Keyed.loading`: `get_or_create`."""
        region, values = self.region, contents.VALUES

        async def work(number: int) -> object:
            return region.get_or_create(f"dogpile:load:{number}", lambda: values[number])

        return work

    async def typed(self) -> Work:
        """`get` of a pickled model."""
        region, keys = self.region, [f"dogpile:typed:{name}" for name in contents.IDS]
        for key, value in zip(keys, contents.VALUES, strict=True):
            region.set(key, TypedAnswer.model_validate(value))

        async def work(number: int) -> object:
            return region.get(keys[number])

        return work


ARMS = (Region(),)
