"""The slow origin of the sample application: a database that is simulated.

How long a call takes is a function of the seed and the key, so two arms of a benchmark
that ask for the same item see the same latency: log-normal around the median, with a
standard deviation of the logarithm of 0.25. It serves a bounded number of calls at one
time where that is asked for; further ones wait in line, as in a pool of connections.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import math
import random
import time

SIGMA = 0.25
_LETTERS = str.maketrans("0123456789", "ghijklmnop")


def head_of(key: str, size: int) -> bytes:
    """Return what the body of an item begins with, which tells its key and size."""
    return b'{"key": %b, "bytes": %d, "value": "' % (json.dumps(key).encode(), size)


def body_of(key: str, size: int) -> bytes:
    """Return the body of an item: the same bytes for the same key and size, for ever."""
    letters = hashlib.sha256(f"{size}:{key}".encode()).hexdigest().translate(_LETTERS)
    value = (letters * (size // len(letters) + 1))[:size]
    return head_of(key, size) + value.encode() + b'"}'


class Origin:
    """Answers with items, as slowly as a database would.

    Args:
        seed: Decides the latencies, together with the key.
        median: Seconds that one call takes.
        speedup: Divides them.
        at_once: Calls that are served at one time; 0 is no bound.

    Attributes:
        calls: How many it was given.
    """

    def __init__(self, *, seed: int, median: float, speedup: float, at_once: int) -> None:
        self.calls = 0
        self._seed = seed
        self._median = median / speedup
        self._room = asyncio.Semaphore(at_once) if at_once else None

    def seconds(self, key: str) -> float:
        """Return how long a call for *key* takes once it is its turn."""
        drawn = random.Random(f"{self._seed} {key}").gauss(0, SIGMA)
        return self._median * math.exp(drawn)

    async def item(self, key: str, size: int) -> bytes:
        """Return the body of an item after the time that it takes."""
        self.calls += 1
        async with self._room or contextlib.nullcontext():
            # Absolute, so that the work here is part of the latency and not on top of it.
            until = time.monotonic() + self.seconds(key)
            body = body_of(key, size)
            await asyncio.sleep(max(0.0, until - time.monotonic()))
        return body
