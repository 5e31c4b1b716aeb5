"""The exact curve of a stream or of a part of its keys, and the play of a part.

A fixed share of the keys, drawn by chance, stands for all: what it needs is scaled by the
share. Source: Waldspurger et al., Efficient MRC construction with SHARDS, FAST 2015; for
the play: Waldspurger et al., Cache modeling and optimization using miniature
simulations, ATC 2017.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from valkeyctl.bench.sweep.accesses import Accesses
from valkeyctl.bench.sweep.entrymemory import EntryMemory
from valkeyctl.bench.sweep.eviction import Server, count_hits
from valkeyctl.bench.sweep.stackdistance import NEVER, Integers, stack_distances

Flags: TypeAlias = npt.NDArray[np.bool_]

_GROUPS = 8
_T_95 = 2.365  # Student's t, 97.5 %, of 8 groups


class Exact:
    """What an exact LRU cache of each size answers.

    Args:
        accesses: The stream.
        entries: Bytes of each key's entry, indexed by key.
        most: Accesses above which a share of the keys stands for all.
        ttl: Seconds that an entry lives; None: it never expires.
        seed: Of the sample.

    Attributes:
        share: Of the keys that it was computed from.
    """

    def __init__(
        self, accesses: Accesses, entries: Integers, most: int, ttl: float | None, seed: int
    ) -> None:
        self.share = power_of_two(most / len(accesses.keys))
        width = self.share if self.share == 1 else self.share / _GROUPS
        group = _drawn(accesses.distinct, seed)
        lasting = _lasting(accesses, ttl)
        self._expected = len(accesses.keys) * width
        self._sorted: list[Integers] = []
        self._lasting: list[Integers] = []
        # Groups of keys, each a sample by itself: how much they differ is the error.
        for number in range(1 if self.share == 1 else _GROUPS):
            inside = (group >= number * width) & (group < (number + 1) * width)
            taken = inside[accesses.keys]
            distances = stack_distances(accesses.keys[taken], entries)
            known = distances != NEVER
            distances[known] = (distances[known] / width).astype(np.int64)
            self._sorted.append(np.sort(distances))
            self._lasting.append(_sorted_lasting(distances, lasting, taken, self._sorted[-1]))

    def ratio(self, size: int) -> float:
        """Return the hit ratio with *size* bytes of entries, none of which expires."""
        return float(np.mean(self._ratios(self._sorted, size)))

    def lasting(self, size: int) -> float:
        """Return the same of entries with the TTL, when all that was evicted lived on.

        It is no bound, but close to what a server answers: an entry that was evicted and
        stored again lives longer than one that stayed.
        """
        return float(np.mean(self._ratios(self._lasting, size)))

    def error(self, sizes: Sequence[int]) -> float:
        """Return half of the widest 95 % interval over *sizes*; 0 when all keys were taken."""
        if self.share == 1:
            return 0.0
        spreads = [float(np.std(self._ratios(self._sorted, size), ddof=1)) for size in sizes]
        return _T_95 * max(spreads) / math.sqrt(_GROUPS)

    def _ratios(self, groups: Sequence[Integers], size: int) -> list[float]:
        found = []
        for distances in groups:
            hits = float(np.searchsorted(distances, size, side="right"))
            # SHARDS-adj: a sample with a popular key too many or too few has that many
            # accesses too many or too few, and they are hits at any size.
            hits += self._expected - len(distances)
            found.append(clipped(hits / self._expected))
        return found


class Sample:
    """A part of a stream that is played, and what an exact LRU makes of the same part.

    Args:
        accesses: The stream.
        entries: Bytes of each key's entry, indexed by key.
        share: Of the keys, at most 1.
        server: How the server evicts, and how long its entries live.
        seed: Of the sample and the play.

    Attributes:
        share: As given; 1 where so small a share has no key at all.
    """

    def __init__(
        self, accesses: Accesses, entries: Integers, share: float, server: Server, seed: int
    ) -> None:
        self.share = share
        kept = _drawn(accesses.distinct, seed + 1) < share
        if not kept[accesses.keys].any():
            self.share, kept = 1.0, np.ones(accesses.distinct, np.bool_)
        taken = kept[accesses.keys]
        keys = accesses.keys[taken]
        distances = stack_distances(keys, entries)
        lasting = _lasting(accesses, server.ttl)
        self._distances = _sorted_lasting(distances, lasting, taken, np.sort(distances))
        self._server, self._seed = server, seed
        self._keys: list[int] = keys.tolist()
        self._sizes: list[int] = entries.tolist()
        self._times: list[float] | None = (
            None if accesses.times is None else accesses.times[taken].tolist()
        )

    def difference(self, room: int, memory: EntryMemory, mean: float) -> float:
        """Return by how much the play's hit ratio lies above `Exact.lasting`.

        Args:
            room: Bytes that the whole server has for entries and tables.
            memory: What the tables take.
            mean: Bytes of an entry, in the mean.
        """
        scaled = int(room * self.share)
        played = count_hits(
            self._keys, self._sizes, self._times, scaled, memory, self._server, seed=self._seed
        )
        exact = np.searchsorted(self._distances, memory.entries_room(scaled, mean), side="right")
        return (played - float(exact)) / len(self._keys)


def power_of_two(share: float) -> float:
    """Return the power of a half at or below *share*, at most 1.

    So the hash tables of a scaled server grow at the sizes that they really grow at.
    """
    return 1.0 if share >= 1 else 2.0 ** math.floor(math.log2(share))


def clipped(ratio: float) -> float:
    """Return *ratio*, or the nearest that a share can be."""
    return min(1.0, max(0.0, ratio))


def _drawn(count: int, seed: int) -> npt.NDArray[np.float64]:
    """Return a number in [0, 1) for each key, by chance."""
    return np.random.default_rng(seed).random(count)


def _lasting(accesses: Accesses, ttl: float | None) -> Flags | None:
    """Return whether each access finds what no memory would have removed but the TTL."""
    if ttl is None or accesses.times is None:
        return None
    expires: dict[int, float] = {}
    found = np.zeros(len(accesses.keys), np.bool_)
    for place, (key, at) in enumerate(
        zip(accesses.keys.tolist(), accesses.times.tolist(), strict=True)
    ):
        if expires.get(key, at) > at:
            found[place] = True
        else:
            expires[key] = at + ttl
    return found


def _sorted_lasting(
    distances: Integers, lasting: Flags | None, taken: Flags, plain: Integers
) -> Integers:
    """Return the distances, ascending, expired ones as `NEVER`; *plain* when none expires."""
    if lasting is None:
        return plain
    return np.sort(np.where(lasting[taken], distances, NEVER))
