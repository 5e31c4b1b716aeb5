"""The one way over a keyspace: SCAN in bounded steps, with work on the keys in the same trip.

What a walk promises: every key that is there from its beginning to its end is given at
least once; a key that comes or goes meanwhile may or may not be. SCAN gives a key twice
only when the server's table shrinks during the walk, and then only keys of the bucket
that the walk stands in, which it gave shortly before. So a walk remembers the last keys
it gave, a bounded number, and leaves those out; no key of a table that holds still, or
grows, is ever given twice. On a Cluster the same holds while no slot moves.

A walk goes on several lanes at once: one for each primary, or two for the halves of a
single server's table.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Self, TypeVar

from valkeyctl.caching.keys import KeyScheme
from valkeyctl.caching.wire import Packed, Wire, pack
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import ServerReplyError
from valkeyctl.ops.keyspace.cursors import DONE, SLOTS, Course, visited_fraction
from valkeyctl.ops.keyspace.lanes import (
    Answer,
    Command,
    Lane,
    LaneName,
    Lanes,
    Node,
    Visited,
    new_lanes,
)
from valkeyctl.ops.keyspace.nodes import Primaries, primaries
from valkeyctl.ops.keyspace.pace import Effect, Impact, Pace
from valkeyctl.ops.keyspace.pages import Page, asked_page, page_script, paged, questions, scripted

__all__ = [
    "DONE",
    "Answer",
    "Batch",
    "Command",
    "Effect",
    "Impact",
    "LaneName",
    "Node",
    "Pace",
    "Page",
    "Walker",
    "escape_glob",
    "visited_fraction",
]

Follow = Callable[[list[bytes]], Sequence[Command] | Packed]
Result = TypeVar("Result")

# Below this a second lane saves nothing, and a table of a bucket or two has no halves.
_HALVED_ABOVE = 20_000
# Seconds of server time: shorter ones cost more in round trips than others gain.
_LONGEST_PAGE = 0.0005


@dataclass(frozen=True, slots=True)
class Batch:
    """The keys of one step of a walk.

    Attributes:
        keys: As the server stores them, none twice; often empty under a match.
        answers: To the commands that went with the keys, in their order.
        visited: Fraction of the keyspace walked so far, in (0, 1]: a true share of the
            servers' buckets, not a guess from the number of keys.
        round_trip: Most seconds that the server can have taken for any command of this
            step.
        node: Number of the primary that holds the keys.
        lane: Number of the lane.
        cursor: Where the lane goes on, all before it being dealt with; `DONE` at its end.
    """

    keys: list[bytes]
    answers: list[Answer]
    visited: float
    round_trip: float
    node: int = 0
    lane: int = 0
    cursor: int = DONE


class Walker:
    """Walks the keys of all primaries; opened by `with`, for one thread.

    Args:
        endpoint: Of any topology; its numbered database is the keyspace.
        timeout: Seconds that a server may be silent.
        parts: Lanes for a single server, 1 or 2; None takes 2 for a large one.
        clock: Seconds from any origin, for the round trips.
        sleep: Waits so many seconds, to keep the duty of a pace.

    Attributes:
        nodes: The primaries, with an open connection to each.
        primaries: The same as `nodes.primaries` gives them.
        effect: What others felt of the last walk, where its pace watched them.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        timeout: float = 5.0,
        parts: int | None = None,
        clock: Callable[[], float] = time.perf_counter,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._endpoint = endpoint
        self._timeout = timeout
        self._parts = parts
        self._clock = clock
        self._sleep = sleep
        self._courses: list[Course] = []
        self.nodes: tuple[Node, ...] = ()
        self.primaries = Primaries(())
        self.effect: Effect | None = None

    def __enter__(self) -> Self:
        """Find the primaries and connect to each.

        Raises:
            UsageError: It is a Sentinel, and the URL does not say so.
            UnreachableError, AuthError, TlsError: as `Wire.open`.
        """
        self.primaries = primaries(self._endpoint, timeout=self._timeout)
        self.nodes = tuple(
            Node(endpoint, Wire(endpoint, timeout=self._timeout), number)
            for number, endpoint in enumerate(self.primaries.nodes)
        )
        try:
            for node in self.nodes:
                node.wire.open()
                size = node.wire.call("DBSIZE")
                node.size = size if isinstance(size, int) else 0
                # The way to the server and back is no work of the server's.
                node.idle = min(self._timed_ping(node.wire) for _ in range(3))
        except BaseException:
            self._close()
            raise
        if self._parts is None:
            halved = not self.has_slots and self.size() > _HALVED_ABOVE
            self._parts = 2 if halved else 1
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    @property
    def has_slots(self) -> bool:
        """Whether the servers are Cluster nodes, with a table for each slot."""
        return self.primaries.has_slots

    @property
    def wire(self) -> Wire:
        """The connection to the first primary, for questions between walks."""
        return self.nodes[0].wire

    @property
    def lanes(self) -> tuple[LaneName, ...]:
        """The lanes of a walk, in the order of their numbers.

        Raises:
            UnreachableError, AuthError, ServerReplyError: as `Node.run_id`.
        """
        parts = self._parts or 1
        return tuple(
            LaneName(node.endpoint.address, run_id, part, parts)
            for node, run_id in [(node, node.run_id) for node in self.nodes]
            for part in range(parts)
        )

    def size(self) -> int:
        """Return how many keys there were when the walker was opened, by DBSIZE."""
        return sum(node.size for node in self.nodes)

    def scheme(self, app: str) -> KeyScheme:
        """Return how keys of *app* are called there; see `Primaries.scheme`."""
        return self.primaries.scheme(app)

    def walk(
        self,
        *,
        match: bytes | None = None,
        follow: Follow | None = None,
        pace: Pace | None = None,
        start: Sequence[int] | None = None,
        eager: bool = True,
    ) -> Iterator[Batch]:
        """Yield every key, batch by batch, in constant memory.

        Args:
            match: Glob that the server filters by; `escape_glob` for literal text.
            follow: Gives the commands for the keys of a batch. They travel in one write
                with the SCAN of the lane's next batch, so a batch costs one round trip.
            pace: How hard to work the servers.
            start: Where each lane goes on, by its number, as `Batch.cursor` said.
            eager: Whether the next step of a lane leaves before its batch is yielded, so
                that the server never waits for the caller. Without, no more than the pace's
                largest number of keys of a server is under way and not yet yielded.

        Raises:
            UnreachableError: A server went away; nothing is retried, for the cursor
                of a server means nothing to the next one.
            AuthError, ServerReplyError: It refuses SCAN.
        """
        scan = _Scan(match, follow)
        for batch in self._run(pace or Pace(), scan.ask, scan.take, start, eager=eager):
            if batch is not None:
                yield batch

    def survey(self, *, match: bytes | None = None, pace: Pace | None = None) -> Iterator[Page]:
        """Yield every key with its memory, life and type, page by page, in constant memory.

        Args:
            match: As for `walk`.
            pace: As for `walk`.

        Raises:
            UnreachableError: as `walk`.
            AuthError, ServerReplyError: The server refuses SCAN or one of the questions.
        """
        if all(scripted(node.wire, match) for node in self.nodes):
            pace = pace or Pace()
            # A page is one command, which no other client's comes between.
            pace = replace(pace, target=min(pace.target, _LONGEST_PAGE))
            yield from self._run(pace, page_script(match), paged, None)
        else:
            for batch in self.walk(match=match, follow=questions, pace=pace):
                yield asked_page(batch.keys, batch.answers, batch.visited, batch.round_trip)

    def slot_counts(self, node: Node) -> Sequence[int]:
        """Return the keys in each slot of a Cluster node, from slot 0 on; asked once.

        Raises:
            UnreachableError, AuthError, ServerReplyError: as `Wire.pipeline`.
        """
        if node.slot_counts is None:
            counts = [0] * SLOTS
            ranges = self.primaries.slots.ranges if self.primaries.slots else ()
            place = (node.endpoint.host, node.endpoint.port)
            owned = [
                slot
                for part in ranges
                if part.primary == place
                for slot in range(part.first, part.last + 1)
            ]
            answers = node.wire.pipeline(("CLUSTER", "COUNTKEYSINSLOT", slot) for slot in owned)
            for slot, answer in zip(owned, answers, strict=True):
                if isinstance(answer, int):
                    counts[slot] = answer
            node.slot_counts = counts
        return node.slot_counts

    def _run(
        self,
        pace: Pace,
        ask: Callable[[Lane], Packed | None],
        take: Callable[[Lane, list[Answer], Visited], Result],
        start: Sequence[int] | None,
        *,
        eager: bool = True,
    ) -> Iterator[Result]:
        parts = self._parts or 1
        courses = [
            Course(parts, self.slot_counts(node) if self.has_slots else None) for node in self.nodes
        ]
        lanes = Lanes(
            new_lanes(self.nodes, parts, pace, start),
            pace,
            courses,
            timeout=self._timeout,
            eager=eager,
            clock=self._clock,
            sleep=self._sleep,
        )
        try:
            yield from lanes.run(ask, take)
        finally:
            self.effect = lanes.effect

    def _timed_ping(self, wire: Wire) -> float:
        started = self._clock()
        wire.call("PING")
        return self._clock() - started

    def _close(self) -> None:
        for node in self.nodes:
            node.wire.close()


class _Scan:
    """A lane's steps over its keys: commands for the last ones found, and SCAN for the next."""

    def __init__(self, match: bytes | None, follow: Follow | None) -> None:
        self._match = match
        self._follow = follow

    def ask(self, lane: Lane) -> Packed | None:
        """Return the lane's next step; None when all its keys are dealt with."""
        if lane.cursor == DONE and lane.keys is None:
            return None
        commands = self._follow(lane.keys) if self._follow and lane.keys else ()
        data, count = commands if isinstance(commands, Packed) else _packed(commands)
        if lane.cursor == DONE:
            # Nothing to ask for the last keys: what is known of them can be given.
            return Packed(data, count)
        return Packed(data + pack([_scan_command(lane, self._match)]), count + 1)

    def take(self, lane: Lane, answers: list[Answer], visited: Visited) -> Batch | None:
        """Return the batch that the step has dealt with; None after a lane's first look."""
        keys, cursor = lane.keys, lane.cursor
        lane.keys = None
        if cursor != DONE:
            answered, found = scan_answer(answers.pop())
            lane.keys = lane.advance(answered, found)
        if keys is None:
            return None
        lane.dealt = cursor
        return Batch(
            keys, answers, visited(), lane.round_trip, lane.node.number, lane.number, cursor
        )


def escape_glob(literal: bytes) -> bytes:
    """Return a glob that matches exactly *literal*."""
    for special in (b"\\", b"*", b"?", b"[", b"]"):
        literal = literal.replace(special, b"\\" + special)
    return literal


def scan_answer(answer: Answer) -> tuple[int, list[bytes]]:
    """Return the next cursor and the keys of an answer to SCAN.

    Raises:
        ServerReplyError: It is none.
    """
    if isinstance(answer, ServerReplyError):
        raise answer
    match answer:
        case [bytes() as cursor, list() as keys] if cursor.isdigit():
            return int(cursor), [key for key in keys if isinstance(key, bytes)]
    raise ServerReplyError(f"SCAN answered {answer!r:.80}, which is no page of keys")


def _scan_command(lane: Lane, match: bytes | None) -> Command:
    if match is None:
        return ("SCAN", lane.cursor, "COUNT", lane.asks)
    return ("SCAN", lane.cursor, "MATCH", match, "COUNT", lane.asks)


def _packed(commands: Sequence[Command]) -> Packed:
    return Packed(pack(commands), len(commands))
