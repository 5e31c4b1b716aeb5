"""Single-flight: callers that miss the same key at the same time share one load."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from contextvars import ContextVar
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
# The marks of the flights whose loader runs in this context, which a loader's child tasks
# inherit; not the flights, whose values would live as long as the longest of those tasks.
_LEADING: ContextVar[tuple[object, ...]] = ContextVar("valkeyctl-leading", default=())
ANYONE = object()
"""The token of a flight whose load has not begun."""


@dataclass(eq=False)
class Flight(Generic[V]):
    """One load in progress.

    Attributes:
        token: What the loaded value depends on beside its key; callers share a flight
            only if theirs is equal, or if it is `ANYONE`: the load has not begun, so
            whatever they know, it is older than the value will be.
        lease: Of the load that has begun; empty before, and where there is none.
        forced: Whether one of its callers wants a value that is loaded anew.
        nested: Whether the loader of another flight of the same key runs this one.
        landed: Set once the value or the error is there.
        reach: For how many of the waiters, first come first, the value is new enough; None:
            for all. Those who came later go on with the flight.
        forgotten: The key was set or deleted meanwhile: the value is too old to store.
        mark: Stands for it where it must not be kept alive.
    """

    token: Hashable
    lease: bytes = b""
    forced: bool = False
    nested: bool = False
    landed: Landed[V] | None = None
    reach: int | None = None
    forgotten: bool = False
    waiters: deque[asyncio.Future[Landed[V] | _TakeOver]] = field(default_factory=deque)
    mark: object = field(default_factory=object)


class Flights(Generic[V]):
    """The loads in progress, by key, inside one process."""

    def __init__(self) -> None:
        self._flights: dict[bytes, Flight[V]] = {}

    def __len__(self) -> int:
        return len(self._flights)

    def __contains__(self, key: bytes) -> bool:
        return key in self._flights

    def get(self, key: bytes) -> Flight[V] | None:
        """Return the flight that a caller may join, if its token fits."""
        return self._flights.get(key)

    async def run(
        self,
        key: bytes,
        token: Hashable,
        load: Callable[[Flight[V]], Awaitable[V]],
        store: Callable[[Flight[V], V], Awaitable[None]],
    ) -> tuple[V, bool]:
        """Return the loaded value, and whether another caller's load brought it.

        Exactly one caller runs *load* and then *store*; the others get the value, or
        the loader's exception, as soon as it is there and before it is stored. When
        that one is cancelled the next one loads instead; a cancelled waiter disturbs
        nobody.

        Args:
            key: What is loaded.
            token: See `Flight.token`.
            load: Brings the value; its exceptions go to all callers of this flight. It
                sets the flight's token once it knows what its value depends on.
            store: Keeps the value, unless the flight is forgotten; must not raise.
        """
        flight = self._flights.get(key)
        # A loader that asks for its own key would wait for itself for ever.
        nested = flight is not None and flight.mark in _LEADING.get()
        if flight is None or flight.token not in (ANYONE, token) or nested:
            flight = Flight(token, nested=nested)
            self._flights[key] = flight
            return await self._lead(key, flight, load, store), False
        landed = flight.landed
        if landed is None:
            signal = await self._wait(key, flight)
            if isinstance(signal, _TakeOver):
                return await self._lead(key, flight, load, store), False
            landed = signal
        if landed.error is not None:
            raise landed.error
        return landed.value, True  # type: ignore[return-value] # V may include None

    def leave(self, key: bytes, flight: Flight[V]) -> None:
        """Let nobody else join *flight*."""
        self._end(key, flight)

    def forget(self, key: bytes) -> None:
        """Let nobody else join the load of *key*, and let its value not be stored."""
        flight = self._flights.pop(key, None)
        if flight is not None:
            flight.forgotten = True

    async def _lead(
        self,
        key: bytes,
        flight: Flight[V],
        load: Callable[[Flight[V]], Awaitable[V]],
        store: Callable[[Flight[V], V], Awaitable[None]],
    ) -> V:
        flight.reach, flight.lease = None, b""
        outer = _LEADING.get()
        _LEADING.set((*outer, flight.mark))
        try:
            try:
                value = await load(flight)
            except Exception as error:
                self._land(flight, Landed(error=error))
                raise
            finally:
                _LEADING.set(outer)
            self._land(flight, Landed(value))
            await store(flight, value)
            return value
        finally:
            # Cancelled before the value was there, or some came too late for it: one of
            # the others goes on with the flight.
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
        reach = len(flight.waiters) if flight.reach is None else flight.reach
        for _ in range(reach):
            waiter = flight.waiters.popleft()
            if not waiter.done():
                waiter.set_result(landed)
        if not flight.waiters:
            flight.landed = landed

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
