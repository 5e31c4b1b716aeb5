"""`CacheService`: cache-aside by namespace, with invalidation in constant time."""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Literal, ParamSpec, Self, TypeVar, Unpack, cast, overload

from valkeyctl.caching.client import ValkeyClient
from valkeyctl.caching.codec import Value
from valkeyctl.caching.entries import Entries
from valkeyctl.caching.failopen import FailOpen
from valkeyctl.caching.hottest import Hottest
from valkeyctl.caching.keyring import KeyRing
from valkeyctl.caching.keys import SHARDS, KeyScheme
from valkeyctl.caching.loads import Loader, Loads
from valkeyctl.caching.lookups import Lookups
from valkeyctl.caching.namespaces import Namespaces
from valkeyctl.caching.near import NearCache, NearStats, Quorum
from valkeyctl.caching.observer import Observer, guarded
from valkeyctl.caching.policy import NamespacePolicy
from valkeyctl.caching.reader import Works
from valkeyctl.caching.shelf import BulkLoader, Lookup, Shelf
from valkeyctl.caching.stats import CacheStats
from valkeyctl.caching.values import Typed
from valkeyctl.caching.wakes import Wakes
from valkeyctl.errors import UsageError

if TYPE_CHECKING:
    from valkeyctl.caching.calls import Cached, CallOptions

P = ParamSpec("P")
R = TypeVar("R")
V = TypeVar("V")
D = TypeVar("D")


class CacheService:
    """A cache of values by namespace and id.

    Values are str, int, float, bool, None, bytes, and lists and dicts of them; they come
    back as they were. Pydantic models and dataclasses are stored as such plain values; a
    `shelf` of their type gives them back as they were. Ids are printable and without
    spaces; hash what is not.

    Args:
        client: The connection; one client serves many services.
        app: First part of every key: a-z, 0-9 and inner hyphens.
        policies: How long entries live, by namespace; None takes `DEFAULT_POLICIES`.
            A namespace without a policy needs a ttl at every write.
        budget: Seconds that the server may cost a read or a write (per hundred entries,
            where a call has many); beyond them a read is a miss and a write is skipped.
        lease: Seconds after which callers stop to wait for a process that died while it
            loaded what they wait for.
        keyring: Keys of the namespaces whose policy encrypts.
        observers: Who hears what happens.
        rng: Source of the ttl's jitter and of early refreshes.
        max_value_bytes: Encoded values larger than this are not stored.
        near_bytes: What the near cache may take in this process, about.

    Raises:
        InvalidKeyError: The application's name breaks the rule.
        UsageError: A number is out of range, or a policy encrypts and there are no keys.
        MissingError: A policy needs an extra that is not installed.
    """

    def __init__(
        self,
        client: ValkeyClient,
        *,
        app: str,
        policies: Mapping[str, NamespacePolicy] | None = None,
        budget: float = 0.025,
        lease: float = 5.0,
        keyring: KeyRing | None = None,
        observers: Iterable[Observer] = (),
        rng: random.Random | None = None,
        max_value_bytes: int = 8 * 2**20,
        near_bytes: int = 64 * 2**20,
    ) -> None:
        if not budget > 0 or not 0.01 <= lease <= 3600 or max_value_bytes < 1:
            raise UsageError(
                f"a cache needs budget > 0, a lease of 0.01 to 3600 s and max_value_bytes >= 1, "
                f"not {budget}, {lease} and {max_value_bytes}"
            )
        self.client = client
        self.keys = KeyScheme(app, shards=SHARDS if client.endpoint.topology == "cluster" else 1)
        self._observers = guarded(observers)
        self._spaces = Namespaces(
            policies,
            keyring=keyring,
            max_value_bytes=max_value_bytes,
            observers=self._observers,
            rng=rng or random.Random(),
        )
        entries = Entries(client, self.keys)
        server = FailOpen(entries, budget=budget)
        wakes = Wakes(client, entries.channel)
        ages = self._spaces.near_ages()
        self._near = NearCache(client, self.keys, ages, max_bytes=near_bytes) if ages else None
        self._quorum = Quorum(client, app)
        self._works = Works(
            self.keys,
            entries,
            Lookups(client, budget=budget),
            server,
            Loads(server, wakes, budget=budget, lease=lease),
            self._near,
            client,
            Hottest(client, self.keys, self._spaces.heats()),
        )
        self._shelves: dict[str, Shelf[Value]] = {}
        for observer in self._observers:
            client.breaker.watch(observer.breaker)
        client.adopt(self)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End what goes on in the background; the client stays open.

        Closing the client does the same.
        """
        self.client.disown(self)
        for observer in self._observers:
            self.client.breaker.unwatch(observer.breaker)
        if self._near is not None:
            await self._near.aclose()
        await self._works.hottest.aclose()
        await self._works.loads.aclose()
        await self._works.lookups.aclose()

    @property
    def hottest(self) -> Hottest:
        """Which ids are read most, of the namespaces whose policy asks for it."""
        return self._works.hottest

    def cached(
        self, namespace: str, **options: Unpack[CallOptions]
    ) -> Callable[[Callable[P, Awaitable[R]]], Cached[P, R]]:
        """Return a decorator that answers calls of an async function from a namespace.

        It takes and raises what `calls.cached` does.
        """
        from valkeyctl.caching.calls import cached  # few need it

        return cached(self, namespace, **options)

    @overload
    def shelf(self, namespace: str) -> Shelf[Value]: ...

    @overload
    def shelf(self, namespace: str, form: type[V]) -> Shelf[V]: ...

    @overload
    def shelf(self, namespace: str, form: object) -> Shelf[object]: ...

    def shelf(self, namespace: str, form: object = None) -> Shelf[V] | Shelf[Value]:
        """Return one namespace, for values of the type *form* or for plain ones.

        With a type, what does not fit it any more is a miss, counted and dropped. Do not
        use the same ids with and without a type at the same time: who shares a load
        gets what the loader returned.

        Args:
            namespace: Which.
            form: Any type that pydantic knows; None takes and gives plain values.

        Raises:
            UsageError: Pydantic has no schema for the type.
        """
        if form is not None:
            return Shelf(self._works, self._spaces[namespace].typed(Typed(form)))
        shelf = self._shelves.get(namespace)
        if shelf is None:
            shelf = Shelf(self._works, self._spaces[namespace])
            if len(self._shelves) < 4096:  # against a caller who makes them up
                self._shelves[namespace] = shelf
        return shelf

    async def get(
        self,
        namespace: str,
        id: str,  # noqa: A002
        default: D = None,  # type: ignore[assignment]
    ) -> Value | D:
        """As `Shelf.get`."""
        return await self.shelf(namespace).get(id, default)

    async def contains(self, namespace: str, id: str) -> bool:  # noqa: A002
        """As `Shelf.contains`."""
        return await self.shelf(namespace).contains(id)

    async def get_many(self, namespace: str, ids: Iterable[str]) -> dict[str, Value]:
        """As `Shelf.get_many`."""
        return await self.shelf(namespace).get_many(ids)

    async def set(
        self,
        namespace: str,
        id: str,  # noqa: A002
        value: object,
        ttl: float | None = None,
        tags: Collection[str] = (),
    ) -> bool:
        """As `Shelf.set`."""
        return await cast("Shelf[object]", self.shelf(namespace)).set(id, value, ttl, tags)

    async def set_many(
        self,
        namespace: str,
        values: Mapping[str, object],
        ttl: float | None = None,
        tags: Collection[str] = (),
    ) -> int:
        """As `Shelf.set_many`."""
        return await cast("Shelf[object]", self.shelf(namespace)).set_many(values, ttl, tags)

    async def delete(self, namespace: str, id: str) -> bool:  # noqa: A002
        """As `Shelf.delete`."""
        return await self.shelf(namespace).delete(id)

    async def get_or_load(
        self,
        namespace: str,
        id: str,  # noqa: A002
        loader: Loader[V],
        ttl: float | None = None,
        tags: Collection[str] = (),
        keep: Callable[[V], bool] | None = None,
    ) -> V:
        """As `Shelf.get_or_load`."""
        shelf = cast("Shelf[V]", self.shelf(namespace))
        return await shelf.get_or_load(id, loader, ttl, tags, keep)

    async def fetch(
        self,
        namespace: str,
        id: str,  # noqa: A002
        loader: Loader[V],
        *,
        ttl: float | None = None,
        tags: Collection[str] = (),
        keep: Callable[[V], bool] | None = None,
        refresh: bool = False,
    ) -> Lookup[V]:
        """As `Shelf.fetch`."""
        return await cast("Shelf[V]", self.shelf(namespace)).fetch(
            id, loader, ttl=ttl, tags=tags, keep=keep, refresh=refresh
        )

    async def load_many(
        self,
        namespace: str,
        ids: Iterable[str],
        loader: BulkLoader[V],
        ttl: float | None = None,
        tags: Collection[str] = (),
    ) -> dict[str, V]:
        """As `Shelf.load_many`."""
        return await cast("Shelf[V]", self.shelf(namespace)).load_many(ids, loader, ttl, tags)

    async def invalidate(self, namespace: str) -> None:
        """Make every entry of *namespace* a miss, at constant cost.

        Once this has returned, nobody gets an entry written before, nor a value whose
        loading began before. Where near caches are in use, it returns when each of them
        has acknowledged it, or after 50 ms, from when on those that have not serve
        nothing.

        Raises:
            InvalidKeyError: The namespace breaks the rules.
            ValkeyctlError: The server did not confirm it, so old entries may still be
                served; see `ValkeyClient.execute`.
        """
        await self._invalidated("namespace", namespace, self.keys.versions(namespace))

    async def invalidate_tag(self, tag: str) -> None:
        """Make every entry with *tag* a miss, in all namespaces, at constant cost.

        Raises:
            InvalidKeyError: The tag breaks the rules.
            ValkeyctlError: As `invalidate`.
        """
        await self._invalidated("tag", tag, self.keys.tag_versions(tag))

    def stats(self) -> dict[str, CacheStats]:
        """Return the counts so far, by namespace."""
        return self._spaces.stats()

    def near_stats(self) -> NearStats | None:
        """Return what the near cache holds and has done; None where no policy asks for one."""
        return None if self._near is None else self._near.stats()

    async def _invalidated(
        self, kind: Literal["namespace", "tag"], name: str, versions: tuple[bytes, ...]
    ) -> None:
        began = time.perf_counter()
        ok = False
        try:
            announcement = self._quorum.announce(kind, name)
            holders = await self._works.entries.forget(versions, announcement.command)
            self._works.loads.epoch += 1
            await self._quorum.settle(holders, announcement)
            ok = True
        finally:
            seconds = time.perf_counter() - began
            for observer in self._observers:
                observer.invalidated(name if kind == "namespace" else None, seconds, ok=ok)
