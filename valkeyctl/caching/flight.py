"""Single-flight: callers that miss the same key at the same time share one load."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

V = TypeVar("V")


@dataclass(frozen=True)
class Landed(Generic[V]):
    """How a load ended: with a value, or with the loader's own exception."""

    value: V | None = None
    error: Exception | None = None


class _TakeOver:
    """What a waiter gets when the one who loaded was cancelled: load yourself."""


_TAKE_OVER = _TakeOver()


@dataclass(eq=False)
class Flight(Generic[V]):
    """One load in progress.

    Attributes:
        token: What the loaded value depends on beside its key; callers share a flight
            only if theirs is equal.
        leader: The task that loads.
        landed: Set once the value or the error is there.
        forgotten: The key was set or deleted meanwhile: the value is too old to store.
    """

    token: Hashable
    leader: asyncio.Task[object] | None
    landed: Landed[V] | None = None
    forgotten: bool = False
    waiters: deque[asyncio.Future[Landed[V] | _TakeOver]] = field(default_factory=deque)


@dataclass(eq=False)
class Watch(Generic[V]):
    """What happened to one key while its caller was looking it up.

    Attributes:
        ended: The last flight that brought a value meanwhile; None when there was none.
    """

    ended: Flight[V] | None = None


class Flights(Generic[V]):
    """The loads in progress, by key, inside one process."""

    def __init__(self) -> None:
        self._flights: dict[bytes, Flight[V]] = {}
        self._watches: dict[bytes, set[Watch[V]]] = {}

    def __len__(self) -> int:
        return len(self._flights)

    @contextmanager
    def watch(self, key: bytes) -> Iterator[Watch[V]]:
        """Notice loads of *key* that end while a caller looks it up; give the result to `run`.

        The answer to a lookup may be read by the server before a load is stored, and by
        its caller after that load has ended: a busy event loop learns of both in one
        turn. Without this, that caller would find neither the entry nor the flight.
        """
        watch: Watch[V] = Watch()
        watches = self._watches.setdefault(key, set())
        watches.add(watch)
        try:
            yield watch
        finally:
            watches.discard(watch)
            if not watches:
                del self._watches[key]

    async def run(
        self,
        key: bytes,
        token: Hashable,
        load: Callable[[], Awaitable[V]],
        store: Callable[[V], Awaitable[None]],
        watch: Watch[V] | None = None,
    ) -> tuple[V, bool]:
        """Return the loaded value, and whether another caller's load brought it.

        Exactly one caller runs *load* and then *store*; the others get the value, or
        the loader's exception, as soon as it is there and before it is stored. When
        that one is cancelled the next one loads instead; a cancelled waiter disturbs
        nobody.

        Args:
            key: What is loaded.
            token: See `Flight.token`.
            load: Brings the value; its exceptions go to all callers of this flight.
            store: Keeps the value; must not raise.
            watch: Of the lookup that missed.
        """
        if watch is not None and watch.ended is not None:
            missed = watch.ended
            if missed.token == token and missed.landed is not None and not missed.forgotten:
                return missed.landed.value, True  # type: ignore[return-value] # V may include None
        flight = self._flights.get(key)
        task = asyncio.current_task()
        # A loader that asks for its own key would wait for itself for ever.
        if flight is None or flight.token != token or flight.leader is task:
            flight = Flight(token, task)
            self._flights[key] = flight
            return await self._lead(key, flight, load, store), False
        landed = flight.landed
        if landed is None:
            signal = await self._wait(key, flight)
            if isinstance(signal, _TakeOver):
                flight.leader = task
                return await self._lead(key, flight, load, store), False
            landed = signal
        if landed.error is not None:
            raise landed.error
        return landed.value, True  # type: ignore[return-value] # V may include None

    def forget(self, key: bytes) -> None:
        """Let nobody else join the load of *key*, and let its value not be stored."""
        flight = self._flights.pop(key, None)
        if flight is not None:
            flight.forgotten = True

    async def _lead(
        self,
        key: bytes,
        flight: Flight[V],
        load: Callable[[], Awaitable[V]],
        store: Callable[[V], Awaitable[None]],
    ) -> V:
        try:
            try:
                value = await load()
            except Exception as error:
                self._land(flight, Landed(error=error))
                raise
            self._land(flight, Landed(value))
            if not flight.forgotten:
                await store(value)
            return value
        finally:
            # Cancelled before the value was there: somebody else goes on with the flight.
            if flight.landed is not None or not self._hand_over(flight):
                self._end(key, flight)

    async def _wait(self, key: bytes, flight: Flight[V]) -> Landed[V] | _TakeOver:
        waiter: asyncio.Future[Landed[V] | _TakeOver] = asyncio.get_running_loop().create_future()
        flight.waiters.append(waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            taken_over = waiter.done() and not waiter.cancelled() and waiter.result() is _TAKE_OVER
            # Cancelled in the turn in which it was told to load: tell the next one.
            if taken_over and not self._hand_over(flight):
                self._end(key, flight)
            raise

    def _land(self, flight: Flight[V], landed: Landed[V]) -> None:
        flight.landed = landed
        while flight.waiters:
            waiter = flight.waiters.popleft()
            if not waiter.done():
                waiter.set_result(landed)

    def _hand_over(self, flight: Flight[V]) -> bool:
        while flight.waiters:
            waiter = flight.waiters.popleft()
            if not waiter.done():
                waiter.set_result(_TAKE_OVER)
                return True
        return False

    def _end(self, key: bytes, flight: Flight[V]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]
        if flight.landed is not None and flight.landed.error is None:
            for watch in self._watches.get(key, ()):
                watch.ended = flight
