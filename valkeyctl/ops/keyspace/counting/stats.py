"""What is in the cache and what it costs, by namespace."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Literal

from valkeyctl.endpoint import Endpoint
from valkeyctl.ops.keyspace.counting.census import (
    Census,
    KeyspaceStats,
    Measure,
    NamespaceStats,
    Total,
    report,
)
from valkeyctl.ops.keyspace.counting.sample import SAMPLED_KEYS, sampled_stats
from valkeyctl.ops.keyspace.counting.tally import Tally
from valkeyctl.ops.keyspace.pace import Pace
from valkeyctl.ops.keyspace.scan import Walker
from valkeyctl.ops.keyspace.scope import Scope

__all__ = ["KeyspaceStats", "NamespaceStats", "Total", "stats"]

# Up to here asking every key takes about half a second or less.
SAMPLE_ABOVE = 100_000


def stats(
    endpoint: Endpoint,
    app: str | None = None,
    *,
    method: Literal["auto", "exact", "sample"] = "auto",
    biggest: int = 10,
    pace: Pace | None = None,
    progress: Callable[[float, int], None] | None = None,
    rng: random.Random | None = None,
) -> KeyspaceStats:
    """Return keys, memory, sizes, types and remaining lives per namespace of a whole database.

    Memory stays bounded whatever the number of keys. Counted exactly, a key that is there
    all the while counts once; see `scan` for one whose table shrinks meanwhile. One that
    vanishes between SCAN and the questions about it is not counted.

    Args:
        endpoint: The server, of any topology: all primaries of a Cluster are asked.
        app: Tell this application's namespaces apart and group the rest; None tells
            those of every application apart.
        method: ``exact`` asks every key. ``sample`` asks some thousands, drawn at random, in
            a fraction of a second, and gives intervals; all of them where there are not
            many more. ``auto`` samples above 100,000 keys.
        biggest: How many of the biggest keys to name.
        pace: How hard to work the servers.
        progress: Called after each step of an exact count with the true fraction of the
            keyspace visited, 0 to 1, and the keys counted so far.
        rng: Source of the random places of a sample.

    Raises:
        InvalidKeyError: The application's name breaks the key rules.
        UnreachableError: The server went away; there is no part of a count.
        UsageError: The server is a Sentinel, and the URL does not say so.
        AuthError, ServerReplyError: The server refuses a command.
    """
    app = Scope(app).app
    pace = pace or Pace()
    with Walker(endpoint) as walker:
        least = {"exact": math.inf, "auto": SAMPLE_ABOVE, "sample": SAMPLED_KEYS}[method]
        if walker.size() > least:
            sampled = sampled_stats(walker, app, rng or random.Random(), pace, biggest=biggest)
            if sampled is not None:
                return sampled
        return _counted(walker, Census(app, biggest), pace, progress)


def _counted(
    walker: Walker,
    census: Census,
    pace: Pace,
    progress: Callable[[float, int], None] | None,
) -> KeyspaceStats:
    for page in walker.survey(pace=pace):
        census.add(page)
        if progress:
            progress(page.visited, census.counted)
    tallies = census.tallies().values()
    total = Total(
        keys=census.counted,
        memory_bytes=sum(tally.memory for tally in tallies),
        without_expiry=sum(tally.without_expiry for tally in tallies),
    )
    return report(census, _counted_measure, total, method="exact")


def _counted_measure(_: int, tally: Tally) -> Measure:
    return Measure(tally.keys, tally.memory, tally.without_expiry)
