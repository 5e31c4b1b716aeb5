"""Single-flight: of all callers in all processes that miss an entry, one loads it.

Inside a process callers share a flight. Between processes the server hands a lease to
one of them; the others sleep until it ends, and then look again. Only callers that
came before the load began, or that saw the versions it began under, share its value:
one that came after an invalidation never gets a value whose loading began before it.

When the server is gone there is no lease and nothing is stored; while the breaker is
open, callers in one process share a load all the same, to spare the origin.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Coroutine, Hashable
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar, cast

import structlog

from valkeyctl.caching.entries import REPLACE_ANY, Bid, Draft, Granted, Present, Seen
from valkeyctl.caching.failopen import FailOpen
from valkeyctl.caching.flight import ANYONE, Flight, Flights
from valkeyctl.caching.keys import Place
from valkeyctl.caching.namespaces import Namespace
from valkeyctl.caching.observer import Cause, Written
from valkeyctl.caching.wakes import Verdict, Wakes

V = TypeVar("V")

_log = structlog.get_logger("valkeyctl.caching")

# A version must outlive the load that remembers it, or the loaded value is not stored; a
# model may take minutes to answer.
_SHORTEST_VERSION = 600.0
# A lease is renewed so many times before it would run out.
_RENEWALS = 3

# Seconds between background loads of one key, after one that failed.
_REST = 1.0
# Keys that are remembered for it, before those that are over are forgotten.
_RESTING = 1024

Loader = Callable[[], Awaitable[V]]


@dataclass(frozen=True)
class Request(Generic[V]):
    """What is to be loaded, and how it is stored.

    Attributes:
        space: Its namespace.
        place: Where the entry lies.
        loader: Brings the value.
        ttl: Seconds that it is fresh.
        tags: As `KeyScheme.tag_words` gives them.
        keep: Says whether a loaded value may be stored; None stores all.
        replace: As `Bid` takes it.
        cause: Why it is loaded.
    """

    space: Namespace
    place: Place
    loader: Loader[V]
    ttl: float
    tags: tuple[bytes, ...] = ()
    keep: Callable[[V], bool] | None = None
    replace: bytes = b""
    cause: Cause = "miss"


@dataclass(eq=False)
class Landing:
    """What a flight brings to all of its callers.

    Attributes:
        value: The value.
        outcome: ``miss``: this process loaded it; ``collapsed``: another one did.
        size: Bytes of the entry where it came from the server.
        cost: Seconds that loading it took here.
        seen: The versions it was loaded under; None where it must not be stored.
        token: Of the lease that it was loaded under.
        ttl: Seconds that the entry stays fresh, once it is stored.
    """

    value: object
    outcome: Literal["miss", "collapsed"]
    size: int = 0
    cost: float = 0.0
    seen: Seen | None = None
    token: bytes = b""
    ttl: float | None = None


class _Elsewhere(Exception):  # noqa: N818 - it ends a refresh that nobody waits for
    """Another process renews the entry."""


class _Repeated:
    """Calls *call* every so many seconds; cheaper than a task, for what is mostly cancelled."""

    __slots__ = ("_call", "_pause", "_timer")

    def __init__(self, pause: float, call: Callable[[], None]) -> None:
        self._pause = pause
        self._call = call
        self._set()

    def cancel(self) -> None:
        """Call no more."""
        self._timer.cancel()

    def _set(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._pause, self._due)

    def _due(self) -> None:
        self._call()
        self._set()


class Loads:
    """The loads of one service.

    Args:
        server: The entries.
        wakes: Hears when leases end.
        budget: Seconds that asking for a lease may take.
        lease: Seconds that one lives without being renewed: how long the others wait for
            a holder that died.
    """

    def __init__(self, server: FailOpen, wakes: Wakes, *, budget: float, lease: float) -> None:
        self._server = server
        self._wakes = wakes
        self._budget = budget
        self._lease = lease
        self._flights: Flights[Landing] = Flights()
        self._refreshes: dict[bytes, asyncio.Task[None]] = {}
        self._resting: dict[bytes, float] = {}
        self._errands: set[asyncio.Task[None]] = set()
        # Grows with every invalidation here; stands in for the versions where there are none.
        self.epoch = 0

    def forget(self, key: bytes) -> None:
        """Let nobody else join the load of *key* here, and let its value not be stored."""
        self._flights.forget(key)

    async def run(self, request: Request[V], seen: Seen | None) -> tuple[Landing, bool]:
        """Return the loaded value, and whether another caller's load brought it.

        Args:
            request: What.
            seen: The versions that the caller's lookup saw; None when it failed.

        Raises:
            Exception: What the loader raised.
        """

        async def load(flight: Flight[Landing]) -> Landing:
            flight.forced = flight.forced or request.replace == REPLACE_ANY
            if seen is None:
                # Asking again would cost the budget again. Those of the same turn may join.
                flight.token = ANYONE
                await asyncio.sleep(0)
                flight.token = self._token(None)
                return await self._called(request, Landing(None, "miss"))
            return await self._bring(request, flight)

        async def store(flight: Flight[Landing], landing: Landing) -> None:
            await self._store(request, flight, landing)

        flight = self._flights.get(request.place.key)
        if request.cause == "forced":
            # Who wants a new value wants neither one whose loading has begun already nor
            # one that is there.
            token: Hashable = object()
            anew = request.replace == REPLACE_ANY
            if anew and flight is not None and not flight.forced:
                self._flights.leave(request.place.key, flight)
        else:
            token = self._token(seen)
            if flight is not None and flight.lease and flight.token == token:
                # Another process may have set or deleted the entry since the load began.
                held = await self._server.holds(request.space, request.place, flight.lease)
                if held is False:
                    self._flights.leave(request.place.key, flight)
                elif held is None:
                    seen, token = None, self._token(None)
        return await self._flights.run(request.place.key, token, load, store)

    def refresh(self, request: Request[V], seen: Seen | None) -> None:
        """Load in the background, unless somebody does already; failures are counted."""
        key = request.place.key
        if self._resting.get(key, 0.0) > time.monotonic():
            return
        if key not in self._flights and key not in self._refreshes:
            refresh = self._run(self._refreshed(request, seen))
            self._refreshes[key] = refresh
            refresh.add_done_callback(lambda _: self._refreshes.pop(key))

    async def aclose(self) -> None:
        """End what goes on in the background."""
        await _ended(self._refreshes.values())
        if self._errands:
            # Other processes wait for the leases that are just being given back.
            await asyncio.wait(self._errands, timeout=self._budget)
        await _ended(self._errands)
        await self._wakes.aclose()

    def _token(self, seen: Seen | None) -> Hashable:
        """Return what the value of a load that begins now depends on.

        Without versions an invalidation by another process would not show, so such a load
        is not shared once it has begun. While the breaker says that the server is gone it
        is, to spare the origin: then nobody here could hear of an invalidation anyway.
        """
        if seen is None:
            return self.epoch if self._server.is_away else object()
        return seen if seen.complete else object()

    async def _refreshed(self, request: Request[V], seen: Seen | None) -> None:
        try:
            await self.run(request, seen)
        except _Elsewhere:
            pass
        except Exception as error:  # noqa: BLE001 - the loader's own; nobody waits for it
            self._rest(request.place.key)
            _log.warning(
                "cache_refresh_failed",
                namespace=request.space.name,
                reason=f"{type(error).__name__}: {error}",
            )

    def _rest(self, key: bytes) -> None:
        """Renew *key* no more for a moment: a failing origin must not be called back to back."""
        now = time.monotonic()
        if len(self._resting) >= _RESTING:
            self._resting = {key: until for key, until in self._resting.items() if until > now}
        self._resting[key] = now + _REST

    async def _bring(self, request: Request[V], flight: Flight[Landing]) -> Landing:
        """Load the value, or wait until another process has."""
        space, place = request.space, request.place
        flight.token = ANYONE
        await self._wakes.ready(self._budget)
        replace = REPLACE_ANY if flight.nested or flight.forced else request.replace
        while True:
            flight.token = ANYONE
            bid = self._bid(request, replace)
            in_time = len(flight.waiters)
            with self._wakes.watch(place.key) as wake:
                try:
                    claim = await self._server.claim(space, bid)
                except BaseException:
                    # It may have been granted, and nobody else would give it back.
                    self._release(request, bid.token, look_again=True)
                    raise
                if claim is None:
                    self._release(request, bid.token, look_again=True)  # likewise
                    flight.token = self._token(None)
                    return await self._called(request, Landing(None, "miss"))
                if isinstance(claim, Present):
                    found = await self._server.unpacked(space, place, claim.stored, claim.now_ms)
                    if found is None:
                        replace = REPLACE_ANY  # nobody can read it
                    elif found.freshness == "expired":
                        replace = found.created_ms.to_bytes(8, "big")
                    else:
                        # Who joined after the question may have come after an invalidation
                        # that came after the answer.
                        flight.reach = in_time
                        return Landing(found.value, "collapsed", found.size)
                    continue
                flight.token = self._token(claim.seen)
                if isinstance(claim, Granted):
                    self._server.missed(space, claim.fault)
                    if claim.refusal is not None:
                        self._server.unleased(space, claim.refusal)
                    # Without a lease nobody would notice that the entry was set meanwhile.
                    storable = claim.seen.complete and claim.token
                    seen = claim.seen if storable else None
                    flight.lease = claim.token
                    if not claim.token:
                        flight.token = object()
                    return await self._called(
                        request, Landing(None, "miss", seen=seen, token=claim.token)
                    )
                verdict: Verdict = await wake.wait(claim.left)
            if request.cause in {"stale", "early"} and not flight.waiters:
                raise _Elsewhere
            if verdict == "load":
                replace = REPLACE_ANY

    async def _called(self, request: Request[V], landing: Landing) -> Landing:
        """Call the loader, and keep the lease alive meanwhile."""
        tally = request.space.tally
        renewal = self._renewal(request, landing.token) if landing.token else None
        began = time.perf_counter()
        try:
            landing.value = await request.loader()
        except BaseException as error:
            tally.loaded(time.perf_counter() - began, request.cause, ok=False)
            # A loader that was cancelled says nothing about the next one.
            self._release(request, landing.token, look_again=not isinstance(error, Exception))
            raise
        finally:
            if renewal is not None:
                renewal.cancel()
        landing.cost = time.perf_counter() - began
        tally.loaded(landing.cost, request.cause, ok=True)
        return landing

    async def _store(self, request: Request[V], flight: Flight[Landing], landing: Landing) -> None:
        """Store the value if it may be, and in any case end the lease."""
        look_again = True
        try:
            result = await self._stored(request, flight, landing)
            look_again = result == "refused"
        finally:
            # A lease that has ended, such as by the write, is given back in vain: no harm.
            if landing.token and landing.ttl is None:
                self._release(request, landing.token, look_again=look_again)

    async def _stored(
        self, request: Request[V], flight: Flight[Landing], landing: Landing
    ) -> Written | None:
        """Return what became of the value; None when it is not to be stored."""
        space, place = request.space, request.place
        if landing.seen is None or landing.outcome == "collapsed":
            return None
        negative = landing.value is None
        wanted = not (negative and space.policy.negative_ttl == 0) and (
            request.keep is None or request.keep(cast("V", landing.value))
        )
        if flight.forgotten:
            return "refused"
        payload = None
        if wanted:
            payload = self._server.pack(space, place, landing.value, len(request.tags))
        if payload is None:
            return None
        life, fresh = space.spans(request.ttl, negative=negative)
        draft = Draft(
            place,
            payload,
            life,
            fresh,
            landing.cost,
            request.tags,
            landing.seen,
            landing.token,
        )
        result = await self._server.keep(space, draft)
        if result == "stored":
            landing.ttl = life if fresh is None else fresh
        return result

    def _bid(self, request: Request[V], replace: bytes) -> Bid:
        versions_for = request.ttl + request.space.policy.grace + _SHORTEST_VERSION
        return Bid(request.place, self._lease, versions_for, request.tags, replace)

    def _renewal(self, request: Request[V], token: bytes) -> _Repeated:
        """Renew the lease from time to time, until this is cancelled."""

        def renew() -> None:
            self._run(self._server.renew(request.space, request.place, token, self._lease))

        return _Repeated(self._lease / _RENEWALS, renew)

    def _release(self, request: Request[V], token: bytes, *, look_again: bool) -> None:
        """Give the lease back, while the caller goes on."""
        if token:
            self._run(
                self._server.release(request.space, request.place, token, look_again=look_again)
            )

    def _run(self, errand: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(errand)
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)
        return task


async def _ended(tasks: Collection[asyncio.Task[None]]) -> None:
    """Cancel *tasks*, and return when they have ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
