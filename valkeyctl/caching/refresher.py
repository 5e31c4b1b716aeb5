"""`Refresher`: keeps entries from ending, in the background.

A policy's ``early`` and ``stale`` renew what is read; this renews what is named, or what
is hot, also while nobody reads it. Many processes may name the same: each looks when it
thinks an entry is due, at a time of its own, and the first one renews it, under the lease
that loads have; the others then find it fresh.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Hashable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType, TracebackType
from typing import ParamSpec, Self, TypeAlias, TypeVar, cast
from weakref import WeakValueDictionary

import structlog

from valkeyctl.caching.agenda import Agenda
from valkeyctl.caching.calls import Cached
from valkeyctl.caching.crew import Crew, is_cancelled
from valkeyctl.caching.heat import Heat
from valkeyctl.caching.pace import Pacer
from valkeyctl.caching.reader import Works
from valkeyctl.caching.renewal import Renewal, Standing
from valkeyctl.caching.shelf import Shelf
from valkeyctl.caching.trouble import kind_of
from valkeyctl.caching.warming import IdLoader
from valkeyctl.errors import InvalidKeyError, UsageError, ValkeyctlError

P = ParamSpec("P")
R = TypeVar("R")
V = TypeVar("V")

_log = structlog.get_logger("valkeyctl.caching")

# Entries that are looked at in one round trip.
_SURVEYED = 256
# Seconds between attempts after a failure: at first, and at most.
_PAUSE_BASE = 1.0
_PAUSE_CAP = 60.0

_Key: TypeAlias = tuple[Works, bytes]


@dataclass(frozen=True)
class RefresherStats:
    """What a refresher has to do, and did so far.

    Attributes:
        kept: Ids it keeps fresh now.
        renewed: Entries that it loaded.
        fresh: Times that it looked at an entry and found it fresh enough.
        shared: Times that another process or caller was loading the entry already.
        failed: Failures by kind, as `Warmed.failed`.
    """

    kept: int
    renewed: int
    fresh: int
    shared: int
    failed: Mapping[str, int]


@dataclass(eq=False)
class _Item:
    """An id that is kept fresh.

    Attributes:
        renewal: Looks at its entry, and loads it.
        id: The id.
        loader: Returns its value.
        lead: Seconds before the entry's end that it is renewed.
        failures: In a row.
        gone: Whether it is to be kept no more.
    """

    renewal: Renewal[object]
    id: str
    loader: IdLoader[object]
    lead: float = 0.0
    failures: int = 0
    gone: bool = False


@dataclass(eq=False)
class _Hot:
    """A namespace whose hottest ids are kept fresh.

    Attributes:
        renewal: Looks at its entries, and loads them.
        loader: Returns the value of an id.
        heat: Counts its reads.
        limit: How many ids.
        kept: Those that are kept now.
    """

    renewal: Renewal[object]
    loader: IdLoader[object]
    heat: Heat
    limit: int
    kept: dict[str, _Item] = field(default_factory=dict)


class Refresher:
    """Renews the entries of ids before they end: ``async with Refresher() as refresher: ...``.

    It works inside of the block, or between `start` and `aclose`.

    Args:
        ahead: Share of an entry's ttl that is left, about, when it is renewed: 0 to 0.5.
            When exactly is a matter of chance, up to half as much again earlier.
        concurrency: Loads at a time.
        per_second: Loads begun in a second at most; None does not hold back.
        timeout: Seconds that one load may take; None waits for it.
        rescan: Seconds between two looks at which ids are the hottest.
        clock: Monotonic seconds.
        sleep: Waits for so many of them.
        rng: Source of the chance.

    Raises:
        UsageError: A number is out of range.
    """

    def __init__(
        self,
        *,
        ahead: float = 0.2,
        concurrency: int = 4,
        per_second: float | None = None,
        timeout: float | None = 60.0,
        rescan: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        rng: random.Random | None = None,
    ) -> None:
        if not 0 < ahead <= 0.5 or concurrency < 1 or not rescan > 0:
            raise UsageError(
                "a refresher needs ahead above 0 and up to 0.5, concurrency >= 1 and rescan > 0, "
                f"not {ahead}, {concurrency} and {rescan}"
            )
        for name, number in (("per_second", per_second), ("timeout", timeout)):
            if number is not None and not number > 0:
                raise UsageError(f"{name} must be above zero, not {number}")
        self._ahead = ahead
        self._concurrency = concurrency
        self._timeout = timeout
        self._rescan = rescan
        self._rng = rng or random.Random()
        self._pacer = Pacer(per_second, clock=clock, sleep=sleep)
        self._agenda: Agenda[_Item | _Hot] = Agenda(clock=clock, sleep=sleep)
        self._items: dict[_Key, _Item] = {}
        # As long as one of their items is there.
        self._renewals: WeakValueDictionary[Hashable, Renewal[object]] = WeakValueDictionary()
        self._task: asyncio.Task[None] | None = None
        self._renewed = self._fresh = self._shared = 0
        self._failed: Counter[str] = Counter()
        # Namespaces whose last renewal failed: each is logged once.
        self._troubled: set[str] = set()

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    def start(self) -> None:
        """Begin; does nothing where it has begun."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(
                self._run(), name="valkeyctl-refresher"
            )

    async def aclose(self) -> None:
        """End, loads in progress included; what is kept stays as it is."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait((task,))
            if not task.cancelled():
                task.result()  # it ends by itself for a bug alone, which is to be seen

    def add(
        self,
        shelf: Shelf[V],
        id: str,  # noqa: A002
        loader: IdLoader[V],
        *,
        ttl: float | None = None,
        tags: Collection[str] = (),
    ) -> None:
        """Keep the entry of *id* fresh from now on, loading it where there is none.

        Args:
            shelf: Where.
            id: Which; one that is kept already is kept as said here.
            loader: Async callable that returns the value of an id.
            ttl: Seconds that an entry is fresh, exactly; None takes the policy's.
            tags: Of the entry.

        Raises:
            InvalidKeyError, UsageError: As `Shelf.set`.
        """
        self._keep(self._renewal(shelf, ttl, tags, None), id, loader)

    def add_call(self, function: Cached[P, R], *args: P.args, **kwargs: P.kwargs) -> None:
        """Keep the result of a call fresh from now on, of a function that is `cached`.

        Raises:
            UsageError: An argument cannot be part of an id, or there is no cache yet.
        """
        call = function.prepare(*args, **kwargs)
        if call is None:
            raise UsageError(
                f"{function!r} has no cache yet, so there is no result to keep fresh",
                hint="Add the call once the cache is there",
            )
        renewal = self._renewal(call.shelf, call.ttl, call.tags, call.keep)
        self._keep(renewal, call.id, lambda _: call.load())

    def add_hottest(
        self,
        shelf: Shelf[V],
        loader: IdLoader[V],
        *,
        limit: int = 100,
        ttl: float | None = None,
        tags: Collection[str] = (),
    ) -> None:
        """Keep the ids fresh that this process reads most, from now on.

        Args:
            shelf: Where.
            loader: Async callable that returns the value of an id.
            limit: Ids at most.
            ttl: As `add`.
            tags: As `add`.

        Raises:
            InvalidKeyError, UsageError: As `add`; or the policy does not say ``hottest``.
        """
        heat = shelf.space.heat
        if heat is None:
            raise UsageError(
                f"the namespace {shelf.namespace!r} does not count which ids are read most",
                hint="Say how many in its policy: NamespacePolicy(ttl, hottest=1000)",
            )
        renewal = self._renewal(shelf, ttl, tags, None)
        self._agenda.put(_Hot(renewal, loader, heat, limit), 0.0)

    def discard(self, shelf: Shelf[V], id: str) -> bool:  # noqa: A002
        """Keep *id* fresh no more; False when it was not kept. Its entry ends by itself.

        Raises:
            InvalidKeyError: The id breaks the rules.
        """
        return self._drop((shelf.works, shelf.works.keys.place(shelf.namespace, id).key))

    def stats(self) -> RefresherStats:
        """Return the counts so far."""
        return RefresherStats(
            len(self._items),
            self._renewed,
            self._fresh,
            self._shared,
            MappingProxyType(dict(self._failed)),
        )

    def _renewal(
        self,
        shelf: Shelf[V],
        ttl: float | None,
        tags: Collection[str],
        keep: Callable[[V], bool] | None,
    ) -> Renewal[object]:
        """Return the renewal that does so; ids that share one are looked at together."""
        renewal = Renewal(shelf.works, shelf.space, ttl=ttl, tags=tags, keep=keep)
        alike = (shelf.space, ttl, frozenset(tags), keep)
        return self._renewals.setdefault(alike, cast("Renewal[object]", renewal))

    def _keep(self, renewal: Renewal[object], id: str, loader: IdLoader[object]) -> _Item:  # noqa: A002
        key = (renewal.works, renewal.place(id).key)
        self._drop(key)
        item = self._items[key] = _Item(renewal, id, loader)
        self._plan(item, 0.0)
        return item

    def _drop(self, key: _Key) -> bool:
        item = self._items.pop(key, None)
        if item is None:
            return False
        item.gone = True
        self._agenda.drop(item)
        return True

    def _plan(self, item: _Item, fresh: float) -> None:
        """Look at the entry again when it is due, if it is fresh for so many seconds."""
        item.lead = self._ahead * item.renewal.shortest * self._rng.uniform(1, 1.5)
        self._again(item, max(0.0, fresh - item.lead))

    def _again(self, item: _Item, delay: float) -> None:
        if not item.gone:
            self._agenda.put(item, delay)

    async def _run(self) -> None:
        async with Crew(self._concurrency) as crew:
            while True:
                together: dict[Renewal[object], list[_Item]] = {}
                for thing in await self._agenda.due(_SURVEYED):
                    if isinstance(thing, _Hot):
                        self._follow(thing)
                    else:
                        together.setdefault(thing.renewal, []).append(thing)
                for renewal, items in together.items():
                    await self._look(crew, renewal, items)

    async def _look(self, crew: Crew, renewal: Renewal[object], items: list[_Item]) -> None:
        try:
            standings = await renewal.survey([item.id for item in items])
        except ValkeyctlError as error:
            for item in items:
                self._fail(item, kind_of(error), str(error))
            return
        for item, standing in zip(items, standings, strict=True):
            if standing.fresh > item.lead:
                self._fresh += 1
                item.failures = 0
                self._plan(item, standing.fresh)
            elif not item.gone:
                await self._pacer.turn()
                await crew.start(self._renew(item, standing))

    async def _renew(self, item: _Item, standing: Standing) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                renewed = await item.renewal.load(standing, lambda: item.loader(item.id))
        except asyncio.CancelledError as error:
            if is_cancelled():
                raise
            self._fail(item, type(error).__name__, "the loader cancelled itself")
        except Exception as error:  # noqa: BLE001 - the loader's own, whatever it is
            name = type(error).__name__
            kind = kind_of(error) if isinstance(error, ValkeyctlError) else name
            self._fail(item, kind, f"{name}: {error}")
        else:
            if renewed == "not_stored":
                self._fail(item, renewed, "what was loaded could not be stored")
                return
            item.failures = 0
            self._troubled.discard(item.renewal.space.name)
            if renewed == "loaded":
                self._renewed += 1
                self._plan(item, item.renewal.shortest)
            else:
                self._shared += 1
                # How long what the other one stored is fresh, a look will show.
                self._again(item, item.lead / 2)

    def _fail(self, item: _Item, kind: str, reason: str) -> None:
        """Count a failure, and try again after a pause that grows."""
        self._failed[kind] += 1
        item.failures += 1
        namespace = item.renewal.space.name
        if namespace not in self._troubled:
            self._troubled.add(namespace)
            _log.warning("cache_refresh_failed", namespace=namespace, reason=reason)
        pause = min(_PAUSE_CAP, _PAUSE_BASE * 2 ** min(item.failures - 1, 16))
        self._again(item, pause * self._rng.uniform(0.5, 1))

    def _follow(self, hot: _Hot) -> None:
        """Keep what is hottest now, and what is not any more no longer."""
        top = {found.id for found in hot.heat.top(hot.limit)}
        for id in hot.kept.keys() - top:  # noqa: A001
            item = hot.kept.pop(id)
            if not item.gone:
                self._drop((item.renewal.works, item.renewal.place(id).key))
        for id in top - hot.kept.keys():  # noqa: A001
            try:
                key = (hot.renewal.works, hot.renewal.place(id).key)
            except InvalidKeyError:
                continue  # somebody asks for it, and never gets it
            if key not in self._items:  # what was added by name is kept as it was said
                hot.kept[id] = self._keep(hot.renewal, id, hot.loader)
        self._agenda.put(hot, self._rescan)
