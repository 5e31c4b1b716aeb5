"""How long to wait between attempts to reach a server again."""

from __future__ import annotations

import random
from collections.abc import Iterator

PAUSE_BASE = 0.05
PAUSE_CAP = 0.5


def pauses(rng: random.Random) -> Iterator[float]:
    """Yield the seconds between reconnection attempts: exponential, with full jitter, for ever.

    Source: Brooker, Exponential Backoff And Jitter (AWS Architecture Blog, 2015), "full jitter".
    """
    ceiling = PAUSE_BASE
    while True:
        yield rng.uniform(0, ceiling)
        ceiling = min(PAUSE_CAP, ceiling * 2)
