"""How many bytes an entry takes in a Valkey server, and how many the server itself takes.

``maxmemory`` is held against all that the allocator gave out: the entry's own parts, each
rounded up to a size that the allocator has, the two hash tables, and what the server took
before the first entry. The layouts are those of ``src/object.c`` and ``src/dict.c``; over
700 combinations of key, value and expiry they give what ``MEMORY USAGE`` says of Valkey
8.0.1 exactly, of 9.1.2 with jemalloc in 99 % of them, and with glibc in 95 %: there the
rest has 16 bytes more than it needs. ``used_memory`` of 20,000 entries is met within 0.1 %.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias, get_args

from valkeyctl.errors import UsageError

Layout: TypeAlias = Literal["8.0", "9.1"]
Allocator: TypeAlias = Literal["jemalloc", "libc"]

# Of a server with default settings and one client, before the first entry. Measured.
_FIXED: dict[tuple[Layout, Allocator], int] = {
    ("8.0", "jemalloc"): 1_053_000,
    ("8.0", "libc"): 1_117_000,
    ("9.1", "jemalloc"): 1_045_000,
    ("9.1", "libc"): 1_117_000,
}
_EMBED_LIMIT_8_0 = 44
_EMBED_LIMIT_9_1 = 128
# A longer key has room for an expiry whether or not it has one.
_EXPIRY_RESERVED_FROM = 128
_BUCKET, _BUCKET_ENTRIES = 64, 7
# Of a full bucket's continuation, as both allocators round it.
_CHILD_BUCKET = 72
# Past this fill a table grows even when that breaks maxmemory (HASHTABLE_MAX_LOAD_FACTOR).
_FORCED_FILL = 1.618


@dataclass(frozen=True)
class EntryMemory:
    """The memory model of one build of the server, for string entries.

    Attributes:
        layout: The version whose layout it is. ``9.1`` holds for 8.1 too, unless key and
            value together are shorter than 128 bytes.
        allocator: jemalloc in the official images, libc in the embedded server.
        expiry: Whether entries have a TTL; those of the cache service always have.
        fixed: Bytes that count against ``maxmemory`` with no entry stored; None is that
            of a server with default settings and one client.

    Raises:
        UsageError: The layout or the allocator is unknown.
    """

    layout: Layout = "9.1"
    allocator: Allocator = "jemalloc"
    expiry: bool = True
    fixed: int | None = None

    def __post_init__(self) -> None:
        for what, value, known in (
            ("layout", self.layout, get_args(Layout)),
            ("allocator", self.allocator, get_args(Allocator)),
        ):
            if value not in known:
                raise UsageError(f"{what} is {value!r}", hint=f"Give {' or '.join(known)}")
        if self.fixed is not None and not 0 <= self.fixed < 2**50:
            raise UsageError(
                f"the server's own memory is {self.fixed} bytes", hint="Give 0 or more"
            )

    @property
    def fixed_bytes(self) -> int:
        """What the server takes with no entry stored."""
        return _FIXED[self.layout, self.allocator] if self.fixed is None else self.fixed

    def entry_bytes(self, key: int, value: int) -> int:
        """Return what one entry takes beside the hash tables.

        Args:
            key: Length of its key in bytes.
            value: Length of what is stored, header included.
        """
        rounded = _jemalloc if self.allocator == "jemalloc" else _libc
        if self.layout == "8.0":
            # The key lies in the dictionary's entry; a short value beside its object.
            entry = rounded(17 + _sds(key))
            object_ = (
                rounded(16 + 3 + value + 1)
                if value <= _EMBED_LIMIT_8_0
                else rounded(16) + rounded(_sds(value))
            )
            return entry + object_ + (rounded(24) if self.expiry else 0)
        extra = 1 + _sds(key)
        # Whether the value lies in the object is decided before the expiry is set.
        embedded = value < 256 and 8 + extra + 3 + value + 1 <= _EMBED_LIMIT_9_1
        if self.expiry or key >= _EXPIRY_RESERVED_FROM:
            extra += 8
        if embedded:
            return rounded(8 + extra + 3 + value + 1)
        return rounded(16 + extra) + rounded(_sds(value))

    def slots(self, entries: int) -> int:
        """Return how many buckets a table has that grew to hold so many entries."""
        room = 1 if self.layout == "8.0" else _BUCKET_ENTRIES
        least = 4 if self.layout == "8.0" else 1
        return max(least, 1 << max(0, math.ceil(entries / room) - 1).bit_length())

    def grown(self, entries: int, used: int, slots: int, room: int) -> int:
        """Return how many buckets a table has after it was looked at: *slots*, or more.

        Args:
            entries: How many entries it holds.
            used: Bytes that they take.
            slots: How many buckets it has.
            room: Bytes for entries and tables. A table that would break this does not
                grow (`dictTypeResizeAllowed`), unless it is far too full.
        """
        wanted = self.slots(entries)
        if wanted <= slots:
            return slots
        one = 1 if self.layout == "8.0" else _BUCKET_ENTRIES
        # Old and new table are there at the same time while entries move.
        both = self.table_bytes(entries, slots) + self.table_bytes(entries, wanted)
        forced = entries > _FORCED_FILL * one * slots
        return wanted if forced or used + both <= room else slots

    def entries_room(self, room: int, mean: float) -> int:
        """Return how much of *room* is for the entries once a server is full.

        Args:
            room: Bytes for entries and hash tables.
            mean: Bytes of an entry, in the mean.
        """
        slots = self.slots(1)
        while True:
            # All that fits beside tables of this size, were they full of it.
            held = max(1, int((room - self.table_bytes(1, slots)) / mean))
            held = max(1, int((room - self.table_bytes(held, slots)) / mean))
            larger = self._grown_on_the_way(held, mean, slots, room)
            if larger == slots:
                return max(0, room - self.table_bytes(held, slots))
            slots = larger

    def _grown_on_the_way(self, held: int, mean: float, slots: int, room: int) -> int:
        """Return the buckets of a table that has *slots* when its entries reach *held*."""
        one = 1 if self.layout == "8.0" else _BUCKET_ENTRIES
        # It is looked at first when it is just full, with room beside it most likely.
        full = slots * one + 1
        if held < full:
            return slots
        first = self.grown(full, round(full * mean), slots, room)
        return first if first > slots else self.grown(held, round(held * mean), slots, room)

    def table_bytes(self, entries: int, slots: int | None = None) -> int:
        """Return what the hash tables take: that of the keys, and that of their expiries.

        Args:
            entries: How many entries they hold.
            slots: How many buckets each has; None is what they grew to.
        """
        slots = self.slots(entries) if slots is None else slots
        if self.layout == "8.0":
            one = 8 * slots
        else:
            overflowing = slots * _overflow(round(10 * entries / slots))
            one = _BUCKET * slots + round(_CHILD_BUCKET * overflowing)
        return one * (2 if self.expiry else 1)


@lru_cache(maxsize=1024)
def _overflow(tenths: int) -> float:
    """Return the share of buckets that hold more than 7 entries, at a mean of tenths / 10."""
    mean = tenths / 10
    term = kept = math.exp(-mean)
    for count in range(1, _BUCKET_ENTRIES + 1):
        term *= mean / count
        kept += term
    return max(0.0, 1 - kept)


def _sds(length: int) -> int:
    """Return the bytes of a string of *length*: its header, itself and a zero."""
    if length < 32:
        return length + 2
    return length + 1 + (3 if length < 2**8 else 5 if length < 2**16 else 9)


def _libc(size: int) -> int:
    """Return what glibc's malloc gives for *size*: 16 n + 8 bytes, at least 24."""
    return max(24, (size + 23) // 16 * 16 - 8)


def _jemalloc(size: int) -> int:
    """Return what jemalloc gives for *size*: four classes to a doubling, 16 apart below 128."""
    if size <= 128:
        return _SMALL[bisect_left(_SMALL, size)]
    step = 1 << (size - 1).bit_length() - 3
    return (size + step - 1) // step * step


_SMALL = (8, 16, 32, 48, 64, 80, 96, 112, 128)
