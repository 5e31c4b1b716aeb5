"""How hard a walk may work the server, and what it sees of its effect on others."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from valkeyctl.caching.wire import Wire, pack

SMALLEST_COUNT = 10
_PING = pack([("PING",)])
_IDLE_PINGS = 30
_REMEMBERED_WAITS = 4096
_LONGEST_REST = 64


class Impact(StrEnum):
    """How much of the server's time a walk takes from others.

    ``low`` leaves a busy server's clients alone, ``normal`` takes half of its time in
    short steps, ``max`` is as quick as bounded steps allow.
    """

    LOW = "low"
    NORMAL = "normal"
    MAX = "max"


@dataclass(frozen=True)
class Pace:
    """How hard a walk may work the server.

    Attributes:
        target: Seconds of server time that one step may take; the number of keys
            asked for follows it.
        largest: Most keys asked for of one server at a time.
        duty: Share of the time, above 0 to 1, in which the server works for the walk;
            it sleeps the rest.
        slack: Seconds that another client may wait longer than on an idle server before
            the walk slows down; None watches nobody.
    """

    target: float = 0.001
    largest: int = 1000
    duty: float = 1.0
    slack: float | None = None

    @classmethod
    def of(cls, impact: Impact) -> Self:
        """Return the pace of *impact*."""
        if impact is Impact.LOW:
            return cls(target=0.0002, largest=500, duty=0.25, slack=0.0003)
        if impact is Impact.NORMAL:
            return cls(target=0.0005, largest=1000, duty=0.5, slack=0.001)
        return cls()

    def next_count(self, count: int, spent: float) -> int:
        """Return how many keys to ask for after *count* of them took *spent* seconds."""
        factor = self.target / max(spent, 1e-6)
        # At most twice or half: one round trip that the machine delayed says little.
        return max(SMALLEST_COUNT, min(self.largest, int(count * min(2.0, max(0.5, factor)))))

    def rest(self, spent: float) -> float:
        """Return the seconds to sleep after *spent* seconds of work."""
        return spent * (1 / self.duty - 1)


@dataclass(frozen=True)
class Effect:
    """What another client felt of a walk, by a PING beside each of its steps.

    Attributes:
        idle_ms: Median wait before the walk began.
        p99_ms: What 99 of 100 waits during the walk were below, of the last 4,096.
        worst_ms: The longest wait.
    """

    idle_ms: float
    p99_ms: float
    worst_ms: float


class Canary:
    """A second connection to a server whose PINGs wait as any client's commands do.

    Args:
        wire: Open, and used for nothing else.
        slack: As `Pace.slack`.
        clock: Seconds from any origin.
    """

    def __init__(
        self, wire: Wire, slack: float, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._wire = wire
        self._slack = slack
        self._clock = clock
        self._sent_at = 0.0
        self._waits: deque[float] = deque(maxlen=_REMEMBERED_WAITS)
        self._worst = 0.0
        self._restraint = 1.0
        idle = sorted(self._ping() for _ in range(_IDLE_PINGS))
        self._idle = idle[len(idle) // 2]

    def send(self) -> None:
        """Send a PING, right behind a step of the walk."""
        self._sent_at = self._clock()
        self._wire.post(_PING, 1)

    def take(self) -> float:
        """Wait for its answer, and return the seconds that it took longer than when idle."""
        self._wire.collect()
        wait = self._clock() - self._sent_at
        self._waits.append(wait)
        self._worst = max(self._worst, wait)
        return max(0.0, wait - self._idle)

    def restraint(self) -> float:
        """Return by how much to lengthen the next rest, 1 or more.

        It asks while the walk rests. A server that is slow then is busy with others, or
        with what the walk left behind, and the walk makes room: twice as long each time,
        and back again bit by bit.
        """
        if self._ping() - self._idle > self._slack:
            self._restraint = min(_LONGEST_REST, self._restraint * 2)
        else:
            self._restraint = max(1.0, self._restraint * 0.75)
        return self._restraint

    def effect(self) -> Effect:
        """Return what the PINGs have seen so far."""
        waits = sorted(self._waits) or [self._idle]
        p99 = waits[math.ceil(0.99 * len(waits)) - 1]
        return Effect(self._idle * 1000, p99 * 1000, max(self._worst, waits[-1]) * 1000)

    def close(self) -> None:
        """Close the connection."""
        self._wire.close()

    def _ping(self) -> float:
        began = self._clock()
        self._wire.call("PING")
        return self._clock() - began
