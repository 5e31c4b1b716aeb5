"""The one way over a keyspace: SCAN in bounded steps, with work on the keys in the same trip.

What a walk promises: every key that is there from its beginning to its end is given at
least once; a key that comes or goes meanwhile may or may not be. SCAN gives a key twice
only when the server's table shrinks during the walk, and then only keys of the bucket
that the walk stands in, which it gave shortly before. So a walk remembers the last keys
it gave, a bounded number, and leaves those out; no key of a table that holds still, or
grows, is ever given twice.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from valkeyctl.caching.replies import Reply, Word
from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import ServerReplyError, UsageError

Command = Sequence[Word]
Answer = Reply | ServerReplyError

_FIRST_COUNT = 128
_SMALLEST_COUNT = 10
# Two generations of at most this many keys: a few megabytes.
_REMEMBERED = 16_384
_SLOT_BITS = 14
_SLOTS = 1 << _SLOT_BITS


@dataclass(frozen=True)
class Pace:
    """How hard a walk may work the server.

    Attributes:
        target: Seconds of server time that one round trip may take; the number of keys
            asked for follows it.
        largest: Most keys asked for in one SCAN.
        duty: Share of the time, above 0 to 1, in which the server works for the walk;
            it sleeps the rest.
    """

    target: float = 0.001
    largest: int = 1000
    duty: float = 1.0

    def next_count(self, count: int, spent: float) -> int:
        """Return how many keys to ask for after *count* of them took *spent* seconds."""
        factor = self.target / max(spent, 1e-6)
        # At most twice or half: one round trip that the machine delayed says little.
        return max(_SMALLEST_COUNT, min(self.largest, int(count * min(2.0, max(0.5, factor)))))

    def rest(self, spent: float) -> float:
        """Return the seconds to sleep after *spent* seconds of work."""
        return spent * (1 / self.duty - 1)


@dataclass(frozen=True, slots=True)
class Batch:
    """The keys of one step of a walk.

    Attributes:
        keys: As the server stores them, none twice; often empty under a match.
        answers: To the commands that went with the keys, in their order.
        visited: Fraction of the keyspace walked so far, in (0, 1]: a true share of the
            server's buckets, not a guess from the number of keys.
        round_trip: Seconds of the longest round trip of this step, network included:
            no command of it took the server longer.
    """

    keys: list[bytes]
    answers: list[Answer]
    visited: float
    round_trip: float


class Walker:
    """Walks the keys of one server; opened by `with`, for one thread.

    Args:
        endpoint: The server; its numbered database is the keyspace.
        timeout: Seconds that the server may be silent.
        clock: Seconds from any origin, for the round trips.
        sleep: Waits so many seconds, to keep the duty of a pace.

    Attributes:
        wire: The connection, for questions between the steps.
        has_slots: Whether the server is a Cluster node, with a table for each slot.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        timeout: float = 5.0,
        clock: Callable[[], float] = time.perf_counter,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.wire = Wire(endpoint, timeout=timeout)
        self._clock = clock
        self._sleep = sleep
        self.has_slots = False
        self._idle = 0.0

    def __enter__(self) -> Self:
        """Connect and make sure that this server's keys are all the keys.

        Raises:
            UsageError: It is a Sentinel, or one node of a Cluster of several.
            UnreachableError, AuthError, TlsError: as `Wire.open`.
        """
        self.wire.open()
        try:
            self.has_slots = self._find_slots()
            # The way to the server and back is no work of the server's.
            self._idle = min(self._timed_ping() for _ in range(3))
        except BaseException:
            self.wire.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.wire.close()

    def walk(
        self,
        *,
        match: bytes | None = None,
        follow: Callable[[list[bytes]], list[Command]] | None = None,
        pace: Pace | None = None,
    ) -> Iterator[Batch]:
        """Yield every key, batch by batch, in constant memory.

        Args:
            match: Glob that the server filters by; `escape_glob` for literal text.
            follow: Gives the commands for the keys of a batch. They travel in one write
                with the SCAN of the next batch, so a batch costs one round trip.
            pace: How hard to work the server.

        Raises:
            UnreachableError: The server went away; nothing is retried, for the cursor
                of a server means nothing to the next one.
            AuthError, ServerReplyError: It refuses SCAN.
        """
        pace = pace or Pace()
        recent = _Recent()
        count = min(_FIRST_COUNT, pace.largest)
        cursor = 0
        keys: list[bytes] | None = None
        longest = 0.0
        while True:
            commands = follow(keys) if follow and keys else []
            scanning = keys is None or cursor != 0
            if scanning:
                commands = [*commands, _scan_command(cursor, match, count)]
            started = self._clock()
            answers = self.wire.pipeline(commands) if commands else []
            round_trip = self._clock() - started
            walked = visited_fraction(cursor, slots=self.has_slots) if cursor else 1.0
            following: list[bytes] = []
            if scanning:
                cursor, found = _scan_answer(answers.pop())
                following = recent.unseen(found)
            if keys is not None:
                yield Batch(keys, answers, walked, max(longest, round_trip))
            if not scanning:
                return
            longest = round_trip if keys is None else 0.0
            keys = following
            spent = max(0.0, round_trip - self._idle)
            count = pace.next_count(count, spent)
            if (rest := pace.rest(spent)) > 0:
                self._sleep(rest)

    def draw(self, runs: int, count: int, rng: random.Random) -> list[list[bytes]]:
        """Return the keys of *runs* short SCANs that begin at random places.

        Each gives about *count* keys, that many or a bucket more where there are enough.
        A place is a bucket of the table, each with the same chance. Meant for a server
        without slots.

        Raises:
            UnreachableError, AuthError, ServerReplyError: as `walk`.
        """
        # The server takes from a cursor as many bits as its table has buckets for.
        commands = [("SCAN", rng.getrandbits(63), "COUNT", count) for _ in range(runs)]
        answers = self.wire.pipeline(commands)
        return [list(dict.fromkeys(_scan_answer(answer)[1])) for answer in answers]

    def _find_slots(self) -> bool:
        """Say whether the server is a Cluster node, whose cursors carry a slot."""
        try:
            hello = self.wire.call("HELLO")
        except ServerReplyError:
            return False  # a server older than HELLO and its modes
        words = hello if isinstance(hello, list) else []
        facts = dict(zip(words[::2], words[1::2], strict=False)) if words else {}
        mode = facts.get(b"mode")
        if mode == b"sentinel":
            raise UsageError(
                f"{self.wire.endpoint.address} is a Sentinel, which holds no keys",
                hint="Give the URL of the primary that it watches",
            )
        if mode != b"cluster":
            return False
        reply = self.wire.call("CLUSTER", "INFO")
        lines = reply.decode().splitlines() if isinstance(reply, bytes) else []
        size = dict(line.split(":", 1) for line in lines if ":" in line).get("cluster_size", "1")
        if size not in {"0", "1"}:
            raise UsageError(
                f"{self.wire.endpoint.address} is one of {size} Cluster primaries and holds a part "
                "of the keys",
                hint="Give the URL of a server that holds all of them",
            )
        return True

    def _timed_ping(self) -> float:
        started = self._clock()
        self.wire.call("PING")
        return self._clock() - started


class _Recent:
    """The last keys that a walk gave, to leave out those that SCAN repeats."""

    def __init__(self) -> None:
        self._young: set[bytes] = set()
        self._old: set[bytes] = set()

    def unseen(self, keys: list[bytes]) -> list[bytes]:
        """Return *keys* without repetitions, in their order, and remember them."""
        fresh = set(keys)
        if len(fresh) != len(keys):
            keys = list(dict.fromkeys(keys))
        if not (self._young.isdisjoint(fresh) and self._old.isdisjoint(fresh)):
            keys = [key for key in keys if key not in self._young and key not in self._old]
        if len(self._young) + len(fresh) > _REMEMBERED:
            self._old, self._young = self._young, set()
        self._young |= fresh
        return keys


def escape_glob(literal: bytes) -> bytes:
    """Return a glob that matches exactly *literal*."""
    for special in (b"\\", b"*", b"?", b"[", b"]"):
        literal = literal.replace(special, b"\\" + special)
    return literal


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
        slot = cursor & (_SLOTS - 1)
        return (slot + visited_fraction(cursor >> _SLOT_BITS)) / _SLOTS
    return int(f"{cursor:064b}"[::-1], 2) / 2**64


def _scan_command(cursor: int, match: bytes | None, count: int) -> Command:
    if match is None:
        return ("SCAN", cursor, "COUNT", count)
    return ("SCAN", cursor, "MATCH", match, "COUNT", count)


def _scan_answer(answer: Answer) -> tuple[int, list[bytes]]:
    if isinstance(answer, ServerReplyError):
        raise answer
    match answer:
        case [bytes() as cursor, list() as keys]:
            return int(cursor), [key for key in keys if isinstance(key, bytes)]
    raise ServerReplyError(f"SCAN answered {answer!r:.80}, which is no page of keys")
