"""What is in the cache and what it costs, by namespace."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Literal

from valkeyctl.endpoint import Endpoint
from valkeyctl.ops.keyspace.census import Census, Group, KeyspaceStats, NamespaceStats, Total
from valkeyctl.ops.keyspace.probe import living, questions
from valkeyctl.ops.keyspace.sample import SAMPLED_KEYS, sampled_stats
from valkeyctl.ops.keyspace.scan import Pace, Walker
from valkeyctl.ops.keyspace.scope import Scope

__all__ = ["KeyspaceStats", "NamespaceStats", "Total", "stats"]

# Two short commands per key travel with each SCAN; see listing.
_PACE = Pace(target=0.02)
# Up to here asking every key takes about a second or less.
SAMPLE_ABOVE = 100_000


def stats(
    endpoint: Endpoint,
    app: str | None = None,
    *,
    method: Literal["auto", "exact", "sample"] = "auto",
    progress: Callable[[float, int], None] | None = None,
    rng: random.Random | None = None,
) -> KeyspaceStats:
    """Return keys, memory and remaining lives per namespace of a whole database.

    Memory stays bounded whatever the number of keys. Counted exactly, a key that is there
    all the while counts once; see `scan` for one whose table shrinks meanwhile. One that
    vanishes between SCAN and the questions about it is not counted.

    Args:
        endpoint: The server.
        app: Tell this application's namespaces apart and group the rest; None tells
            those of every application apart.
        method: ``exact`` asks every key. ``sample`` asks some 40,000, drawn at random, in
            a fraction of a second, and gives intervals; all of them where there are not
            more. ``auto`` samples above 100,000 keys.
        progress: Called after each step of an exact count with the true fraction of the
            keyspace visited, 0 to 1, and the keys counted so far.
        rng: Source of the random places of a sample.

    Raises:
        InvalidKeyError: The application's name breaks the key rules.
        UnreachableError: The server went away; there is no part of a count.
        UsageError: The server holds only a part of the keys.
        AuthError, ServerReplyError: The server refuses a command.
    """
    app = Scope(app).app
    with Walker(endpoint) as walker:
        least = {"exact": math.inf, "auto": SAMPLE_ABOVE, "sample": SAMPLED_KEYS}[method]
        size = walker.wire.call("DBSIZE")
        if isinstance(size, int) and size > least:
            sampled = sampled_stats(walker, app, size, rng or random.Random())
            if sampled is not None:
                return sampled
        return _counted(walker, app, progress)


def _counted(
    walker: Walker, app: str | None, progress: Callable[[float, int], None] | None
) -> KeyspaceStats:
    census = Census(app)
    counted = 0
    for batch in walker.walk(follow=questions, pace=_PACE):
        for key, memory, pttl in living(batch.keys, iter(batch.answers)):
            census.group(key).tally.add(memory, pttl)
            counted += 1
        if progress:
            progress(batch.visited, counted)
    rows = [(group.foreign, _row(group)) for group in census]
    return KeyspaceStats(
        app=app,
        namespaces=tuple(row for foreign, row in rows if not foreign),
        foreign=tuple(row for foreign, row in rows if foreign),
        total=Total(
            keys=counted,
            memory_bytes=sum(row.memory_bytes for _, row in rows),
            without_expiry=sum(row.without_expiry for _, row in rows),
        ),
        method="exact",
        asked=counted,
    )


def _row(group: Group) -> NamespaceStats:
    tally = group.tally
    return NamespaceStats(group.name, tally.keys, tally.memory, tally.without_expiry, tally.ttl())
