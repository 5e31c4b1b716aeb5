"""Sums over keys by group, a page of keys at a time, in memory that does not grow with them.

A million keys are counted while the server looks up the next ones, so a key may cost a
few hundred nanoseconds here: columns go through C functions as a whole, and no Python
function is called for a single key.
"""

from __future__ import annotations

import itertools
import math
import sys
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import or_

# Which of two 16-bit words has a float's exponent.
_UPPER = 1 if sys.byteorder == "little" else 0
# Magnitudes from here on are of numbers below zero: keys that never expire.
_NEGATIVE = 0x8000
# Cells of a histogram over all groups; some ten megabytes.
_MOST_CELLS = 100_000


@dataclass(frozen=True)
class TtlSpread:
    """How long the keys of a group still live, in seconds; quantiles to 0.4 %.

    Attributes:
        min: Of the key that expires first, or up to 0.8 % less.
        p50: Half of the keys that expire do so within this time.
        p90: Nine tenths do.
        p99: 99 of 100 do.
        max: Of the key that expires last; to 0.4 %.
    """

    min: float
    p50: float
    p90: float
    p99: float
    max: float


@dataclass(frozen=True)
class SizeSpread:
    """What single keys of a group take, in bytes; quantiles to 0.4 %.

    Attributes:
        min: The smallest key, or up to 0.8 % less.
        p50: Half of the keys take no more than this.
        p90: Nine tenths do not.
        p99: 99 of 100 do not.
        max: The biggest key; exact.
        mean: Bytes of all by their number.
    """

    min: int
    p50: int
    p90: int
    p99: int
    max: int
    mean: int


def magnitudes(numbers: Sequence[int]) -> list[int]:
    """Return the order of magnitude of each number, as a code that sorts as they do.

    It is the upper half of the number as a 32-bit float: sign, exponent and 7 bits of the
    fraction. All numbers with one code lie within 0.8 % of each other; those below zero
    have codes from 0x8000 on.
    """
    if not numbers:
        return []
    return memoryview(array("f", numbers)).cast("B").cast("H")[_UPPER::2].tolist()


def _number(magnitude: int) -> float:
    """Return the smallest number, 0 or more, of a magnitude."""
    return array("f", (magnitude << 16).to_bytes(4, sys.byteorder))[0]


class Cells:
    """Counts by group and magnitude, so many at most; more are made coarser.

    Args:
        most: Cells to keep; with more, neighbours are put together, which doubles the
            error of the quantiles each time.
    """

    def __init__(self, most: int = _MOST_CELLS) -> None:
        self._counts: Counter[int] = Counter()
        self._most = most
        self._coarse = 0

    def add(self, groups: Iterable[int], numbers: Sequence[int]) -> None:
        """Count one number for each of *groups*, which are codes shifted by 16 bits."""
        self._counts.update(map(or_, groups, magnitudes(numbers)))
        if len(self._counts) > self._most:
            self._put_together()

    def spreads(self) -> dict[int, Spread]:
        """Return the counts of each group."""
        self._put_together(needed=False)
        found: dict[int, dict[int, int]] = {}
        for cell, count in self._counts.items():
            found.setdefault(cell >> 16, {})[cell & 0xFFFF] = count
        return {group: Spread(cells, 1 << self._coarse) for group, cells in found.items()}

    def _put_together(self, *, needed: bool = True) -> None:
        if not needed and not self._coarse:
            return
        while True:
            merged: Counter[int] = Counter()
            for cell, count in self._counts.items():
                merged[cell >> self._coarse << self._coarse] += count
            self._counts = merged
            # Half, so that this is not done again for the next few cells.
            if len(merged) <= self._most // 2 or not needed or self._coarse == 7:
                return
            self._coarse += 1


class Spread:
    """How the numbers of one group are spread.

    Args:
        cells: How many have each magnitude.
        width: How many magnitudes are put together in a cell.

    Attributes:
        negative: How many numbers are below zero.
    """

    def __init__(self, cells: Mapping[int, int], width: int) -> None:
        ordered = sorted(cells.items())
        self.negative = sum(count for cell, count in ordered if cell >= _NEGATIVE)
        self._cells = [cell for cell, _ in ordered if cell < _NEGATIVE]
        counts = [count for cell, count in ordered if cell < _NEGATIVE]
        self._reached = list(itertools.accumulate(counts))
        self._width = width

    @property
    def positive(self) -> int:
        """How many numbers are 0 or more."""
        return self._reached[-1] if self._reached else 0

    def least(self) -> float:
        """Return the smallest of the numbers from 0 on, or up to 0.8 % less."""
        return _number(self._cells[0])

    def quantile(self, q: float) -> float:
        """Return the q-quantile of the numbers from 0 on, by nearest rank, q in (0, 1]."""
        rank = math.ceil(q * self.positive)
        cell = next(c for c, seen in zip(self._cells, self._reached, strict=True) if seen >= rank)
        return (_number(cell) + _number(cell + self._width)) / 2 if cell else 0.0


@dataclass(frozen=True)
class Tally:
    """What was counted of one group.

    Attributes:
        keys: Its keys.
        memory: Their bytes.
        without_expiry: Those of them that never expire.
        ttl: How long the others live; None when there are none.
        size: What single ones take.
    """

    keys: int
    memory: int
    without_expiry: int
    ttl: TtlSpread | None
    size: SizeSpread


class Ledger:
    """Counts keys, bytes and remaining lives by group.

    A group is a number below 65,536, and the numbers in use begin at 0 and have no gaps.
    """

    def __init__(self) -> None:
        self._memory: list[int] = []
        self._largest: list[int] = []
        self._sizes = Cells()
        self._lives = Cells()

    def add(
        self, groups: Sequence[int], memory: Sequence[int], pttl: Sequence[int]
    ) -> dict[int, int]:
        """Count one key for each place of the columns.

        Args:
            groups: Of each key.
            memory: Its bytes.
            pttl: Milliseconds that it still lives; -1 for ever.

        Returns:
            By group the place of its largest key, where it is larger than all before it.
        """
        if not groups:
            return {}
        sums, largest = self._memory, self._largest
        missing = max(groups) + 1 - len(sums)
        sums += [0] * missing
        largest += [-1] * missing
        records = {}
        for place, (group, size) in enumerate(zip(groups, memory, strict=True)):
            sums[group] += size
            if size > largest[group]:
                largest[group] = size
                records[group] = place
        shifted = [group << 16 for group in groups]
        self._sizes.add(shifted, memory)
        self._lives.add(shifted, pttl)
        return records

    def tallies(self) -> dict[int, Tally]:
        """Return what was counted, by group."""
        lives, sizes = self._lives.spreads(), self._sizes.spreads()
        found = {}
        for group, life in lives.items():
            keys = life.negative + life.positive
            found[group] = Tally(
                keys=keys,
                memory=self._memory[group],
                without_expiry=life.negative,
                ttl=_ttl(life),
                size=self._size(group, keys, sizes[group]),
            )
        return found

    def _size(self, group: int, keys: int, spread: Spread) -> SizeSpread:
        most = self._largest[group]
        p50, p90, p99 = (min(round(spread.quantile(q)), most) for q in (0.50, 0.90, 0.99))
        mean = round(self._memory[group] / keys)
        return SizeSpread(round(spread.least()), p50, p90, p99, most, mean)


def _ttl(spread: Spread) -> TtlSpread | None:
    if not spread.positive:
        return None
    quantiles = [spread.quantile(q) for q in (0.50, 0.90, 0.99, 1.0)]
    return TtlSpread(*(round(pttl / 1000, 3) for pttl in (spread.least(), *quantiles)))
