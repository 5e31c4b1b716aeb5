"""Arms of libraries that are a get and a set by key, with one layer less to write for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.micro import contents
from benchmarks.micro.adapters.arm import Arm, Prepare
from benchmarks.micro.timing import Work

TTL = 3600
"""Seconds that everything lives: longer than a run."""


class Keyed(Arm):
    """A library with `get` and `set` of JSON values; some have more."""

    rows: Sequence[str] = ("hit", "set")

    def works(self) -> Mapping[str, Prepare]:
        """As `Arm.works`."""
        known = {"hit": self.hit, "set": self.setting, "many": self.many, "load": self.load}
        return {row: known[row] for row in self.rows}

    async def get(self, key: str) -> object:
        """Return the value under *key*; None on a miss."""
        raise NotImplementedError

    async def set(self, key: str, value: contents.Answer) -> object:
        """Store *value* for `TTL` seconds; None when it failed."""
        raise NotImplementedError

    async def get_many(self, keys: Sequence[str]) -> object:
        """Return the values under *keys*, in one round trip."""
        raise NotImplementedError

    def loading(self) -> Work:
        """Return the library's own way to read or load the value of a number."""
        raise NotImplementedError

    def keys(self) -> list[str]:
        """Return the keys of this arm, which no other arm uses."""
        return [f"{self.title}:{name}" for name in contents.IDS]

    async def hit(self) -> Work:
        """Prepare `get`."""
        get, keys = self.get, self.keys()
        for key, value in zip(keys, contents.VALUES, strict=True):
            await self.set(key, value)

        async def work(number: int) -> object:
            return await get(keys[number])

        return work

    async def setting(self) -> Work:
        """Prepare `set`."""
        store, keys, values = self.set, self.keys(), contents.VALUES

        async def work(number: int) -> object:
            return await store(keys[number], values[number])

        return work

    async def many(self) -> Work:
        """Prepare `get_many`."""
        get_many, keys = self.get_many, self.keys()
        for key, value in zip(keys, contents.VALUES, strict=True):
            await self.set(key, value)
        size = contents.BATCH
        batches = [keys[at : at + size] for at in range(0, len(keys), size)]

        async def work(number: int) -> object:
            return await get_many(batches[number])

        return work

    async def load(self) -> Work:
        """Prepare `loading`: the first call of each stores it."""
        work = self.loading()
        for number in range(contents.KEYS):
            await work(number)
        return work
