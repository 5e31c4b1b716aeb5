"""Failures that the cache swallows: each is counted, each change of state is logged once.

Where a part of the server is away, such as one node of a Cluster, calls fail and work by
turns; so no more than one failure in five seconds is logged, and its end.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Literal, TypeAlias

import structlog

from valkeyctl.caching.stats import Tally
from valkeyctl.errors import BreakerOpenError, DeadlineError, ValkeyctlError

_log = structlog.get_logger("valkeyctl.caching")

Direction: TypeAlias = Literal["read", "write"]
_QUIET = 5.0


class Trouble:
    """Knows whether reads and writes work; apart, for a full server reads on.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # What fails now: as what, if that was logged, else an empty word.
        self._kinds: dict[Direction, str] = {}
        self._logged: dict[Direction, float] = {}

    def failed(self, tallies: Iterable[Tally], direction: Direction, error: ValkeyctlError) -> None:
        """Count a failure, once for each; log it if the last call in this direction worked."""
        kind = kind_of(error)
        for tally in tallies:
            tally.failed(direction, kind)
        if self._kinds.get(direction):
            self._kinds[direction] = kind
            return
        now = self._clock()
        if now - self._logged.get(direction, -_QUIET) < _QUIET:
            self._kinds[direction] = ""
            return
        self._logged[direction] = now
        self._kinds[direction] = kind
        _log.warning("cache_degraded", direction=direction, kind=kind, reason=str(error))

    def worked(self, direction: Direction) -> None:
        """Note a success; log it if the failure before it was logged."""
        if self._kinds and (kind := self._kinds.pop(direction, "")):
            _log.info("cache_recovered", direction=direction, after=kind)


def kind_of(error: ValkeyctlError) -> str:
    """Return the word under which *error* is counted; finer than its code."""
    if isinstance(error, BreakerOpenError):
        return "breaker_open"
    return "deadline" if isinstance(error, DeadlineError) else error.code
