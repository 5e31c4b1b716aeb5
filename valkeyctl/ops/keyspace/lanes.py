"""Several ways through a keyspace at once, in one thread: the server works while we do.

Each lane has at most one step under way. While the answers of one lane are dealt with,
the server works on the steps of the others; several servers work at the same time.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeVar

from valkeyctl.caching.replies import Reply, Word
from valkeyctl.caching.wire import Packed, Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import AuthError, ServerReplyError, UnreachableError
from valkeyctl.ops.keyspace.cursors import DONE, Course, next_cursor, runs_over
from valkeyctl.ops.keyspace.pace import Canary, Effect, Pace

Command = Sequence[Word]
Answer = Reply | ServerReplyError
Result = TypeVar("Result")
Visited = Callable[[], float]

_FIRST_COUNT = 128
# Keys that are remembered of all servers, a few megabytes; and how many one needs.
_REMEMBERED = 65_536
_LEAST_REMEMBERED = 2_048


class LaneName(NamedTuple):
    """What a lane is, across processes: a cursor means something on that server only.

    Attributes:
        address: Of the server.
        run_id: Of the server's process; another one has other hash seeds.
        part: Which part of the server's table, from 0 on.
        parts: Into how many it is divided.
    """

    address: str
    run_id: str
    part: int
    parts: int


@dataclass(eq=False)
class Node:
    """A primary.

    Attributes:
        endpoint: Where it is.
        wire: An open connection to it.
        number: Its place among the primaries.
        size: Keys in it when it was first asked, by DBSIZE.
        slot_counts: On a Cluster node its keys in each slot, then; None elsewhere.
        idle: Seconds of the way there and back, without any work.
    """

    endpoint: Endpoint
    wire: Wire
    number: int = 0
    size: int = 0
    slot_counts: Sequence[int] | None = None
    idle: float = 0.0

    @property
    def run_id(self) -> str:
        """The name of the server's process, by INFO; empty where it does not say.

        Raises:
            UnreachableError, AuthError, ServerReplyError: as `Wire.info`.
        """
        return self.wire.info("server").get("run_id", "")


class Recent:
    """The last keys that a server's lanes gave, to leave out those that SCAN repeats.

    Args:
        limit: Most keys to remember; half of them when the older half has been forgotten.
    """

    def __init__(self, limit: int) -> None:
        self._generation = limit // 2
        self._young: set[bytes] = set()
        self._old: set[bytes] = set()

    def unseen(self, keys: list[bytes]) -> list[bytes]:
        """Return *keys* without repetitions, in their order, and remember them.

        The list itself when nothing is left out.
        """
        fresh = set(keys)
        if len(fresh) != len(keys):
            keys = list(dict.fromkeys(keys))
        if not (self._young.isdisjoint(fresh) and self._old.isdisjoint(fresh)):
            keys = [key for key in keys if key not in self._young and key not in self._old]
        if len(self._young) + len(fresh) > self._generation:
            self._old, self._young = self._young, set()
        self._young |= fresh
        return keys


@dataclass(eq=False)
class Lane:
    """A part of one server's keys on the way from its first to its last.

    Attributes:
        node: The server.
        number: Its place among the lanes.
        part: Which part of the server's table.
        parts: Into how many it is divided.
        cursor: Where it looks next; `DONE` when all of it was looked at.
        dealt: All before this cursor is dealt with.
        count: Keys to ask for in the next step, as far as the pace goes.
        limit: Most keys to ask for, near the end of a half.
        keys: Looked at, and not yet dealt with; None before the first look.
        round_trip: Most seconds that the server can have worked on the last step.
    """

    node: Node
    number: int
    part: int
    parts: int
    cursor: int
    dealt: int
    count: int
    _recent: Recent
    limit: int = sys.maxsize
    keys: list[bytes] | None = None
    round_trip: float = 0.0
    _sent_at: float = 0.0
    _asked: int = 0

    @property
    def asks(self) -> int:
        """How many keys to ask for in the next step."""
        return min(self.count, self.limit)

    def advance(self, answered: int, keys: list[bytes]) -> list[bytes] | None:
        """Go to where SCAN *answered*; return those of its *keys* that were not given before.

        None when the page is to be asked for again, with fewer keys: SCAN ends where it has
        enough of them, and this one ends beyond the first half. Its keys from there on are
        the other lane's, and which they are only SCAN can tell.
        """
        if runs_over(answered, self.part, self.parts):
            if self._asked > 1:
                self.limit = self._asked // 2
                return None
            if answered:
                # Asked for one key, it has those of one bucket: the last, beyond the half.
                self.cursor = DONE
                return []
            # To the end in one step: a table of a few buckets, that the lanes both see whole.
        self.cursor = next_cursor(answered, self.part, self.parts)
        return self.unseen(keys)

    def unseen(self, keys: list[bytes]) -> list[bytes]:
        """Return those of *keys* that were not given before; the list itself when all are."""
        return self._recent.unseen(keys)

    def sent(self, now: float) -> None:
        """Note that a step left."""
        self._sent_at = now
        self._asked = self.asks

    def since_sent(self, now: float, free_at: float) -> float:
        """Return the seconds since the step left, or since the server was free for it."""
        return now - max(self._sent_at, free_at)


@dataclass(eq=False)
class _Server:
    """What is known of a primary during one walk."""

    canary: Canary | None = None
    under_way: int = 0
    free_at: float = 0.0
    ready_at: float = 0.0
    rest: float = 0.0
    looked: bool = False


class Lanes:
    """Drives lanes to their ends, as hard as a pace allows.

    Args:
        lanes: Not yet at their ends.
        pace: How hard to work each server.
        courses: How far a lane is, by the node's number.
        timeout: Seconds that a server may be silent.
        eager: Whether a lane's next step may leave before the caller has dealt with the
            result of its last one.
        clock: Seconds from any origin.
        sleep: Waits so many seconds.

    Attributes:
        effect: What others felt, when the lanes are at their ends, where the pace watched.
    """

    def __init__(
        self,
        lanes: Sequence[Lane],
        pace: Pace,
        courses: Sequence[Course],
        *,
        timeout: float,
        eager: bool = True,
        clock: Callable[[], float] = time.perf_counter,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._lanes = lanes
        # What is asked of one server at a time stays the same, however many lanes it has.
        parts = max((lane.parts for lane in lanes), default=1)
        self._pace = replace(pace, largest=pace.largest // parts)
        self._courses = courses
        self._timeout = timeout
        self._eager = eager
        self._clock = clock
        self._sleep = sleep
        self._servers = {lane.node: _Server() for lane in lanes}
        # A server that shall rest, or be watched, has one step at a time.
        restrained = pace.duty < 1 or pace.slack is not None
        self._at_once = 1 if restrained else len(lanes)
        self.effect: Effect | None = None

    def run(
        self,
        ask: Callable[[Lane], Packed | None],
        take: Callable[[Lane, list[Answer], Visited], Result],
    ) -> Iterator[Result]:
        """Yield what *take* makes of each step's answers, until every lane is done.

        Args:
            ask: Gives a lane's next step; None when it is done.
            take: Notes how far the lane is, and returns what the step has brought; its last
                argument then tells the share of all keys that is dealt with.

        Raises:
            UnreachableError, AuthError: as `Wire.collect`.
        """
        waiting = deque(self._lanes)
        under_way: deque[Lane] = deque()
        try:
            self._watch()
            while waiting or under_way:
                self._send(waiting, under_way, ask)
                if under_way:
                    lane = under_way.popleft()
                    result = take(lane, self._receive(lane), self._visited)
                    waiting.append(lane)
                    if self._eager:
                        # The server goes on while the caller deals with the result.
                        self._send(waiting, under_way, ask)
                    yield result
                elif waiting:
                    now = self._clock()
                    self._sleep(max(0.0, min(map(self._ready_at, waiting)) - now))
        finally:
            self._end(under_way)

    def _visited(self) -> float:
        sizes = {lane.node: max(lane.node.size, 1) for lane in self._lanes}
        whole = sum(sizes.values())
        done = sum(
            sizes[lane.node] * self._courses[lane.node.number].share(lane.dealt, lane.part)
            for lane in self._lanes
        )
        return min(1.0, done / whole) if whole else 1.0

    def _watch(self) -> None:
        if self._pace.slack is None:
            return
        for node, server in self._servers.items():
            wire = Wire(node.endpoint, timeout=self._timeout)
            try:
                wire.open()
                server.canary = Canary(wire, self._pace.slack, self._clock)
            except (UnreachableError, AuthError, ServerReplyError):
                # It may have all the clients that it takes. The walk does without: it still
                # measures its own steps, and rests; a server that is gone is noticed soon.
                wire.close()

    def _ready_at(self, lane: Lane) -> float:
        return self._servers[lane.node].ready_at

    def _send(
        self,
        waiting: deque[Lane],
        under_way: deque[Lane],
        ask: Callable[[Lane], Packed | None],
    ) -> None:
        for _ in range(len(waiting)):
            lane = waiting.popleft()
            server = self._servers[lane.node]
            if server.under_way >= self._at_once or not self._may_go(server):
                waiting.append(lane)
                continue
            step = ask(lane)
            if step is None:
                continue  # it is done
            lane.sent(self._clock())
            lane.node.wire.post(*step)
            if server.canary:
                server.canary.send()
            server.under_way += 1
            under_way.append(lane)

    def _may_go(self, server: _Server) -> bool:
        """Say whether the server has rested enough, the longer the more it is strained."""
        now = self._clock()
        if now < server.ready_at:
            return False
        if server.canary and not server.looked and server.rest:
            server.looked = True
            longer = server.rest * (server.canary.restraint() - 1)
            if longer > 0:
                server.ready_at = now + longer
                return False
        return True

    def _receive(self, lane: Lane) -> list[Answer]:
        server = self._servers[lane.node]
        waited = server.canary.take() if server.canary else 0.0
        answers = lane.node.wire.collect()
        now = self._clock()
        lane.round_trip = lane.since_sent(now, server.free_at)
        server.free_at = now
        server.under_way -= 1
        spent = max(0.0, lane.round_trip - lane.node.idle, waited)
        count = self._pace.next_count(lane.count, spent)
        # Answers that lay there already came sooner than it seems: no reason to ask for less.
        timed = lane.node.wire.waited or server.canary is not None
        lane.count = count if timed else max(count, lane.count)
        server.rest = self._pace.rest(spent)
        server.ready_at = now + server.rest
        server.looked = False
        return answers

    def _end(self, under_way: Sequence[Lane]) -> None:
        for lane in under_way:
            # Left early: the answers on their way would be taken for those of later calls.
            lane.node.wire.close()
        effects = []
        for server in self._servers.values():
            if server.canary:
                effects.append(server.canary.effect())
                server.canary.close()
        if effects:
            self.effect = max(effects, key=lambda effect: effect.p99_ms)


def new_lanes(
    nodes: Sequence[Node], parts: int, pace: Pace, start: Sequence[int] | None = None
) -> list[Lane]:
    """Return a lane for each part of each server, in their order, ended ones included.

    Args:
        nodes: The primaries.
        parts: Into how many each one's table is divided, 1 or 2.
        pace: Bounds the first steps.
        start: Where each lane goes on; None begins all of them.
    """
    remembered = max(_LEAST_REMEMBERED, _REMEMBERED // max(1, len(nodes)))
    recent = [Recent(remembered) for _ in nodes]
    places = [
        (node, part, seen)
        for node, seen in zip(nodes, recent, strict=True)
        for part in range(parts)
    ]
    # Part 1 of 2 begins at cursor 1: the lowest bit is the last that the server counts.
    begins = [part for _, part, _ in places] if start is None else list(start)
    count = min(_FIRST_COUNT, pace.largest)
    return [
        Lane(node, number, part, parts, begin, begin, count, seen)
        for number, ((node, part, seen), begin) in enumerate(zip(places, begins, strict=True))
    ]
