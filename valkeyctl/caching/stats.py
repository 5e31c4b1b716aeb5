"""What a cache did, counted per namespace."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType


@dataclass(frozen=True)
class CacheStats:
    """The counts of one namespace since its service was made.

    Attributes:
        hits: Reads answered from the server.
        misses: Reads that found no valid entry, failed reads included.
        collapsed: Misses answered by another caller's load; not counted as misses.
        stale_dropped: Entries deleted because their namespace or a tag was invalidated.
        corrupt_dropped: Values deleted because they are no readable entries.
        writes: Entries stored.
        refused_writes: Values not stored because an invalidation came while they were loaded.
        errors: Failed reads and writes by kind, such as ``deadline`` or ``breaker_open``.
    """

    hits: int = 0
    misses: int = 0
    collapsed: int = 0
    stale_dropped: int = 0
    corrupt_dropped: int = 0
    writes: int = 0
    refused_writes: int = 0
    errors: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def hit_ratio(self) -> float:
        """Share of reads answered from the server, 0 to 1; 0 when there were none."""
        reads = self.hits + self.misses + self.collapsed
        return self.hits / reads if reads else 0.0


class Tally:
    """The counters behind `CacheStats`."""

    __slots__ = (
        "collapsed",
        "corrupt_dropped",
        "errors",
        "hits",
        "misses",
        "refused_writes",
        "stale_dropped",
        "writes",
    )

    def __init__(self) -> None:
        self.hits = self.misses = self.collapsed = 0
        self.stale_dropped = self.corrupt_dropped = 0
        self.writes = self.refused_writes = 0
        self.errors: Counter[str] = Counter()

    def frozen(self) -> CacheStats:
        """Return the counts as they are now."""
        return CacheStats(
            hits=self.hits,
            misses=self.misses,
            collapsed=self.collapsed,
            stale_dropped=self.stale_dropped,
            corrupt_dropped=self.corrupt_dropped,
            writes=self.writes,
            refused_writes=self.refused_writes,
            errors=MappingProxyType(dict(self.errors)),
        )
