"""The first few of very many, in memory for those few."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Ranking(Generic[Item]):
    """Keeps the items with the highest scores of a stream; of equal ones those that came first.

    Args:
        places: How many to keep.
    """

    def __init__(self, places: int) -> None:
        self._places = places
        # The serial number keeps the heap from comparing items.
        self._heap: list[tuple[float, int, Item]] = []
        self._serial = 0

    def add(self, scores: Sequence[float], item: Callable[[int], Item]) -> None:
        """Offer a column of scores; *item* makes what to keep of a place in it."""
        heap = self._heap
        if not scores or (len(heap) == self._places and max(scores) <= heap[0][0]):
            return  # most columns of a long stream
        for place, score in enumerate(scores):
            if len(heap) < self._places:
                self._serial -= 1
                heapq.heappush(heap, (score, self._serial, item(place)))
            elif score > heap[0][0]:
                self._serial -= 1
                heapq.heapreplace(heap, (score, self._serial, item(place)))

    def best(self) -> list[tuple[float, Item]]:
        """Return the scores and items kept, the highest first."""
        ordered = sorted(self._heap, key=lambda entry: entry[:2], reverse=True)
        return [(score, item) for score, _, item in ordered]
