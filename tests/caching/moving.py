"""A clock that a test moves, and the sleeps that hang on it."""

from __future__ import annotations

import asyncio
import heapq
import itertools


class MovingClock:
    """Monotonic seconds that pass when the test says so; `sleep` waits for them."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []
        self._numbers = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Return when the clock has been moved so far."""
        self.slept.append(seconds)
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.now + seconds, next(self._numbers), woken))
        await woken

    def move(self, seconds: float) -> None:
        """Let time pass; who slept long enough wakes."""
        self.now += seconds
        while self._sleepers and self._sleepers[0][0] <= self.now + 1e-9:
            woken = heapq.heappop(self._sleepers)[2]
            if not woken.done():
                woken.set_result(None)


async def settle() -> None:
    """Let everything run that does not wait for the world or the clock."""
    for _ in range(10):
        await asyncio.sleep(0)


class RushingClock(MovingClock):
    """A clock that moves by itself whenever somebody sleeps."""

    async def sleep(self, seconds: float) -> None:
        """Return at once, that much later."""
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)
