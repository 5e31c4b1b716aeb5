"""Random places of a keyspace, and the runs of keys that lie there.

A random cursor is a random place in a server's table, for the bits of a cursor name a
bucket; SCAN from there gives a few dozen keys that only the hash function put together.
A Cluster node has a table for each slot, and hash tags make them as unequal as can be: so
a slot is drawn first, in proportion to its keys, and then a place in its table.
"""

from __future__ import annotations

import bisect
import itertools
import random
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from valkeyctl.caching.driver.slots import slot_of
from valkeyctl.caching.wire import Wire, pack
from valkeyctl.ops.keyspace.cursors import SLOT_BITS
from valkeyctl.ops.keyspace.lanes import Node
from valkeyctl.ops.keyspace.pace import Pace
from valkeyctl.ops.keyspace.pages import (
    Page,
    asked_page,
    page_command,
    page_of,
    questions,
    scripted,
)
from valkeyctl.ops.keyspace.scan import Walker, scan_answer

_KEYS_PER_RUN = 75
# On a Cluster keys of one kind share slots, so a long run says hardly more than a short one.
_KEYS_PER_SLOT_RUN = 10
# Bits of a random bucket; with the slot's they fit into the cursor's 64.
_BUCKET_BITS = 49
# Keys that travel together, when the server need not rest between runs.
_TOGETHER = 600


class Run(NamedTuple):
    """The keys of one random place.

    Attributes:
        page: The keys, as many of them as still live.
        scale: What each of them counts.
    """

    page: Page
    scale: float


class _Place(NamedTuple):
    node: Node
    cursor: int
    most: int
    slot: int | None


class Draws:
    """Draws runs of keys, independently of each other.

    Args:
        walker: Open; its keys are drawn from.
        rng: Chooses the places.
        pace: How hard to work the servers.
        clock: Seconds from any origin.
        sleep: Waits so many seconds, to keep the duty of the pace.

    Attributes:
        keys_per_run: About how many keys a run has.
    """

    def __init__(
        self,
        walker: Walker,
        rng: random.Random,
        pace: Pace,
        *,
        clock: Callable[[], float] = time.perf_counter,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._rng = rng
        self._pace = pace
        self._clock = clock
        self._sleep = sleep
        self._nodes = walker.nodes
        self._scripted = all(scripted(node.wire, None) for node in walker.nodes)
        self._slots: list[tuple[Node, int]] = []
        self._counts: list[int] = []
        if walker.has_slots:
            for node in walker.nodes:
                for slot, count in enumerate(walker.slot_counts(node)):
                    if count:
                        self._slots.append((node, slot))
                        self._counts.append(count)
        self._before = [0, *itertools.accumulate(self._counts)]
        self._has_slots = walker.has_slots
        self.keys_per_run = _KEYS_PER_SLOT_RUN if walker.has_slots else _KEYS_PER_RUN

    @property
    def possible(self) -> bool:
        """Whether there is anything to draw from."""
        return not self._has_slots or self._before[-1] > 0

    def take(self, runs: int) -> Iterator[Run]:
        """Yield *runs* runs, without those at whose place no key lives.

        Raises:
            UnreachableError, AuthError, ServerReplyError: as `Walker.survey`.
        """
        together = _TOGETHER // self.keys_per_run if self._pace.duty == 1 else 1
        places = [self._place() for _ in range(runs)]
        groups = [places[at : at + together] for at in range(0, runs, together)]
        for group, pages in self._asked(groups):
            for place, page in zip(group, pages, strict=True):
                if place.slot is not None:
                    _keep_slot(page, place.slot)
                if page.keys:
                    yield Run(page, 1.0 if place.slot is None else 1 / len(page.keys))

    def _place(self) -> _Place:
        if not self._has_slots:
            # The server takes from a cursor as many bits as its table has buckets for.
            return _Place(self._nodes[0], self._rng.getrandbits(63), self.keys_per_run, None)
        at = bisect.bisect_right(self._before, self._rng.randrange(self._before[-1])) - 1
        node, slot = self._slots[at]
        bucket, most = self._rng.getrandbits(_BUCKET_BITS), self.keys_per_run
        if self._counts[at] <= most:
            # As a whole: of a table this small a run would often have but the end.
            bucket, most = 0, self._counts[at]
        return _Place(node, bucket << SLOT_BITS | slot, most, slot)

    def _asked(
        self, groups: Sequence[Sequence[_Place]]
    ) -> Iterator[tuple[Sequence[_Place], list[Page]]]:
        """Yield the pages of each group; the servers work on the next one meanwhile."""
        if not self._scripted:
            for group in groups:
                yield group, [_plain_page(place) for place in group]
            return
        at_once = 2 if self._pace.duty == 1 else 1
        posted = 0
        for number, group in enumerate(groups):
            began = self._clock()
            while posted < min(number + at_once, len(groups)):
                _post(groups[posted])
                posted += 1
            pages = _collect(group)
            if (rest := self._pace.rest(self._clock() - began)) > 0:
                self._sleep(rest)
            yield group, pages


def _post(group: Sequence[_Place]) -> None:
    for wire, places in _by_wire(group):
        commands = [page_command(place.cursor, place.most) for _, place in places]
        wire.post(pack(commands), len(commands))


def _collect(group: Sequence[_Place]) -> list[Page]:
    pages: dict[int, Page] = {}
    for wire, places in _by_wire(group):
        for (number, _), answer in zip(places, wire.collect(), strict=True):
            pages[number] = page_of(answer)[1]
    return [pages[number] for number in range(len(group))]


def _by_wire(group: Sequence[_Place]) -> list[tuple[Wire, list[tuple[int, _Place]]]]:
    """Return the places of each connection, each with its number in the group."""
    wires: dict[Wire, list[tuple[int, _Place]]] = {}
    for number, place in enumerate(group):
        wires.setdefault(place.node.wire, []).append((number, place))
    return list(wires.items())


def _plain_page(place: _Place) -> Page:
    """Return the page of one place by plain commands."""
    wire = place.node.wire
    _, keys = scan_answer(wire.call("SCAN", place.cursor, "COUNT", place.most))
    return asked_page(keys, wire.pipeline(questions(keys)), 1.0, 0.0)


def _keep_slot(page: Page, slot: int) -> None:
    """Remove from *page* what SCAN found behind the end of the slot's table."""
    strays = [place for place, key in enumerate(page.keys) if slot_of(key) != slot]
    for stray in reversed(strays):
        del page.keys[stray], page.memory[stray], page.pttl[stray]
    if strays and page.odd:
        gone = set(strays)
        kept = [
            (place - bisect.bisect_left(strays, place), kind)
            for place, kind in page.odd.items()
            if place not in gone
        ]
        page.odd.clear()
        page.odd.update(kept)
