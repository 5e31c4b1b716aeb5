"""`Heat`: which ids of a namespace are read most, in bounded memory.

The Misra-Gries summary, counted in batches: ids are put on a list, the list is counted
into a table at C speed, and a table that has grown too large gives up its coldest ids by
taking the count of the last one that stays off all of them. What an id lost that way is
the same for all, and known: a count is never too high, and too low by at most ``error``,
which is at most reads / (capacity + 1). So an id with a larger share of the reads than
1 / (capacity + 1) is always there. Space-Saving knows the same (one can be made of the
other), but finds its coldest id anew for each id that it does not know; count-min needs
a hash of each id per row.

A read costs 0.1 to 0.2 us, ids that are new each time included
(tests/caching/test_heat.py).

Sources: Misra, Gries, Finding repeated elements (1982); Agarwal, Cormode, Huang, Phillips,
Wei, Yi, Mergeable summaries (2012), for the batches and the bound.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from valkeyctl.errors import UsageError

N = TypeVar("N", int, float)

MOST = 10_000
"""Ids that a namespace may keep count of."""
HALF_LIFE = 6 * 3600.0
"""Seconds after which a read counts half."""

# Reads that are counted at once.
_BATCH = 1024
# The table grows to so many times its capacity before it gives up cold ids, so that sorting
# it is spread over many reads.
_ROOM = 8


@dataclass(frozen=True)
class HotId:
    """An id and how often it was read.

    Attributes:
        id: The id.
        reads: At least so many, older ones counted less; see `HALF_LIFE`.
    """

    id: str
    reads: float


class Heat:
    """Counts the reads of the ids of one namespace.

    Args:
        capacity: How many ids it vouches for, 1 to 10,000; memory is that of eight times
            as many.
        clock: Monotonic seconds.

    Raises:
        UsageError: The capacity is out of range.
    """

    __slots__ = (
        *("_batch", "_capacity", "_clock", "_cut_fresh", "_cut_past", "_fresh", "_past", "_since"),
        "due",
    )

    def __init__(self, capacity: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        if not 1 <= capacity <= MOST:
            raise UsageError(f"the hottest ids to keep count of are 1 to {MOST}, not {capacity}")
        self._capacity = capacity
        self._clock = clock
        self._batch: list[str] = []
        # Since the last `take`, and what was before, at its weight then.
        self._fresh: Counter[str] = Counter()
        self._past: dict[str, float] = {}
        self._since = clock()
        self._cut_fresh = 0
        self._cut_past = 0.0
        self.due: Callable[[], None] | None = None
        """Called after each batch; for one who saves now and then."""

    @property
    def capacity(self) -> int:
        """As given."""
        return self._capacity

    @property
    def error(self) -> float:
        """How much too low a count may be, at most."""
        return self._cut_past * self._weight() + self._cut_fresh

    def add(self, id: str) -> None:  # noqa: A002
        """Count one read."""
        batch = self._batch
        batch.append(id)
        if len(batch) >= _BATCH:
            self._count()
            if self.due is not None:
                self.due()

    def top(self, limit: int) -> list[HotId]:
        """Return the *limit* ids that were read most, the hottest first."""
        self._count()
        hottest = sorted(self._merged().items(), key=lambda pair: (-pair[1], pair[0]))
        return [HotId(id, reads) for id, reads in hottest[:limit]]  # noqa: A001

    def take(self) -> dict[str, int]:
        """Return the reads since the last time, by id, of the hottest ids.

        They go on to count for `top`.
        """
        self._count()
        taken = self._fresh
        merged = self._merged()
        self._cut_past = self.error
        self._since = self._clock()
        self._fresh = Counter()
        self._cut_fresh = 0
        if len(merged) > self._capacity:
            cut = self._last(merged.values())
            merged = {id: reads - cut for id, reads in merged.items() if reads > cut}  # noqa: A001
            self._cut_past += cut
        self._past = merged
        return dict(taken.most_common(self._capacity))

    def _count(self) -> None:
        fresh = self._fresh
        fresh.update(self._batch)
        self._batch.clear()
        if len(fresh) > _ROOM * self._capacity:
            cut = self._last(fresh.values())
            self._fresh = Counter({id: n - cut for id, n in fresh.items() if n > cut})  # noqa: A001
            self._cut_fresh += cut

    def _merged(self) -> dict[str, float]:
        weight = self._weight()
        counts = {id: reads * weight for id, reads in self._past.items()}  # noqa: A001
        for id, reads in self._fresh.items():  # noqa: A001
            counts[id] = counts.get(id, 0.0) + reads
        return counts

    def _weight(self) -> float:
        """Return what the reads before the last `take` count now."""
        return float(0.5 ** ((self._clock() - self._since) / HALF_LIFE))

    def _last(self, counts: Iterable[N]) -> N:
        """Return the largest count that has no place any more."""
        return sorted(counts, reverse=True)[self._capacity]
