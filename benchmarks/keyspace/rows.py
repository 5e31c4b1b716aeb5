"""The rows of the benchmark, in the order they are run."""

from __future__ import annotations

from benchmarks.keyspace import (
    advance,
    beside,
    flush,
    invalidation,
    memory,
    resuming,
    startup,
    stats,
    warm,
)
from benchmarks.keyspace.scene import Row

ROWS: dict[str, Row] = {
    "startup": startup.measure,
    "stats": stats.measure,
    "progress": advance.measure,
    "flush": flush.measure,
    "beside": beside.measure,
    "resume": resuming.measure,
    "invalidate": invalidation.measure,
    "warm": warm.measure,
    "memory": memory.measure,
}
