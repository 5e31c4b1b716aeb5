"""`Shelf`: one namespace of a cache, with the type of its values.

What may be served when is said by the namespace's policy; how an entry is found valid by
`entries`; who loads a missing one by `loads`. The cache fails open: a read that fails is
a miss, a write that fails is skipped, both within the budget and counted. `delete`
raises instead, for one that silently did not happen would be a lie.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Literal, ParamSpec, TypeVar, Unpack, cast

from valkeyctl.caching.entries import REPLACE_ANY, Draft, Seen
from valkeyctl.caching.failopen import Found
from valkeyctl.caching.keys import distinct
from valkeyctl.caching.loads import Loader, Request
from valkeyctl.caching.lookups import Looked
from valkeyctl.caching.namespaces import Namespace
from valkeyctl.caching.near import MISS
from valkeyctl.caching.policy import NamespacePolicy
from valkeyctl.caching.reader import Reader, Works
from valkeyctl.caching.turnwise import Turnwise
from valkeyctl.caching.values import Typed
from valkeyctl.errors import UsageError, ValkeyctlError

if TYPE_CHECKING:
    from valkeyctl.caching.calls import Cached, CallOptions

P = ParamSpec("P")
R = TypeVar("R")
V = TypeVar("V")
D = TypeVar("D")
T = TypeVar("T")

BulkLoader = Callable[[Sequence[str]], Awaitable[Mapping[str, V]]]


@dataclass(frozen=True)
class Lookup(Generic[V]):
    """A value and where it came from.

    Attributes:
        value: The value.
        outcome: ``hit``: read; ``stale``: read, past its ttl; ``miss``: loaded by this call;
            ``collapsed``: loaded by another call at the same time.
        age: Seconds since it was stored, by the server's clock; None unless read.
        ttl: Seconds that the entry stays fresh; None unless read, or stored by this call.
    """

    value: V
    outcome: Literal["hit", "stale", "miss", "collapsed"]
    age: float | None = None
    ttl: float | None = None


class Shelf(Generic[V]):
    """One namespace of a `CacheService`, which makes it.

    Ids are printable and without spaces; hash what is not.
    """

    def __init__(self, works: Works, space: Namespace) -> None:
        self._works = works
        self._space = space
        self._reader = Reader(works, space)

    @property
    def namespace(self) -> str:
        """Its name."""
        return self._space.name

    @property
    def policy(self) -> NamespacePolicy:
        """Its rule; of a namespace that was given none, one without grace."""
        return self._space.policy

    @property
    def works(self) -> Works:
        """What it reads and writes with; for the rest of the library."""
        return self._works

    @property
    def space(self) -> Namespace:
        """What is known of the namespace; for the rest of the library."""
        return self._space

    def typed(self, form: object) -> Shelf[object]:
        """Return the same namespace for values of the type *form*; as `CacheService.shelf`.

        Raises:
            UsageError: Pydantic has no schema for the type.
        """
        return Shelf(self._works, self._space.typed(Typed(form)))

    def cached(
        self, **options: Unpack[CallOptions]
    ) -> Callable[[Callable[P, Awaitable[R]]], Cached[P, R]]:
        """Return a decorator that answers calls of an async function from here.

        It takes and raises what `calls.cached` does.
        """
        from valkeyctl.caching.calls import cached  # which is made of shelves

        return cached(self, **options)

    async def get(
        self,
        id: str,  # noqa: A002
        default: D = None,  # type: ignore[assignment]
    ) -> V | D:
        """Return the stored value, or *default* on a miss; never raises for the server.

        Raises:
            InvalidKeyError: The namespace or the id breaks the rules.
        """
        value = self._reader.held(id)
        if value is not MISS:
            return cast("V", value)
        found = await self._reader.found(id)
        return default if found is None else cast("V", found.value)

    async def contains(self, id: str) -> bool:  # noqa: A002
        """Say whether `get` would hit; counts as a read.

        Raises:
            InvalidKeyError: The namespace or the id breaks the rules.
        """
        if self._reader.held(id) is not MISS:
            return True
        return await self._reader.found(id) is not None

    async def get_many(self, ids: Iterable[str]) -> dict[str, V]:
        """Return the stored values by id, misses left out; one round trip.

        Raises:
            InvalidKeyError: The namespace or an id breaks the rules.
        """
        wanted = distinct(ids)
        held = {id: self._reader.held(id) for id in wanted}  # noqa: A001
        values = {id: cast("V", value) for id, value in held.items() if value is not MISS}  # noqa: A001
        asked = [id for id in wanted if id not in values]  # noqa: A001
        found, _ = await self._reader.found_many(asked)
        for id in asked:  # noqa: A001
            entry = self._reader.counted(found.get(id))
            if entry is not None:
                values[id] = cast("V", entry.value)
        return {id: values[id] for id in wanted if id in values}  # noqa: A001

    async def set(
        self,
        id: str,  # noqa: A002
        value: V,
        ttl: float | None = None,
        tags: Collection[str] = (),
    ) -> bool:
        """Store *value*; False when the server did not confirm it, or it is too large.

        Args:
            id: Under which id.
            value: See `CacheService`, or of the shelf's type.
            ttl: Seconds that it is fresh, exactly; None takes the policy's, with its jitter.
            tags: What `CacheService.invalidate_tag` may later name; at most 32.

        Raises:
            InvalidKeyError: A key or tag breaks the rules, or there is neither ttl nor policy.
            UsageError: The value would not come back as it is, or the ttl is not above zero.
        """
        (draft,) = self._drafts({id: value}, ttl, tags)
        result = await self._works.server.put(self._space, draft)
        self._reader.forget(id, draft.place)
        return result == "stored"

    async def set_many(
        self,
        values: Mapping[str, V],
        ttl: float | None = None,
        tags: Collection[str] = (),
    ) -> int:
        """Store *values* by id in one round trip; return how many were.

        Raises:
            InvalidKeyError, UsageError: As `set`; then nothing was stored.
        """
        space = self._space
        drafts = self._drafts(values, ttl, tags)
        results = await self._works.server.write([(space, draft) for draft in drafts])
        for id, draft in zip(values, drafts, strict=True):  # noqa: A001
            self._reader.forget(id, draft.place)
        return results.count("stored")

    def _drafts(
        self, values: Mapping[str, V], ttl: float | None, tags: Collection[str]
    ) -> list[Draft]:
        """Return *values* ready to be stored, and let no load in progress here undo that."""
        works, space = self._works, self._space
        words = works.keys.tag_words(tags)
        drafts = []
        for id, value in values.items():  # noqa: A001
            place = works.keys.place(space.name, id)
            life, fresh = space.spans(space.lifetime(ttl))
            payload = space.pack(place.key, value, len(words))
            drafts.append(Draft(place, payload, life, fresh, tags=words))
        for draft in drafts:
            # A load in progress would otherwise put its older value over this one.
            works.loads.forget(draft.place.key)
        return drafts

    async def delete(self, id: str) -> bool:  # noqa: A002
        """Delete one entry; False when there was none.

        What is being loaded meanwhile, by any process, is not stored afterwards.

        Raises:
            InvalidKeyError: The namespace or the id breaks the rules.
            ValkeyctlError: The server did not confirm it; see `ValkeyClient.execute`.
        """
        place = self._works.keys.place(self._space.name, id)
        self._works.loads.forget(place.key)
        deleted = await self._works.entries.delete(place)
        self._works.loads.forget(place.key)  # one that began while the answer was on its way
        self._reader.forget(id, place)
        return deleted

    async def get_or_load(
        self,
        id: str,  # noqa: A002
        loader: Loader[V],
        ttl: float | None = None,
        tags: Collection[str] = (),
        keep: Callable[[V], bool] | None = None,
    ) -> V:
        """Return the stored value, or what *loader* returns, which is then stored.

        As `fetch`, without the circumstances.
        """
        value = self._reader.held(id)
        if value is not MISS:
            return cast("V", value)
        works, space = self._works, self._space
        lifetime = space.lifetime(ttl)
        words = works.keys.tag_words(tags)
        place = works.keys.place(space.name, id)
        token = self._reader.begin()
        looked = await works.lookups.look(place, words, details=token is not None)
        found = await works.server.opened(space, place, looked)
        if found is not None and found.freshness == "fresh":
            self._reader.hold(id, place, found, token)
            space.tally.read("hit", found.size)
            return cast("V", found.value)
        request = Request(space, place, loader, lifetime, words, keep)
        return (await self._settled(request, looked, found)).value

    async def fetch(
        self,
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
        not change it. The loader's exception reaches all of them in this process and is
        not stored; a value that cannot be stored is returned all the same.

        Args:
            id: Under which id.
            loader: Async callable without arguments, called on a miss.
            ttl: Seconds that it is fresh, exactly; None takes the policy's, with its jitter.
            tags: What `CacheService.invalidate_tag` may later name; at most 32.
            keep: Says whether a loaded value may be stored; None stores all.
            refresh: Load even where an entry is stored; the new value takes its place.

        Raises:
            InvalidKeyError: A key or tag breaks the rules, or there is neither ttl nor policy.
            Exception: What the loader raised.
        """
        works, space = self._works, self._space
        lifetime = space.lifetime(ttl)
        words = works.keys.tag_words(tags)
        place = works.keys.place(space.name, id)
        self._reader.asked(id)
        looked = await works.lookups.look(place, words, details=True)
        found = await works.server.opened(space, place, looked)
        request = Request(space, place, loader, lifetime, words, keep)
        if refresh:
            request = dataclasses.replace(request, replace=REPLACE_ANY, cause="forced")
            return await self._loaded(request, looked)
        return await self._settled(request, looked, found)

    async def load_many(
        self,
        ids: Iterable[str],
        loader: BulkLoader[V],
        ttl: float | None = None,
        tags: Collection[str] = (),
    ) -> dict[str, V]:
        """Return the values by id; those not stored are loaded by one call, and then stored.

        One round trip reads, one asks who may load, one writes. Ids that another caller
        loads at the same time are waited for instead; ids that *loader* does not return
        are left out.

        Args:
            ids: Which.
            loader: Async callable that gets the missing ids and returns values by id.
            ttl: As `set`.
            tags: As `set`.

        Raises:
            InvalidKeyError, UsageError: As `set`.
            Exception: What the loader raised.
        """
        wanted = distinct(ids)
        space = self._space
        words = self._works.keys.tag_words(tags)
        lifetimes = {id: space.lifetime(ttl) for id in wanted}  # noqa: A001
        for id in wanted:  # noqa: A001
            self._reader.asked(id)
        found, looked = await self._reader.found_many(wanted, words)
        absent = object()

        async def load_all(asked: Sequence[str]) -> list[object]:
            loaded = await loader(asked)
            if not isinstance(loaded, Mapping):
                raise UsageError(
                    f"a bulk loader returned a {type(loaded).__name__}",
                    hint="Return a mapping of ids to values",
                )
            return [loaded.get(id, absent) for id in asked]  # noqa: A001

        together: Turnwise[str, object] = Turnwise(load_all)

        async def get_one(id: str) -> object:  # noqa: A002
            place = self._works.keys.place(space.name, id)

            async def load() -> object:
                return await together.add(id)

            request = Request(
                space,
                place,
                load,
                lifetimes[id],
                words,
                keep=lambda value: value is not absent,
            )
            return (await self._settled(request, looked.get(id), found.get(id))).value

        values: dict[str, object] = {}
        for id, entry in found.items():  # noqa: A001
            if entry.freshness == "fresh":
                values[id] = self._served(entry).value
        others = [id for id in wanted if id not in values]  # noqa: A001
        tasks = [asyncio.ensure_future(get_one(id)) for id in others]  # noqa: A001
        try:
            values |= zip(others, await asyncio.gather(*tasks), strict=True)
        except BaseException:
            # Those that wait for another process would go on to do so.
            for task in tasks:
                task.cancel()
            raise
        return {id: cast("V", values[id]) for id in wanted if values[id] is not absent}  # noqa: A001

    async def _settled(
        self, request: Request[T], looked: Looked | ValkeyctlError | None, found: Found | None
    ) -> Lookup[T]:
        """Return what is there, or else load it."""
        if found is None:
            return await self._loaded(request, looked)
        created = found.created_ms.to_bytes(8, "big")
        if found.freshness == "expired":
            fallback = found if found.on_error else None
            again = dataclasses.replace(request, replace=created)
            return await self._loaded(again, looked, fallback)
        if found.freshness != "fresh":
            again = dataclasses.replace(request, replace=created, cause=found.freshness)
            self._works.loads.refresh(again, _seen(looked))
        return cast("Lookup[T]", self._served(found))

    def _served(self, found: Found) -> Lookup[V]:
        fresh = found.freshness in {"fresh", "early"}
        outcome: Literal["hit", "stale"] = "hit" if fresh else "stale"
        self._space.tally.read(outcome, found.size)
        return Lookup(cast("V", found.value), outcome, found.age, found.ttl)

    async def _loaded(
        self,
        request: Request[T],
        looked: Looked | ValkeyctlError | None,
        fallback: Found | None = None,
    ) -> Lookup[T]:
        """Return what the loader brings, or *fallback* where it raises."""
        try:
            landing, shared = await self._works.loads.run(request, _seen(looked))
        except Exception:
            if fallback is not None:
                return cast("Lookup[T]", self._served(fallback))
            self._space.tally.read("miss")
            raise
        outcome = "collapsed" if shared else landing.outcome
        self._space.tally.read(outcome, 0 if shared else landing.size)
        return Lookup(cast("T", landing.value), outcome, ttl=None if shared else landing.ttl)


def _seen(looked: Looked | ValkeyctlError | None) -> Seen | None:
    return Seen(looked.version, looked.tags) if isinstance(looked, Looked) else None
