"""Failures that the cache swallows: each is counted, each change of state is logged once."""

from __future__ import annotations

from typing import Literal, TypeAlias

import structlog

from valkeyctl.caching.stats import Tally
from valkeyctl.errors import BreakerOpenError, DeadlineError, ValkeyctlError

_log = structlog.get_logger("valkeyctl.caching")

Direction: TypeAlias = Literal["read", "write"]


class Trouble:
    """Knows whether reads and writes work; apart, for a full server reads on."""

    def __init__(self) -> None:
        self._kinds: dict[Direction, str] = {}

    def failed(self, tally: Tally, direction: Direction, error: ValkeyctlError) -> None:
        """Count a failure; log it if the last one in this direction worked."""
        kind = kind_of(error)
        tally.errors[kind] += 1
        if direction not in self._kinds:
            _log.warning("cache_degraded", direction=direction, kind=kind, reason=str(error))
        self._kinds[direction] = kind

    def worked(self, direction: Direction) -> None:
        """Note a success; log it if the last one in this direction failed."""
        if self._kinds and (kind := self._kinds.pop(direction, None)) is not None:
            _log.info("cache_recovered", direction=direction, after=kind)


def kind_of(error: ValkeyctlError) -> str:
    """Return the word under which *error* is counted; finer than its code."""
    if isinstance(error, BreakerOpenError):
        return "breaker_open"
    return "deadline" if isinstance(error, DeadlineError) else error.code
