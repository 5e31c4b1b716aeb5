"""Sums over the keys of one group, in memory that does not grow with them."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from dataclasses import dataclass

# A bucket of the TTL histogram spans a factor of 2 ** (1/32), so that a quantile is
# within 1.1 % of a TTL that was really there.
_BUCKETS_PER_OCTAVE = 32


@dataclass(frozen=True)
class TtlSpread:
    """How long the keys of a group still live, in seconds.

    Attributes:
        min: Of the key that expires first; exact.
        p50: Half of the keys that expire do so within this time; to 1.1 %, as are
            the other quantiles.
        p90: Nine tenths do.
        p99: 99 of 100 do.
        max: Of the key that expires last; exact.
    """

    min: float
    p50: float
    p90: float
    p99: float
    max: float


class Tally:
    """Counts keys, bytes and remaining lives.

    Attributes:
        keys: Keys added.
        memory: Their bytes.
        without_expiry: Those of them that never expire.
    """

    __slots__ = ("_buckets", "_longest", "_shortest", "keys", "memory", "without_expiry")

    def __init__(self) -> None:
        self.keys = 0
        self.memory = 0
        self.without_expiry = 0
        self._buckets: Counter[int] = Counter()
        self._shortest = 0
        self._longest = 0

    def add(self, memory: int, pttl: int) -> None:
        """Count one key of *memory* bytes that lives *pttl* ms more; -1 for ever."""
        self.keys += 1
        self.memory += memory
        if pttl < 0:
            self.without_expiry += 1
            return
        if not self._buckets or pttl < self._shortest:
            self._shortest = pttl
        self._longest = max(self._longest, pttl)
        # A key in its last millisecond has a PTTL of 0 and is still there.
        self._buckets[int(math.log2(pttl or 1) * _BUCKETS_PER_OCTAVE)] += 1

    def ttl(self) -> TtlSpread | None:
        """Return the lives of the keys that expire; None when none does."""
        if not self._buckets:
            return None
        return TtlSpread(
            min=self._shortest / 1000,
            p50=self._quantile(0.50),
            p90=self._quantile(0.90),
            p99=self._quantile(0.99),
            max=self._longest / 1000,
        )

    def _quantile(self, q: float) -> float:
        """Return the q-quantile by nearest rank, in seconds, at the middle of its bucket."""
        rank = math.ceil(q * self._buckets.total())
        buckets = sorted(self._buckets)
        reached = itertools.accumulate(self._buckets[bucket] for bucket in buckets)
        bucket = next(bucket for bucket, seen in zip(buckets, reached, strict=True) if seen >= rank)
        middle = 2 ** ((bucket + 0.5) / _BUCKETS_PER_OCTAVE)
        return float(min(max(middle, self._shortest), self._longest)) / 1000
