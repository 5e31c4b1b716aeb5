"""The miss-ratio curve: which share of the accesses a cache of each size answers.

Two ways lead to it, and both are shown. The exact one computes for every access how much
memory an LRU cache needs to answer it. The other plays a server entry by entry, with
Valkey's sampled eviction and its clock of whole seconds. For long streams both look at a
fixed share of the keys only (SHARDS: Waldspurger et al., FAST 2015); the play then gives
no more than its difference from the exact curve of the same keys, which varies little.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from valkeyctl.bench.sweep.accesses import Accesses
from valkeyctl.bench.sweep.entrymemory import EntryMemory
from valkeyctl.bench.sweep.eviction import Server
from valkeyctl.bench.sweep.knee import DEFAULT_GAIN, knee
from valkeyctl.bench.sweep.sampling import Exact, Sample, clipped, power_of_two
from valkeyctl.bench.sweep.stackdistance import Integers
from valkeyctl.errors import UsageError

# In front of every value that the cache service stores; see docs/reference/entry-format.md.
HEADER_BYTES = 38
MOST_EXACT = 4_000_000
# Over all sizes together: some seconds.
MOST_PLAYED = 1_000_000
_MOST_PLAYED_A_SIZE = 200_000
_MOST_SIZES = 24
# A server of fewer entries than this is nobody's cache.
_LEAST_ENTRIES = 64
_MIB = 2**20

Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class Point:
    """What a cache of one size answers.

    Attributes:
        maxmemory: The server's limit, in bytes.
        lru: Hit ratio of an exact LRU cache, entries never expiring.
        valkey: Hit ratio of a server that evicts as Valkey does, expiry included.
        entries: How many entries it holds when full, or when it has all of them.
    """

    maxmemory: int
    lru: float
    valkey: float
    entries: int


@dataclass(frozen=True)
class Curve:
    """A miss-ratio curve, and what it says.

    Attributes:
        accesses: The stream; its keys are left out of JSON.
        memory: The memory model.
        server: The eviction that was played.
        key_bytes: Length of every key.
        header_bytes: In front of every value.
        mean_entry: Bytes of an entry, in the mean over the keys.
        points: By size, ascending.
        possible: Share that a cache without bounds answers, expiry included.
        fits: The ``maxmemory`` at which every entry fits.
        knee: The point from which on no doubling gains *gain*; None when there is none.
        gain: Share of the accesses that a doubling has to add to be worth it.
        sampled: Share of the keys that the exact curve was computed from.
        error: Half of its 95 % interval, at the worst size; 0 when nothing was sampled.
        played: Share of the keys that the play was played with.
    """

    accesses: Accesses
    memory: EntryMemory
    server: Server
    key_bytes: int
    header_bytes: int
    mean_entry: float
    points: tuple[Point, ...]
    possible: float
    fits: int
    knee: Point | None
    gain: float
    sampled: float
    error: float
    played: float


def check_sizes(sizes: Sequence[int], memory: EntryMemory) -> None:
    """Prove that *sizes* are ascending values of ``maxmemory`` for a server that stores anything.

    Raises:
        UsageError: They are not.
    """
    if not sizes or any(low >= high for low, high in pairwise(sizes)):
        raise UsageError("the sizes do not ascend", hint="Give them as 16Mi 32Mi 64Mi")
    if sizes[0] <= memory.fixed_bytes:
        raise UsageError(
            f"{sizes[0]:,} bytes are less than the server takes with nothing stored, "
            f"{memory.fixed_bytes:,} bytes",
            hint="Give larger sizes, such as 16Mi 32Mi 64Mi",
        )


def miss_ratio_curve(
    accesses: Accesses,
    memory: EntryMemory,
    *,
    server: Server | None = None,
    sizes: Sequence[int] | None = None,
    key_bytes: int | None = None,
    header_bytes: int = HEADER_BYTES,
    gain: float = DEFAULT_GAIN,
    most_exact: int = MOST_EXACT,
    most_played: int = MOST_PLAYED,
    seed: int = 1,
    progress: Progress = lambda _share, _text: None,
) -> Curve:
    """Return the hit ratio of *accesses* over the memory of the server.

    Args:
        accesses: The stream. The cache is empty at first, and every miss is stored.
        memory: What entries take; its ``expiry`` should be that of the entries.
        server: How it evicts; None is Valkey's default for an LRU cache.
        sizes: Values of ``maxmemory``, ascending; None takes steps of a half and a third
            from a few entries to where all fit, and two doublings more.
        key_bytes: Length of every key; None is what the stream says.
        header_bytes: In front of every value.
        gain: What a doubling of memory has to add to be worth it, in (0, 1).
        most_exact: Accesses above which the exact curve is of a sample of the keys.
        most_played: Accesses that are played, about, over all sizes.
        seed: Of the sample and the play.
        progress: Called before each size with the share that is done.

    Raises:
        UsageError: Sizes not ascending, or none above what the server itself takes.
    """
    server = server or Server()
    key_bytes = accesses.key_bytes if key_bytes is None else key_bytes
    if not 0 < gain < 1:
        raise UsageError(f"the gain is {gain}", hint="Give a share above 0 and below 1")
    if sizes is not None:
        check_sizes(sizes, memory)
    entries = _entry_sizes(accesses, memory, key_bytes, header_bytes)
    total, mean = int(entries.sum()), float(entries.mean())
    fits = memory.fixed_bytes + total + 2 * memory.table_bytes(accesses.distinct)
    least = memory.fixed_bytes + mean * min(_LEAST_ENTRIES, accesses.distinct / 2)
    limits = _sizes(least, fits) if sizes is None else sizes
    exact = Exact(accesses, entries, most_exact, server.ttl, seed)
    each = min(most_played / len(limits), _MOST_PLAYED_A_SIZE)
    sample = Sample(accesses, entries, power_of_two(each / len(accesses.keys)), server, seed)
    points = []
    for number, limit in enumerate(limits):
        progress(number / len(limits), f"size {number + 1} of {len(limits)}")
        room = limit - memory.fixed_bytes
        inside = memory.entries_room(room, mean)
        # Where nothing is evicted and nothing expires there is no difference to play for.
        idle = limit >= fits and server.ttl is None
        played = 0.0 if idle else sample.difference(room, memory, mean)
        points.append(
            Point(
                limit,
                exact.ratio(inside),
                clipped(exact.lasting(inside) + played),
                min(accesses.distinct, int(inside / mean)),
            )
        )
    possible = exact.lasting(total)
    # A curve that never gains so much in all has no place where it stops to.
    found = None if possible < gain else knee(_drawn_to_its_end(points, fits, possible), gain)
    return Curve(
        accesses=accesses,
        memory=memory,
        server=server,
        key_bytes=key_bytes,
        header_bytes=header_bytes,
        mean_entry=mean,
        points=tuple(points),
        possible=possible,
        fits=fits,
        knee=next((one for one in points if one.maxmemory == found), None),
        gain=gain,
        sampled=exact.share,
        error=exact.error(
            [memory.entries_room(one.maxmemory - memory.fixed_bytes, mean) for one in points]
        ),
        played=sample.share,
    )


def _drawn_to_its_end(
    points: Sequence[Point], fits: int, possible: float
) -> list[tuple[float, float]]:
    """Return the curve with its flat end, which the sizes asked for may not reach."""
    drawn = [(float(one.maxmemory), one.valkey) for one in points]
    ends = (fits, 4 * max(fits, points[-1].maxmemory))
    return drawn + [(float(size), possible) for size in ends if size > points[-1].maxmemory]


def _entry_sizes(accesses: Accesses, memory: EntryMemory, key: int, header: int) -> Integers:
    values, places = np.unique(accesses.values, return_inverse=True)
    sizes = [memory.entry_bytes(key, int(value) + header) for value in values]
    return np.array(sizes, np.int64)[places]


def _sizes(least: float, fits: int) -> list[int]:
    """Return MiB values 1, 1.5, 2, 3, 4, 6 ... that show the curve from *least* on."""
    steps = [round(_MIB * 2**power * factor) for power in range(-4, 30) for factor in (1, 1.5)]
    wanted = [size for size in steps if size >= least and size <= 8 * fits]
    # Two doublings past where everything fits, so that the end is seen to be flat.
    end = next((place for place, size in enumerate(wanted) if size >= fits), len(wanted) - 1) + 5
    return wanted[max(0, end - _MOST_SIZES) : end]
