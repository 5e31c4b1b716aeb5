"""How fast work goes that nobody waits for: so many at a time, and so many a second."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from valkeyctl.errors import UsageError


@dataclass(frozen=True)
class Pace:
    """How hard a warming may work, and when it gives up.

    Attributes:
        concurrency: Loads, or batches where the loader takes many ids, at a time.
        per_second: Ids begun in a second at most; None does not hold back.
        timeout: Seconds that one load may take; None waits for it.
        max_failures: After so many it stops; None goes on to the end.
        clock: Monotonic seconds.
        sleep: Waits for so many of them.

    Raises:
        UsageError: A number is out of range.
    """

    concurrency: int = 8
    per_second: float | None = None
    timeout: float | None = None
    max_failures: int | None = 100
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    def __post_init__(self) -> None:
        if self.concurrency < 1:
            raise UsageError(f"concurrency must be at least 1, not {self.concurrency}")
        for name, number in (("per_second", self.per_second), ("timeout", self.timeout)):
            if number is not None and not 0 < number < math.inf:
                raise UsageError(f"{name} must be above zero, not {number}")
        if self.max_failures is not None and self.max_failures < 1:
            raise UsageError(f"max_failures must be at least 1, not {self.max_failures}")


class Pacer:
    """Lets so many a second pass, evenly.

    Args:
        per_second: How many; None lets all pass.
        clock: Monotonic seconds.
        sleep: Waits for so many of them.
    """

    def __init__(
        self,
        per_second: float | None,
        *,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._gap = 0.0 if per_second is None else 1 / per_second
        self._clock = clock
        self._sleep = sleep
        self._next = -math.inf

    async def turn(self, ids: int = 1) -> None:
        """Return when the next *ids* may begin."""
        if not self._gap:
            return
        now = self._clock()
        begin = max(now, self._next)
        # What was not used before is gone: no burst after a pause.
        self._next = begin + ids * self._gap
        if begin > now:
            await self._sleep(begin - now)
