"""The keys behind an endpoint, one row each: all of them as they come, or page by page."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import ceil
from typing import NamedTuple

from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import AuthError, UsageError
from valkeyctl.ops.keyspace.cursors import DONE, next_cursor
from valkeyctl.ops.keyspace.display import show_all, show_bytes, show_text
from valkeyctl.ops.keyspace.inspection.bookmark import Bookmark, digest
from valkeyctl.ops.keyspace.lanes import Lane, new_lanes
from valkeyctl.ops.keyspace.pages import (
    STRING,
    Page,
    asked_page,
    page_script,
    paged,
    questions,
    scripted,
)
from valkeyctl.ops.keyspace.scan import Pace, Walker, scan_answer
from valkeyctl.ops.keyspace.scope import Owner, Scope, owner_of


# A tuple: a million of them are made in one listing, and a dataclass takes thrice as long.
class KeyRow(NamedTuple):
    """One key.

    Attributes:
        key: As the server stores it.
        display: As one printable line; see `display.show_bytes`.
        app: Its application; None when it is no key of ours.
        namespace: Its namespace; None when it is no key of ours.
        control: Whether it holds a version or a lease instead of an entry.
        type: As TYPE names it, such as ``string``.
        ttl_s: Seconds that it still lives; None when it never expires.
        memory_bytes: What the server says that it takes, key and overhead included; of a
            large collection an estimate from five of its elements.
    """

    key: bytes
    display: str
    app: str | None
    namespace: str | None
    control: bool
    type: str
    ttl_s: float | None
    memory_bytes: int


@dataclass(frozen=True)
class Filters:
    """Which keys are listed.

    Attributes:
        scope: Of which application and namespace.
        match: Glob that the whole key matches; None for any.
        type: As TYPE names it, in any case; None for any.
        without_expiry: Only keys that never expire.
        least_bytes: Only keys that take so much memory.
    """

    scope: Scope = field(default_factory=Scope)
    match: bytes | None = None
    type: str | None = None
    without_expiry: bool = False
    least_bytes: int = 0

    @property
    def glob(self) -> bytes | None:
        """What the server may filter by."""
        return self.scope.glob if self.match is None else self.match

    def rows(self, page: Page) -> list[KeyRow]:
        """Return the rows of those keys of *page* that are listed."""
        wanted = None if self.type is None else self.type.lower().encode()
        odd, holds = page.odd, self.scope.holds
        anyones = self.scope == Scope()
        rows = []
        for place, (key, memory, pttl) in enumerate(
            zip(page.keys, page.memory, page.pttl, strict=True)
        ):
            if memory < self.least_bytes or (self.without_expiry and pttl >= 0):
                continue
            kind = odd.get(place, STRING) if odd else STRING
            if wanted is not None and kind.lower() != wanted:
                continue
            owner = owner_of(key)
            if (not owner or not owner.control) if anyones else holds(key, owner):
                rows.append(_row(key, owner, kind, pttl, memory))
        return rows


def list_keys(
    endpoint: Endpoint, filters: Filters, *, pace: Pace | None = None
) -> Iterator[list[KeyRow]]:
    """Yield all listed keys of all primaries as they are found, in constant memory.

    A key that is there all the while is given exactly once; see `scan` for one whose
    table shrinks meanwhile. One that vanishes while it is looked at is left out. A list
    of rows ends where the server is waited for; it may be empty.

    Args:
        endpoint: Of any topology.
        filters: Which keys.
        pace: How hard to work the servers.

    Raises:
        UnreachableError: A server went away; the rows given until then are right.
        UsageError, AuthError, TlsError, ServerReplyError: as `Walker`.
    """
    with Walker(endpoint) as walker:
        for page in walker.survey(match=filters.glob, pace=pace):
            yield filters.rows(page)


def list_names(
    endpoint: Endpoint, scope: Scope, match: bytes | None = None, *, pace: Pace | None = None
) -> Iterator[list[str]]:
    """Yield the printable names of all keys, and ask the server for nothing else.

    Four times as quick as `list_keys`, and enough for a user who may only SCAN.

    Args:
        endpoint: Of any topology.
        scope: Of which application and namespace.
        match: As `Filters.match`.
        pace: How hard to work the servers.

    Raises:
        UnreachableError, UsageError, AuthError, TlsError, ServerReplyError: as `list_keys`.
    """
    glob = Filters(scope, match).glob
    anyones = scope == Scope()
    with Walker(endpoint) as walker:
        for batch in walker.walk(match=glob, pace=pace):
            keys = [
                key
                for key in batch.keys
                if (b"~" not in key or not _is_control(key) if anyones else _held(scope, key))
            ]
            yield show_all(keys)


def _is_control(key: bytes) -> bool:
    owner = owner_of(key)
    return owner is not None and owner.control


def _held(scope: Scope, key: bytes) -> bool:
    return scope.holds(key, owner_of(key))


class KeyPages:
    """Some of the listed keys, and where the next ones are.

    Args:
        endpoint: Of any topology.
        filters: Which keys.
        limit: How many at most, 1 or more.
        after: The `next` of the pages before; None begins.
        pace: How long and how large a step may be.

    Raises:
        UsageError: The limit is below one.

    Attributes:
        more: Whether there are more rows, once all of the page were taken.
        next: What to go on with then; None when there are no more, or when the user may
            not ask INFO for the run that the token would be of.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        filters: Filters,
        *,
        limit: int,
        after: str | None = None,
        pace: Pace | None = None,
    ) -> None:
        if limit < 1:
            raise UsageError(f"a limit is 1 or more keys, not {limit}")
        self.next: str | None = None
        self.more = False
        self._endpoint = endpoint
        self._filters = filters
        self._after = after
        self._pace = pace or Pace()
        self._room = limit
        self._left: list[bytes] = []
        self._seen = self._found = 0

    def __iter__(self) -> Iterator[list[KeyRow]]:
        """Yield the rows as they are found.

        Goes on until one key more than the limit is found, so that `next` is never the
        way to nothing.

        Raises:
            UsageError: The token is none, is of another listing, or a server was
                restarted since it was given.
            UnreachableError, AuthError, TlsError, ServerReplyError: as `Walker`.
        """
        # One lane: two of them would stop at two places.
        with Walker(self._endpoint, parts=1) as walker:
            servers = self._servers(walker)
            filters = digest([self._filters])
            place = Bookmark(servers, filters, 0, 0)
            if self._after is not None:
                place = Bookmark.parse(self._after, servers=servers, filters=filters)
            starts = [
                DONE if number < place.node else place.cursor if number == place.node else 0
                for number in range(len(walker.nodes))
            ]
            for lane in new_lanes(walker.nodes, 1, self._pace, starts):
                left = place.left if lane.number == place.node else ()
                yield from self._rows(lane, left)
                if self._left:
                    left = tuple(self._left)
                    stop = Bookmark(servers, filters, lane.number, lane.cursor, left)
                    self.next, self.more = stop.token() if servers else None, True
                    return

    def _servers(self, walker: Walker) -> str:
        """Return what a token is bound to; empty where a listing can only begin."""
        try:
            return digest(walker.lanes)
        except AuthError:
            if self._after is not None:
                raise
            return ""

    def _rows(self, lane: Lane, left: tuple[bytes, ...]) -> Iterator[list[KeyRow]]:
        """Yield rows of one server until there is one too many, or no more of them."""
        if left:
            answers = lane.node.wire.pipeline(questions(list(left)))
            yield self._take(self._filters.rows(asked_page(left, answers, 1.0, 0.0)))
        if lane.cursor == DONE:
            return
        lane.count = min(lane.count, self._needed())
        step = self._step(lane)
        while not self._left and lane.cursor != DONE:
            began = time.perf_counter()
            page = step(lane)
            spent = max(0.0, time.perf_counter() - began - lane.node.idle)
            rows = self._filters.rows(page)
            self._seen += lane.count
            self._found += len(rows)
            given = self._take(rows)
            lane.count = min(self._pace.next_count(lane.count, spent), self._needed())
            yield given
            if (rest := self._pace.rest(spent)) > 0:
                time.sleep(rest)

    def _take(self, rows: list[KeyRow]) -> list[KeyRow]:
        """Return those of *rows* that there is room for, and keep the others for later."""
        given = rows[: self._room]
        self._room -= len(given)
        self._left += [row.key for row in rows[len(given) :]]
        return given

    def _needed(self) -> int:
        """Return how many keys to look at for the rows that are still wanted.

        What is looked at in vain travels in the token, so the last step is a short one.
        """
        share = max(self._found, 1) / max(self._seen, 1)
        return ceil((self._room + 1) / share)

    def _step(self, lane: Lane) -> Callable[[Lane], Page]:
        glob = self._filters.glob
        return _scripted_step(glob) if scripted(lane.node.wire, glob) else _asked_step(glob)


def _scripted_step(glob: bytes | None) -> Callable[[Lane], Page]:
    ask = page_script(glob)

    def step(lane: Lane) -> Page:
        packed = ask(lane)
        if packed is None:
            raise AssertionError("a lane at its end takes no step")
        lane.node.wire.post(*packed)
        return paged(lane, lane.node.wire.collect(), lambda: 0.0)

    return step


def _asked_step(glob: bytes | None) -> Callable[[Lane], Page]:
    filtered = () if glob is None else ("MATCH", glob)

    def step(lane: Lane) -> Page:
        wire = lane.node.wire
        cursor, found = scan_answer(wire.call("SCAN", lane.cursor, *filtered, "COUNT", lane.count))
        lane.cursor = next_cursor(cursor, lane.part, lane.parts)
        keys = lane.unseen(found)
        return asked_page(keys, wire.pipeline(questions(keys)), 0.0, 0.0)

    return step


def _row(key: bytes, owner: Owner | None, kind: bytes, pttl: int, memory: int) -> KeyRow:
    return KeyRow(
        key,
        show_bytes(key),
        owner.app if owner else None,
        owner.namespace if owner else None,
        owner is not None and owner.control,
        "string" if kind == STRING else show_text(kind.decode(errors="replace")),
        None if pttl < 0 else pttl / 1000,
        memory,
    )
