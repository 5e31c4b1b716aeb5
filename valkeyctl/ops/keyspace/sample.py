"""What a database holds, judged from some thousand of its keys.

A random cursor is a random place in the server's table, for the bits of a cursor name a
bucket; SCAN from there gives a few dozen keys that only the hash function put together.
Such a run is one draw: keys of one run share a place, so they are no independent draws
themselves, and the intervals come from the differences between runs.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from valkeyctl.ops.keyspace.census import (
    Bounds,
    Census,
    Ci95,
    Group,
    KeyspaceStats,
    NamespaceStats,
    Total,
)
from valkeyctl.ops.keyspace.probe import living, questions
from valkeyctl.ops.keyspace.scan import Walker

_RUNS = 800
_KEYS_PER_RUN = 50
SAMPLED_KEYS = _RUNS * _KEYS_PER_RUN
_NORMAL_95 = 1.96  # with hundreds of runs, Student's t is the same


@dataclass
class Runs:
    """The sizes of the runs drawn.

    Attributes:
        number: Runs.
        keys: Keys in all of them.
        squares: Sum of the squares of their sizes.
    """

    number: int = 0
    keys: int = 0
    squares: int = 0

    def add(self, keys: int) -> None:
        """Add a run of *keys* keys."""
        self.number += 1
        self.keys += keys
        self.squares += keys * keys


class Ratio:
    """An amount per key, such as bytes in a namespace per key of the database.

    Source: Cochran, Sampling Techniques (1977), sections 6.3 and 9A: the ratio estimator
    over clusters, and its variance from their residuals.
    """

    def __init__(self) -> None:
        self._sum = 0
        self._squares = 0
        self._products = 0

    def add(self, amount: int, keys: int) -> None:
        """Add a run of *keys* keys that holds *amount*; one that holds 0 need not be added."""
        self._sum += amount
        self._squares += amount * amount
        self._products += amount * keys

    def estimate(self, runs: Runs, size: int) -> tuple[int, Bounds]:
        """Return the amount in a database of *size* keys, and its 95 % interval."""
        ratio = self._sum / runs.keys
        residuals = self._squares - 2 * ratio * self._products + ratio * ratio * runs.squares
        variance = max(0.0, residuals) * runs.number / max(1, runs.number - 1)
        half = _NORMAL_95 * math.sqrt(variance) / runs.keys
        low, high = max(0.0, ratio - half) * size, (ratio + half) * size
        return round(ratio * size), (math.floor(low), math.ceil(high))


@dataclass
class _Estimates:
    """What is estimated of a group: its keys, their bytes, and those that never expire."""

    keys: Ratio = field(default_factory=Ratio)
    memory: Ratio = field(default_factory=Ratio)
    lasting: Ratio = field(default_factory=Ratio)

    def add(self, amounts: list[int], keys: int) -> None:
        """Add the amounts of one run of *keys* keys."""
        self.keys.add(amounts[0], keys)
        self.memory.add(amounts[1], keys)
        self.lasting.add(amounts[2], keys)

    def of(self, runs: Runs, size: int) -> tuple[tuple[int, int, int], Ci95]:
        """Return the three amounts in a database of *size* keys, and their intervals."""
        keys, keys_bounds = self.keys.estimate(runs, size)
        memory, memory_bounds = self.memory.estimate(runs, size)
        lasting, lasting_bounds = self.lasting.estimate(runs, size)
        return (keys, memory, lasting), Ci95(keys_bounds, memory_bounds, lasting_bounds)


def sampled_stats(
    walker: Walker, app: str | None, size: int, rng: random.Random
) -> KeyspaceStats | None:
    """Return what about 40,000 keys, drawn at random, say about all *size* of them.

    None when they say too little: there are hardly any keys, or the server is a Cluster
    node, whose tables are one per slot and of different sizes. Keys that have expired and
    are not yet removed count as the server itself counts them, in DBSIZE.
    """
    if walker.has_slots:
        return None
    census = Census(app)
    runs = Runs()
    whole = _Estimates()
    estimates: dict[Group, _Estimates] = {}
    for run in _asked_runs(walker, rng):
        total = [0, 0, 0]
        parts: dict[Group, list[int]] = {}
        for key, memory, pttl in run:
            group = census.group(key)
            group.tally.add(memory, pttl)
            for amounts in (total, parts.setdefault(group, [0, 0, 0])):
                amounts[0] += 1
                amounts[1] += memory
                amounts[2] += pttl < 0
        runs.add(total[0])
        whole.add(total, total[0])
        for group, amounts in parts.items():
            estimates.setdefault(group, _Estimates()).add(amounts, total[0])
    if runs.keys < _RUNS:
        return None
    rows = [(group.foreign, _row(group, estimates[group], runs, size)) for group in census]
    sums, ci95 = whole.of(runs, size)
    return KeyspaceStats(
        app=app,
        namespaces=tuple(row for foreign, row in rows if not foreign),
        foreign=tuple(row for foreign, row in rows if foreign),
        total=Total(*sums, ci95),
        method="sample",
        asked=runs.keys,
    )


def _row(group: Group, estimates: _Estimates, runs: Runs, size: int) -> NamespaceStats:
    sums, ci95 = estimates.of(runs, size)
    return NamespaceStats(group.name, *sums, group.tally.ttl(), ci95)


def _asked_runs(walker: Walker, rng: random.Random) -> Iterator[list[tuple[bytes, int, int]]]:
    """Yield, run by run, the keys drawn that still live, each with its bytes and PTTL."""
    drawn = walker.draw(_RUNS, _KEYS_PER_RUN, rng)
    answers = iter(walker.wire.pipeline(question for keys in drawn for question in questions(keys)))
    for keys in drawn:
        yield list(living(keys, answers))
