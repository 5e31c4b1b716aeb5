"""`valkeyctl.caching`, in the project's own environment.

Features are looked for, not assumed: the same adapter measures older checkouts.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Collection, Mapping, Sequence

from benchmarks.micro import contents
from benchmarks.micro.adapters.arm import Arm, Origin, Prepare
from benchmarks.micro.adapters.typed import TypedAnswer, plain
from benchmarks.micro.timing import Work
from valkeyctl.caching import CacheService, NamespacePolicy, ValkeyClient

_TTL = 3600.0
_NAMESPACE = "metadata"
_TAG = "models"
_SAMPLE = contents.IDS[:200]
_AT_ONCE = 1000
_BUDGET = 1.0
_PATIENCE = 30.0
_NOT_YET = "not there yet"


def _known(field: str) -> bool:
    return field in {each.name for each in dataclasses.fields(NamespacePolicy)}


class _Connected:
    """The service that is measured, and a patient one that stores what it will read.

    The usual budget of 25 ms would cut off what the others wait for when the machine
    stalls, and so flatter ours; here it gets a second.
    """

    cache: CacheService
    storage: CacheService

    async def open(self, port: int) -> None:
        """As `Arm.open`."""
        url = f"redis://127.0.0.1:{port}/0"
        self.cache = CacheService(
            ValkeyClient(url),
            app="bench",
            policies={_NAMESPACE: self.policy()},
            budget=_BUDGET,
        )
        self.storage = CacheService(
            ValkeyClient(url, deadline=_PATIENCE),
            app="bench",
            policies={_NAMESPACE: self.storing()},
            budget=_PATIENCE,
        )
        await self.cache.client.ping()

    async def close(self) -> None:
        """As `Arm.close`."""
        for service in (self.cache, self.storage):
            if hasattr(service, "aclose"):
                await service.aclose()
            await service.client.aclose()

    def policy(self) -> NamespacePolicy:
        """Return how the entries are kept."""
        return NamespacePolicy(_TTL)

    def storing(self) -> NamespacePolicy:
        """Return how the patient service keeps them."""
        return self.policy()


class Plain(_Connected, Arm):
    """As it comes."""

    title = "valkeyctl"

    def works(self) -> Mapping[str, Prepare]:
        """As `Arm.works`."""
        works = {"hit": self.hit, "load": self.load, "many": self.many, "set": self.set}
        return works if self.missing() else {**works, "typed": self.typed}

    def missing(self) -> Mapping[str, str]:
        """As `Arm.missing`."""
        return {} if hasattr(CacheService, "shelf") else {"typed": _NOT_YET}

    def plain(self, answer: object) -> object:
        """As `Arm.plain`; `get_many` answers by id."""
        if isinstance(answer, dict) and list(answer) == contents.BATCHES[0]:
            return list(answer.values())
        return plain(answer)

    async def hit(self) -> Work:
        """`get`."""
        cache, ids = self.cache, contents.IDS
        await self._store(ids, contents.VALUES)

        async def work(number: int) -> object:
            return await cache.get(_NAMESPACE, ids[number])

        return work

    async def load(self) -> Work:
        """`get_or_load` of what is stored."""
        cache, ids = self.cache, contents.IDS
        await self._store(ids, contents.VALUES)

        async def loader() -> object:
            return None

        async def work(number: int) -> object:
            return await cache.get_or_load(_NAMESPACE, ids[number], loader)

        return work

    async def many(self) -> Work:
        """`get_many` of a hundred."""
        cache, batches = self.cache, contents.BATCHES
        await self._store(contents.IDS, contents.VALUES)

        async def work(number: int) -> object:
            found = await cache.get_many(_NAMESPACE, batches[number])
            return found if len(found) == contents.BATCH else None

        return work

    async def set(self) -> Work:
        """`set`, False when it was not stored."""
        cache, ids, values = self.cache, contents.IDS, contents.VALUES

        async def work(number: int) -> object:
            return await cache.set(_NAMESPACE, ids[number], values[number]) or None

        return work

    async def typed(self) -> Work:
        """`get` of a shelf of models."""
        shelf, ids = self.cache.shelf(_NAMESPACE, TypedAnswer), contents.IDS
        await self._store(ids, contents.VALUES)

        async def work(number: int) -> object:
            return await shelf.get(ids[number])

        return work

    async def _store(self, ids: Sequence[str], values: Sequence[contents.Answer]) -> None:
        for at in range(0, len(ids), contents.BATCH):
            batch = dict(
                zip(ids[at : at + contents.BATCH], values[at : at + contents.BATCH], strict=True)
            )
            stored = await self.storage.set_many(_NAMESPACE, batch)
            if stored != len(batch):
                raise RuntimeError(f"only {stored} of {len(batch)} values were stored")


class Compressed(Plain):
    """With zstd."""

    title = "valkeyctl, zstd"

    def policy(self) -> NamespacePolicy:
        """As `_Connected.policy`."""
        return NamespacePolicy(_TTL, compress_over=1024)

    def works(self) -> Mapping[str, Prepare]:
        """As `Arm.works`."""
        return {} if self.missing() else {"compressed": self.compressed}

    def missing(self) -> Mapping[str, str]:
        """As `Arm.missing`."""
        return {} if _known("compress_over") else {"compressed": _NOT_YET}

    async def compressed(self) -> Work:
        """`get` of 16 KiB."""
        cache, values = self.cache, contents.large_values()
        ids = contents.IDS[: len(values)]
        await self._store(ids, values)

        async def work(number: int) -> object:
            return await cache.get(_NAMESPACE, ids[number])

        return work


class Near(Plain):
    """With the near cache."""

    title = "valkeyctl near"

    def policy(self) -> NamespacePolicy:
        """As `_Connected.policy`."""
        return NamespacePolicy(_TTL, near=_TTL)

    def storing(self) -> NamespacePolicy:
        """As `_Connected.storing`; it has nothing to keep near."""
        return NamespacePolicy(_TTL)

    def works(self) -> Mapping[str, Prepare]:
        """As `Arm.works`."""
        return {} if self.missing() else {"near": self.near}

    def missing(self) -> Mapping[str, str]:
        """As `Arm.missing`."""
        return {} if _known("near") else {"near": _NOT_YET}

    async def near(self) -> Work:
        """`get` of what is in the process."""
        work = await self.hit()
        before, until = 0, time.monotonic() + _PATIENCE
        # Again and again, for it keeps nothing before the server has agreed to tell it.
        while time.monotonic() < until:
            for number in range(contents.KEYS):
                await work(number)
            answered = self.cache.stats()[_NAMESPACE].near_hits
            if answered - before == contents.KEYS:
                return work
            before = answered
        raise RuntimeError("not every read was answered in the process")


class Invalidation(_Connected):
    """The namespace, by its version."""

    title = "valkeyctl invalidate"
    tags: Collection[str] = ()

    async def fill(self, keys: int) -> None:
        """As `Clearing.fill`; real entries all of them."""
        value = contents.VALUES[0]["text"][:100]
        ids = [*_SAMPLE, *(f"other-{number}" for number in range(keys - len(_SAMPLE)))]
        for at in range(0, keys, _AT_ONCE):
            batch = dict.fromkeys(ids[at : at + _AT_ONCE], value)
            if await self.storage.set_many(_NAMESPACE, batch, tags=self.tags) != len(batch):
                raise RuntimeError("not all entries were stored")

    async def clear(self) -> None:
        """As `Clearing.clear`."""
        await self.cache.invalidate(_NAMESPACE)

    async def served(self) -> int:
        """As `Clearing.served`."""
        return len(await self.storage.get_many(_NAMESPACE, _SAMPLE))


class TagInvalidation(Invalidation):
    """A tag, by its version."""

    title = "valkeyctl invalidate_tag"
    tags = (_TAG,)

    async def clear(self) -> None:
        """As `Clearing.clear`."""
        await self.cache.invalidate_tag(_TAG)


class SingleFlight(_Connected):
    """`get_or_load`."""

    title = "valkeyctl"

    def caller(self, origin: Origin) -> Origin:
        """As `Herd.caller`."""

        async def call() -> object:
            return await self.cache.get_or_load(_NAMESPACE, "cold", origin)

        return call


ARMS = (Plain(), Compressed(), Near())
CLEARINGS = (Invalidation(), TagInvalidation())
HERDS = (SingleFlight(),)
