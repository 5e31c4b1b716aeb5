"""So many a second, evenly, for work in one thread."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

# As long as the work between two looks at the clock may take by plan.
_STEP = 0.05


class Throttle:
    """Lets so many a second pass.

    Args:
        per_second: How many, above 0; None lets all pass.
        clock: Monotonic seconds.
        sleep: Waits for so many of them.

    Attributes:
        limited: Whether there is a rate at all.
        step: How many to ask for at once, so that they pass evenly; 0 for any number.
    """

    def __init__(
        self,
        per_second: float | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.limited = per_second is not None
        self.step = 0 if per_second is None else max(1, int(per_second * _STEP))
        self._gap = 0.0 if per_second is None else 1 / per_second
        self._clock = clock
        self._sleep = sleep
        self._next = -math.inf

    def turn(self, count: int) -> None:
        """Return when the next *count* may go."""
        if not self._gap or not count:
            return
        now = self._clock()
        begin = max(now, self._next)
        # What was not used before is gone: no burst after a pause.
        self._next = begin + count * self._gap
        if begin > now:
            self._sleep(begin - now)
