"""What a cache did, counted per namespace."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from valkeyctl.caching.observer import Cause, Observer, Operation, Outcome, Written


@dataclass(frozen=True)
class CacheStats:
    """The counts of one namespace since its service was made.

    Every read is counted once, in one of `hits`, `near_hits`, `stale_served`, `misses`
    and `collapsed`.

    Attributes:
        hits: Reads answered from the server with a fresh entry.
        near_hits: Reads answered from the near cache.
        stale_served: Reads answered with an entry past its freshness.
        misses: Reads that found no valid entry, failed reads included.
        collapsed: Misses answered by another caller's load; not counted as misses.
        loads: Loaders that ran, failed ones and those behind a caller included.
        load_failures: Loaders that raised or were cancelled.
        load_seconds: Time that all loaders took together.
        early_refreshes: Loads behind a caller that got a fresh entry close to its end.
        bytes_read: Stored entries that the server sent, in bytes as they lie there.
        bytes_written: Payloads of the entries stored, in bytes after compression.
        stale_dropped: Entries deleted because their namespace or a tag was invalidated.
        corrupt_dropped: Values deleted because they are no readable entries.
        writes: Entries stored.
        refused_writes: Values not stored because, while they were loaded, an invalidation came
            or the entry was set or deleted.
        errors: Failed reads and writes by kind, such as ``deadline`` or ``breaker_open``.
    """

    hits: int = 0
    near_hits: int = 0
    stale_served: int = 0
    misses: int = 0
    collapsed: int = 0
    loads: int = 0
    load_failures: int = 0
    load_seconds: float = 0.0
    early_refreshes: int = 0
    bytes_read: int = 0
    bytes_written: int = 0
    stale_dropped: int = 0
    corrupt_dropped: int = 0
    writes: int = 0
    refused_writes: int = 0
    errors: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def hit_ratio(self) -> float:
        """Share of reads answered from the cache, 0 to 1; 0 when there were none."""
        answered = self.hits + self.near_hits + self.stale_served
        reads = answered + self.misses + self.collapsed
        return answered / reads if reads else 0.0

    @property
    def mean_load_seconds(self) -> float:
        """What one load took on average; 0 when there were none."""
        return self.load_seconds / self.loads if self.loads else 0.0


class Tally:
    """The counters behind `CacheStats`, which pass on what they count to the observers.

    Args:
        namespace: What is counted, as observers are told.
        observers: Who is told; as `guarded` returns them, for they must not raise.
    """

    __slots__ = (
        "_namespace",
        "_observers",
        "bytes_read",
        "bytes_written",
        "collapsed",
        "corrupt_dropped",
        "early_refreshes",
        "errors",
        "hits",
        "load_failures",
        "load_seconds",
        "loads",
        "misses",
        "near_hits",
        "refused_writes",
        "stale_dropped",
        "stale_served",
        "writes",
    )

    def __init__(self, namespace: str = "", observers: tuple[Observer, ...] = ()) -> None:
        self._namespace = namespace
        self._observers = observers
        self.hits = self.near_hits = self.stale_served = 0
        self.misses = self.collapsed = 0
        self.loads = self.load_failures = self.early_refreshes = 0
        self.load_seconds = 0.0
        self.bytes_read = self.bytes_written = 0
        self.stale_dropped = self.corrupt_dropped = 0
        self.writes = self.refused_writes = 0
        self.errors: Counter[str] = Counter()

    def read(self, outcome: Outcome, size: int = 0) -> None:
        """Count one read; see `Observer.read`."""
        if outcome == "hit":
            self.hits += 1
        elif outcome == "near":
            self.near_hits += 1
        elif outcome == "stale":
            self.stale_served += 1
        elif outcome == "collapsed":
            self.collapsed += 1
        else:
            self.misses += 1
        self.bytes_read += size
        for observer in self._observers:
            observer.read(self._namespace, outcome, size)

    def loaded(self, seconds: float, cause: Cause, *, ok: bool) -> None:
        """Count one load that ended; see `Observer.loaded`."""
        self.loads += 1
        self.load_seconds += seconds
        if not ok:
            self.load_failures += 1
        if cause == "early":
            self.early_refreshes += 1
        for observer in self._observers:
            observer.loaded(self._namespace, seconds, cause, ok=ok)

    def wrote(self, outcome: Written, size: int) -> None:
        """Count one write; see `Observer.wrote`.

        ``too_large`` also counts as an error of that kind; a failure's kind is for `failed`.
        """
        if outcome == "stored":
            self.writes += 1
            self.bytes_written += size
        elif outcome == "refused":
            self.refused_writes += 1
        elif outcome == "too_large":
            self.errors["too_large"] += 1
        for observer in self._observers:
            observer.wrote(self._namespace, outcome, size)

    def failed(self, operation: Operation, kind: str) -> None:
        """Count one failed operation by its kind; see `Observer.failed`.

        ``corrupt`` counts as a value dropped, not as an error.
        """
        if kind == "corrupt":
            self.corrupt_dropped += 1
        else:
            self.errors[kind] += 1
        for observer in self._observers:
            observer.failed(self._namespace, operation, kind)

    def frozen(self) -> CacheStats:
        """Return the counts as they are now."""
        return CacheStats(
            hits=self.hits,
            near_hits=self.near_hits,
            stale_served=self.stale_served,
            misses=self.misses,
            collapsed=self.collapsed,
            loads=self.loads,
            load_failures=self.load_failures,
            load_seconds=self.load_seconds,
            early_refreshes=self.early_refreshes,
            bytes_read=self.bytes_read,
            bytes_written=self.bytes_written,
            stale_dropped=self.stale_dropped,
            corrupt_dropped=self.corrupt_dropped,
            writes=self.writes,
            refused_writes=self.refused_writes,
            errors=MappingProxyType(dict(self.errors)),
        )
