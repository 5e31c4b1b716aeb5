"""What the cursors of SCAN mean: a place in the server's table, and a share of the way."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

SLOT_BITS = 14
SLOTS = 1 << SLOT_BITS
DONE = -1
"""In place of a cursor: this part of the way is behind us."""


def visited_fraction(cursor: int, *, slots: bool = False) -> float:
    """Return the share of a server's buckets that a walk standing at *cursor* has visited.

    A cursor counts buckets with its bits in reverse order, so that it stays valid while
    the table is resized; read backwards, it is a binary fraction of the table.

    Args:
        cursor: The cursor that SCAN answered; not 0, which is both begin and end.
        slots: Whether the server is a Cluster node: there the low 14 bits are the slot,
            which the walk takes in ascending order.

    Source: antirez/redis#579 (dictScan), kept by Valkey's hashtable and kvstore.
    """
    if slots:
        slot = cursor & (SLOTS - 1)
        return (slot + visited_fraction(cursor >> SLOT_BITS)) / SLOTS
    return int(f"{cursor:064b}"[::-1], 2) / 2**64


def next_cursor(answered: int, part: int, parts: int) -> int:
    """Return where a part goes on after SCAN *answered*; `DONE` at its end.

    Of two parts, the first is the way from cursor 0 to cursor 1, and the second the rest:
    the lowest bit of a cursor is the last that the server counts.
    """
    if answered == 0 or (parts == 2 and part == 0 and answered & 1):
        return DONE
    return answered


def runs_over(answered: int, part: int, parts: int) -> bool:
    """Say whether a page of the first half reaches into the second, by what SCAN *answered*."""
    return parts == 2 and part == 0 and answered != 1 and (answered == 0 or bool(answered & 1))


class Course:
    """How far a walk over one server is, as a share of its keys.

    Args:
        parts: In how many parts the server is walked, 1 or 2.
        slot_counts: On a Cluster node the keys in each slot, from slot 0 on: it has a
            table for each, and they are as unequal as the keys' hash tags make them.
    """

    def __init__(self, parts: int, slot_counts: Sequence[int] | None = None) -> None:
        self._parts = parts
        self._before: list[int] | None = None
        if slot_counts is not None:
            self._before = [0, *itertools.accumulate(slot_counts)]

    def share(self, cursor: int, part: int = 0) -> float:
        """Return what share of the server's keys *part* has visited when it is at *cursor*."""
        if cursor == DONE:
            return 1 / self._parts
        if self._before is not None:
            return self._share_of_slots(cursor, self._before)
        return max(0.0, visited_fraction(cursor) - part / self._parts)

    @staticmethod
    def _share_of_slots(cursor: int, before: list[int]) -> float:
        whole = before[-1]
        if not whole:
            return cursor % SLOTS / SLOTS
        slot = cursor & (SLOTS - 1)
        inside = before[slot + 1] - before[slot]
        return (before[slot] + inside * visited_fraction(cursor >> SLOT_BITS)) / whole
