"""`CacheService`: cache-aside by namespace, with invalidation in constant time.

How an entry is found valid, and what invalidating does, is described in `entries`.

Callers that miss the same entry at the same time share one load, but only those that
saw the same versions: one that came after an invalidation never gets a value whose
loading began before it. When no version can be had - the server is gone, or too full
to make one - callers in one process share a load all the same, to spare the origin;
another process's invalidation is then not seen until that load ends.

The cache fails open: a read that fails is a miss, a write that fails is skipped, both
within `budget` and counted. `delete` and `invalidate` raise instead, for one that
silently did not happen would be a lie.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar, cast

from valkeyctl.caching.client import ValkeyClient
from valkeyctl.caching.codec import Value, encode
from valkeyctl.caching.entries import Draft, Entries
from valkeyctl.caching.failopen import FailOpenEntries
from valkeyctl.caching.flight import Flights
from valkeyctl.caching.keys import KeyScheme
from valkeyctl.caching.policy import NamespacePolicy, Policies
from valkeyctl.caching.stats import CacheStats
from valkeyctl.errors import UsageError

V = TypeVar("V")
D = TypeVar("D")

Loader = Callable[[], Awaitable[V]]
# A version must outlive the load that remembers it, or the loaded value is not stored; a
# model may take minutes to answer.
_SHORTEST_VERSION = 600.0


@dataclass(frozen=True)
class Lookup(Generic[V]):
    """A value and where it came from.

    Attributes:
        value: The value.
        outcome: ``hit``: read; ``miss``: loaded by this call; ``collapsed``: loaded by
            another call at the same time.
        age: Seconds since it was stored, by the server's clock; None unless a hit.
        ttl: Seconds that the entry has left; None unless a hit, or stored by this call.
    """

    value: V
    outcome: Literal["hit", "miss", "collapsed"]
    age: float | None = None
    ttl: float | None = None


class CacheService:
    """A cache of values by namespace and id.

    Values are str, int, float, bool, None, bytes, and lists and dicts of them; they come
    back as they were. Ids are printable and without spaces; hash what is not.

    Args:
        client: The connection; one client serves many services.
        app: First part of every key: a-z, 0-9 and inner hyphens.
        policies: How long entries live, by namespace; None takes `DEFAULT_POLICIES`.
            A namespace without a policy needs a ttl at every write.
        budget: Seconds that the server may cost a read or a write (per hundred entries,
            where a call has many); beyond them a read is a miss and a write is skipped.
        rng: Source of the ttl's jitter.
        max_value_bytes: Encoded values larger than this are not stored.

    Raises:
        InvalidKeyError: The application's name breaks the rule.
        UsageError: A number is out of range.
    """

    def __init__(
        self,
        client: ValkeyClient,
        *,
        app: str,
        policies: Mapping[str, NamespacePolicy] | None = None,
        budget: float = 0.025,
        rng: random.Random | None = None,
        max_value_bytes: int = 8 * 2**20,
    ) -> None:
        if not budget > 0 or max_value_bytes < 1:
            raise UsageError(
                f"a cache needs budget > 0 and max_value_bytes >= 1, "
                f"not {budget} and {max_value_bytes}"
            )
        self.client = client
        self.keys = KeyScheme(app)
        self._policies = Policies(policies, rng or random.Random())
        self._entries = FailOpenEntries(
            Entries(client, self.keys), budget=budget, max_value_bytes=max_value_bytes
        )
        self._flights: Flights[object] = Flights()
        # Grows with every invalidation here; stands in for the versions where there are none.
        self._epoch = 0

    async def get(
        self,
        namespace: str,
        id: str,  # noqa: A002
        default: D = None,  # type: ignore[assignment]
    ) -> Value | D:
        """Return the stored value, or *default* on a miss; never raises for the server.

        Raises:
            InvalidKeyError: The namespace or the id breaks the rules.
        """
        found = await self._entries.look(namespace, id)
        return found.value if found is not None else default

    async def contains(self, namespace: str, id: str) -> bool:  # noqa: A002
        """Say whether `get` would hit; counts as a read.

        Raises:
            InvalidKeyError: The namespace or the id breaks the rules.
        """
        return await self._entries.look(namespace, id) is not None

    async def get_many(self, namespace: str, ids: Iterable[str]) -> dict[str, Value]:
        """Return the stored values by id, misses left out; one round trip.

        Raises:
            InvalidKeyError: The namespace or an id breaks the rules.
        """
        wanted = list(dict.fromkeys(ids))
        if not wanted:
            return {}
        return await self._entries.look_many(namespace, wanted)

    async def set(
        self,
        namespace: str,
        id: str,  # noqa: A002
        value: object,
        ttl: float | None = None,
        tags: Collection[str] = (),
    ) -> bool:
        """Store *value*; False when it was not, because the server failed or it is too large.

        Args:
            namespace: Where.
            id: Under which id.
            value: See the class.
            ttl: Seconds to live, exactly; None takes the policy's, with its jitter.
            tags: What `invalidate_tag` may later name; at most 32.

        Raises:
            InvalidKeyError: A key or tag breaks the rules, or there is neither ttl nor policy.
            UsageError: The value would not come back as it is, or the ttl is not above zero.
        """
        return await self.set_many(namespace, {id: value}, ttl=ttl, tags=tags) == 1

    async def set_many(
        self,
        namespace: str,
        values: Mapping[str, object],
        ttl: float | None = None,
        tags: Collection[str] = (),
    ) -> int:
        """Store *values* by id in one round trip; return how many were.

        Raises:
            InvalidKeyError, UsageError: As `set`; then nothing was stored.
        """
        words = self.keys.tag_words(tags)
        drafts = []
        for id, value in values.items():  # noqa: A001
            key, _ = self.keys.entry(namespace, id)
            lifetime = self._policies.lifetime(namespace, ttl)
            drafts.append(Draft(id, *encode(value), lifetime, words))
            # A load in progress would otherwise put its older value over this one.
            self._flights.forget(key)
        return await self._entries.write(namespace, drafts)

    async def delete(self, namespace: str, id: str) -> bool:  # noqa: A002
        """Delete one entry; False when there was none.

        A load in progress in this process is not stored afterwards; one in another
        process may be. Use a tag or a namespace and `invalidate` where that matters.

        Raises:
            InvalidKeyError: The namespace or the id breaks the rules.
            ValkeyctlError: The server did not confirm it; see `ValkeyClient.execute`.
        """
        key, _ = self.keys.entry(namespace, id)
        self._flights.forget(key)
        deleted = await self._entries.all.delete(namespace, id)
        self._flights.forget(key)  # one that began while the answer was on its way
        return deleted

    async def invalidate(self, namespace: str) -> None:
        """Make every entry of *namespace* a miss, at constant cost.

        Once this has returned, nobody gets an entry written before, nor a value whose
        loading began before.

        Raises:
            InvalidKeyError: The namespace breaks the rules.
            ValkeyctlError: The server did not confirm it, so old entries may still be
                served; see `ValkeyClient.execute`.
        """
        await self._entries.all.invalidate(namespace)
        self._epoch += 1

    async def invalidate_tag(self, tag: str) -> None:
        """Make every entry with *tag* a miss, in all namespaces, at constant cost.

        Raises:
            InvalidKeyError: The tag breaks the rules.
            ValkeyctlError: As `invalidate`.
        """
        await self._entries.all.invalidate_tag(tag)
        self._epoch += 1

    async def get_or_load(
        self,
        namespace: str,
        id: str,  # noqa: A002
        loader: Loader[V],
        ttl: float | None = None,
        tags: Collection[str] = (),
    ) -> V:
        """Return the stored value, or what *loader* returns, which is then stored.

        As `fetch`, without the circumstances.
        """
        lookup = await self._fetch(namespace, id, loader, ttl, tags, details=False)
        return lookup.value

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
        """Return the stored value, or what *loader* returns, with where it came from.

        Callers that miss together share one load and its value, which is one object: do
        not change it. The loader's exception reaches all of them and is not stored; a
        value that cannot be stored is returned all the same.

        Args:
            namespace: Where.
            id: Under which id.
            loader: Async callable without arguments, called on a miss.
            ttl: Seconds to live, exactly; None takes the policy's, with its jitter.
            tags: What `invalidate_tag` may later name; at most 32.
            keep: Says whether a loaded value may be stored; None stores all.
            refresh: Load even where an entry is stored; the new value takes its place.

        Raises:
            InvalidKeyError: A key or tag breaks the rules, or there is neither ttl nor policy.
            Exception: What the loader raised.
        """
        return await self._fetch(
            namespace, id, loader, ttl, tags, details=True, keep=keep, refresh=refresh
        )

    def stats(self) -> dict[str, CacheStats]:
        """Return the counts so far, by namespace."""
        return self._entries.stats()

    async def _fetch(
        self,
        namespace: str,
        id: str,  # noqa: A002
        loader: Loader[V],
        ttl: float | None,
        tags: Collection[str],
        *,
        details: bool,
        keep: Callable[[V], bool] | None = None,
        refresh: bool = False,
    ) -> Lookup[V]:
        key, _ = self.keys.entry(namespace, id)
        words = self.keys.tag_words(tags)
        lifetime = self._policies.lifetime(namespace, ttl)
        tally = self._entries.tally(namespace)
        with self._flights.watch(key) as watch:
            found, seen = await self._entries.look_to_load(
                namespace,
                id,
                words,
                max(lifetime, _SHORTEST_VERSION),
                details=details,
                refresh=refresh,
            )
        if found is not None:
            return Lookup(cast("V", found.value), "hit", found.age, found.ttl)
        stored = False

        async def load() -> object:
            tally.misses += 1
            return await loader()

        async def store(value: object) -> None:
            nonlocal stored
            if seen is not None and (keep is None or keep(cast("V", value))):
                stored = await self._entries.keep(namespace, id, value, lifetime, words, seen)

        token = self._epoch if seen is None else seen
        value, shared = await self._flights.run(key, token, load, store, watch)
        if shared:
            tally.collapsed += 1
            return Lookup(cast("V", value), "collapsed")
        return Lookup(cast("V", value), "miss", ttl=lifetime if stored else None)
