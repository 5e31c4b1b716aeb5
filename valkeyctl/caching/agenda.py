"""`Agenda`: what is to be done when, with a clock that can be given."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


class Agenda(Generic[T]):
    """Things and when they are due, each once.

    Args:
        clock: Monotonic seconds.
        sleep: Waits for so many of them.
    """

    def __init__(
        self, *, clock: Callable[[], float], sleep: Callable[[float], Awaitable[None]]
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._heap: list[tuple[float, int, T]] = []
        self._tickets: dict[T, int] = {}
        self._numbers = itertools.count()
        self._sooner = asyncio.Event()

    def put(self, thing: T, delay: float) -> None:
        """Let *thing* be due in *delay* seconds, and at no other time."""
        due = self._clock() + delay
        if not self._heap or due < self._heap[0][0]:
            self._sooner.set()
        ticket = self._tickets[thing] = next(self._numbers)
        heapq.heappush(self._heap, (due, ticket, thing))

    def drop(self, thing: T) -> None:
        """Let *thing* not be due any more."""
        self._tickets.pop(thing, None)

    async def due(self, limit: int) -> list[T]:
        """Wait until something is due, and return up to *limit* such things, off the agenda."""
        while True:
            ready = self._ready(limit)
            if ready:
                return ready
            await self._wait()

    def _ready(self, limit: int) -> list[T]:
        now = self._clock()
        ready: list[T] = []
        while self._heap and len(ready) < limit:
            due, ticket, thing = self._heap[0]
            current = self._tickets.get(thing) == ticket
            if current and due > now:
                break
            heapq.heappop(self._heap)
            if current:
                del self._tickets[thing]
                ready.append(thing)
        return ready

    async def _wait(self) -> None:
        self._sooner.clear()
        waiting: set[asyncio.Task[None]] = {asyncio.create_task(self._told())}
        if self._heap:
            pause = max(0.0, self._heap[0][0] - self._clock())
            waiting.add(asyncio.create_task(self._slept(pause)))
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waiting:
                one.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    async def _told(self) -> None:
        await self._sooner.wait()

    async def _slept(self, pause: float) -> None:
        await self._sleep(pause)
