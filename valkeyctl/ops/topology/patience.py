"""Waiting for a topology: ask again until it is so, bounded, and say what was missing."""

from __future__ import annotations

import time
from collections.abc import Callable

from valkeyctl.errors import StartError

_FIRST_PAUSE = 0.02
_LONGEST_PAUSE = 0.25


def wait_until(
    missing: Callable[[], str],
    *,
    patience: float,
    hint: str | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Return when *missing* returns an empty text.

    Args:
        missing: Says what is not so yet, in words that follow "after 5 s: ".
        patience: Seconds.
        hint: What to do when it does not come about; None when we do not know.
        clock: Source of time, in seconds.
        sleep: How to pass time.

    Raises:
        StartError: It was not so in time; the message has what was missing.
    """
    began = clock()
    pause = _FIRST_PAUSE
    while what := missing():
        waited = clock() - began
        if waited > patience:
            raise StartError(f"after {waited:.0f} s: {what}", hint=hint)
        sleep(pause)
        pause = min(pause * 1.5, _LONGEST_PAUSE)
