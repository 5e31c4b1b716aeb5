"""The biggest, the hottest and the longest unused keys of a whole keyspace."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Sized
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal

from valkeyctl.caching.driver.slots import slot_of
from valkeyctl.caching.keys import parse_key
from valkeyctl.caching.wire import Packed, Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import InvalidKeyError, ServerReplyError, UsageError
from valkeyctl.ops.keyspace.counting.census import big_key, shown_key
from valkeyctl.ops.keyspace.counting.ranking import Ranking
from valkeyctl.ops.keyspace.lanes import Node
from valkeyctl.ops.keyspace.pace import Pace
from valkeyctl.ops.keyspace.pages import Page, asked_page, questions
from valkeyctl.ops.keyspace.scan import Answer, Walker, escape_glob
from valkeyctl.ops.keyspace.scope import Scope, owner_of

MOST_PLACES = 10_000
_FREQ = b"*3\r\n$6\r\nOBJECT\r\n$4\r\nFREQ\r\n$%d\r\n%b\r\n"
_IDLETIME = b"*3\r\n$6\r\nOBJECT\r\n$8\r\nIDLETIME\r\n$%d\r\n%b\r\n"
Source = Literal["memory", "lfu", "counters", "idle"]
Progress = Callable[[float, int], None]


class By(StrEnum):
    """What the first keys have most of."""

    MEMORY = "memory"
    FREQ = "freq"
    IDLE = "idle"


@dataclass(frozen=True)
class TopKey:
    """One of the first keys; what is None was not asked, or is not there any more.

    Attributes:
        key: As one printable line.
        type: As TYPE names it.
        memory_bytes: By MEMORY USAGE.
        ttl_s: Seconds that it still lives; None when it never expires, too.
        frequency: The server's counter of its uses, 0 to 255, which grows ever more slowly;
            only where the server evicts by it.
        reads: How often applications have read it, older reads counted less; at least.
        idle_s: Seconds since it was used.
    """

    key: str
    type: str | None
    memory_bytes: int | None
    ttl_s: float | None
    frequency: int | None = None
    reads: float | None = None
    idle_s: int | None = None


@dataclass(frozen=True)
class TopKeys:
    """The first keys of a keyspace.

    Attributes:
        by: What was asked for.
        source: Where the order comes from: ``memory`` is MEMORY USAGE, ``lfu`` the server's
            own counters, ``counters`` those of the library's processes, which count the
            namespaces whose policy says so, and ``idle`` the time since each key was
            used: longest ago first by idle time, and last for the hottest, when nobody
            counts uses.
        keys: The first of them.
        asked: Keys that were compared.
    """

    by: By
    source: Source
    keys: tuple[TopKey, ...]
    asked: int


def top(
    endpoint: Endpoint,
    by: By = By.MEMORY,
    *,
    app: str | None = None,
    namespace: str | None = None,
    places: int = 20,
    pace: Pace | None = None,
    progress: Progress | None = None,
) -> TopKeys:
    """Return the first keys of the whole keyspace, in memory for those few.

    Args:
        endpoint: The server, of any topology.
        by: ``memory`` for the biggest; ``freq`` for the hottest, by the best source that
            there is; ``idle`` for those not used for longest.
        app: Only this application's keys.
        namespace: Only this namespace's.
        places: How many, 1 to 10,000.
        pace: How hard to work the servers.
        progress: Called after each step with the true fraction of the keyspace visited,
            0 to 1, and the keys compared so far.

    Raises:
        UsageError: *places* is out of range, or idle times are asked of a server that
            counts uses instead.
        InvalidKeyError: The application or namespace breaks the key rules.
        UnreachableError: A server went away.
        AuthError, ServerReplyError: It refuses a command.
    """
    if not 1 <= places <= MOST_PLACES:
        raise UsageError(f"the first 1 to {MOST_PLACES:,} keys can be had, not {places:,}")
    scope = Scope(app, namespace, control=namespace is None)
    with Walker(endpoint) as walker:
        run = _Run(walker, scope, places, pace or Pace(), progress)
        if by is By.MEMORY:
            return run.by_memory()
        counts_uses = all(_evicts_by_use(node.wire) for node in walker.nodes)
        if by is By.IDLE:
            if counts_uses:
                raise UsageError(
                    f"{walker.wire.endpoint.address} evicts by frequency (LFU) and keeps no "
                    "idle times",
                    hint="See the keys used most: valkeyctl keys top --by freq",
                )
            return run.by_idle(by, most=True)
        if counts_uses:
            return run.by_frequency()
        return run.by_counters() or run.by_idle(by, most=False)


def _evicts_by_use(wire: Wire) -> bool:
    return "lfu" in wire.info("memory").get("maxmemory_policy", "")


class _Run:
    """One look at a keyspace."""

    def __init__(
        self,
        walker: Walker,
        scope: Scope,
        places: int,
        pace: Pace,
        progress: Progress | None,
    ) -> None:
        self._walker = walker
        self._scope = scope
        self._places = places
        self._pace = pace
        self._progress = progress
        self._asked = 0

    def by_memory(self) -> TopKeys:
        """Return the biggest keys."""
        ranking: Ranking[TopKey] = Ranking(self._places)
        for page in self._walker.survey(match=self._scope.glob, pace=self._pace):
            held = self._held(page.keys)
            ranking.add([page.memory[place] for place in held], _rows_of(page, held))
            self._count(held, page.visited)
        found = tuple(key for _, key in ranking.best())
        return TopKeys(By.MEMORY, "memory", found, self._asked)

    def by_frequency(self) -> TopKeys:
        """Return the keys that the server saw used most."""
        ranked = self._ranked(_FREQ, 1)
        found = self._described([key for _, key in ranked])
        keys = [
            replace(row, frequency=round(score))
            for (score, _), row in zip(ranked, found, strict=True)
        ]
        return TopKeys(By.FREQ, "lfu", tuple(keys), self._asked)

    def by_idle(self, by: By, *, most: bool) -> TopKeys:
        """Return the keys that were not used for longest, or else those used last."""
        sign = 1 if most else -1
        ranked = self._ranked(_IDLETIME, sign)
        found = self._described([key for _, key in ranked])
        keys = [
            replace(row, idle_s=round(score) * sign)
            for (score, _), row in zip(ranked, found, strict=True)
        ]
        return TopKeys(by, "idle", tuple(keys), self._asked)

    def by_counters(self) -> TopKeys | None:
        """Return the keys that applications read most; None where none counts."""
        ranking: Ranking[bytes] = Ranking(self._places)
        for app, namespace, ids in self._counted_ids():
            scheme = self._walker.scheme(app)
            keys = []
            for id in ids[::2]:  # noqa: A001
                try:
                    keys.append(scheme.place(namespace, id.decode()).key)
                except (InvalidKeyError, UnicodeDecodeError):
                    keys.append(b"")  # somebody else wrote it there
            scores = [
                _score(reads) if key else 0.0 for key, reads in zip(keys, ids[1::2], strict=True)
            ]
            ranking.add(scores, keys.__getitem__)
            self._asked += len(keys)
        ranked = [(score, key) for score, key in ranking.best() if key]
        if not ranked:
            return None
        found = self._described([key for _, key in ranked])
        rows = [
            replace(row, reads=round(score, 1))
            for (score, _), row in zip(ranked, found, strict=True)
        ]
        return TopKeys(By.FREQ, "counters", tuple(rows), self._asked)

    def _counted_ids(self) -> Iterator[tuple[str, str, list[bytes]]]:
        """Yield each counted namespace, with the ids read most and their reads by turns."""
        app = b"*" if self._scope.app is None else escape_glob(self._scope.app.encode())
        found: list[tuple[Node, bytes]] = []
        for batch in self._walker.walk(match=app + b":~hot:*", pace=self._pace):
            found += [(self._walker.nodes[batch.node], key) for key in batch.keys]
            if self._progress:
                self._progress(batch.visited, self._asked)
        for node, key in found:
            parsed = parse_key(key)
            if parsed is None or parsed.kind != "hot":
                continue
            if self._scope.namespace not in (None, parsed.namespace):
                continue
            ids = node.wire.call("ZRANGE", key, 0, self._places - 1, "REV", "WITHSCORES")
            words = ids if isinstance(ids, list) else []
            yield parsed.app, parsed.namespace, [word for word in words if isinstance(word, bytes)]

    def _ranked(self, question: bytes, sign: int) -> list[tuple[float, bytes]]:
        """Return the keys with the highest answers to *question*, or the lowest."""
        ranking: Ranking[bytes] = Ranking(self._places)

        def ask(keys: list[bytes]) -> Packed:
            asked = [keys[place] for place in self._held(keys)]
            return Packed(b"".join([question % (len(key), key) for key in asked]), len(asked))

        for batch in self._walker.walk(match=self._scope.glob, follow=ask, pace=self._pace):
            held = [batch.keys[place] for place in self._held(batch.keys)]
            pairs = [
                (key, number * sign)
                for key, answer in zip(held, batch.answers, strict=True)
                if (number := _number(answer)) is not None
            ]
            keys = [key for key, _ in pairs]
            ranking.add([number for _, number in pairs], keys.__getitem__)
            self._count(pairs, batch.visited)
        return ranking.best()

    def _held(self, keys: list[bytes]) -> Sequence[int]:
        """Return the places of those in the scope."""
        scope = self._scope
        if scope.app is None and scope.namespace is None:
            return range(len(keys))
        return [place for place, key in enumerate(keys) if scope.holds(key, owner_of(key))]

    def _count(self, compared: Sized, visited: float) -> None:
        self._asked += len(compared)
        if self._progress:
            self._progress(visited, self._asked)

    def _described(self, keys: Sequence[bytes]) -> list[TopKey]:
        """Return what there is to say of each key, as far as it is still there."""
        rows: dict[bytes, TopKey] = {}
        for node in self._walker.nodes:
            mine = [key for key in keys if self._serves(node, key)]
            page = asked_page(mine, node.wire.pipeline(questions(mine)), 1.0, 0.0)
            rows |= {key: _row(page, place) for place, key in enumerate(page.keys)}
        return [rows.get(key) or TopKey(shown_key(key), None, None, None) for key in keys]

    def _serves(self, node: Node, key: bytes) -> bool:
        slots = self._walker.primaries.slots
        if slots is None:
            return True
        slot, place = slot_of(key), (node.endpoint.host, node.endpoint.port)
        return any(
            part.primary == place and part.first <= slot <= part.last for part in slots.ranges
        )


def _rows_of(page: Page, places: Sequence[int]) -> Callable[[int], TopKey]:
    return lambda at: _row(page, places[at])


def _row(page: Page, place: int) -> TopKey:
    big = big_key(page, place)
    return TopKey(big.key, big.type, big.memory_bytes, big.ttl_s)


def _number(answer: Answer) -> int | None:
    """Return the answer about a key; None when it is gone.

    Raises:
        ServerReplyError: The server refused the question.
    """
    if isinstance(answer, ServerReplyError):
        raise answer
    return answer if isinstance(answer, int) else None


def _score(text: bytes) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
