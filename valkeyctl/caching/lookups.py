"""Lookups of one turn of the event loop travel as one command.

A server answers a lookup in a microsecond; asking and hearing costs its caller fifty
times as much. So the callers of one turn ask together, and the reply is taken apart
again. Where lookups come one by one, each leaves at once.

An entry is read together with the version of its namespace, in one command, and valid
only under that version. For entries with tags, and for callers who want to know more
than the entry, that command is a script, which also looks up the versions of the tags
and the time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import suppress
from itertools import repeat
from typing import NamedTuple, TypeAlias, cast

from valkeyctl.caching.client import ValkeyClient
from valkeyctl.caching.codec import ALWAYS_FRESH, HEADER, MAGIC, SCHEMA
from valkeyctl.caching.keys import Place
from valkeyctl.caching.replies import unexpected_reply
from valkeyctl.caching.script import load_script
from valkeyctl.errors import UnreachableError, UsageError, ValkeyctlError

# Entries per command: a longer one would keep the server's only thread from others.
_ENTRIES = 256
# From this size on, a namespace is read by the script, which bounds its reply.
_LARGE = 64 * 1024
# Namespaces are few: the bound is against a caller who makes them up.
_KEPT = 4096
_STALE, _CORRUPT, _NOT_READ = 1, 2, 3
_FORMAT = SCHEMA << 4
_ALWAYS_FRESH = ALWAYS_FRESH.to_bytes(4, "big")

Tags: TypeAlias = tuple[bytes, ...]


class Looked(NamedTuple):
    """What the server says of one entry.

    Attributes:
        stored: The entry if it is valid, else 0 absent, 1 stale, or 2 no entry of ours; the
            server has dropped those two.
        now_ms: The server's clock, ms since 1970; 0 where it does not matter to the entry
            and was not asked for.
        left_ms: What the entry has left; -1 where it was not asked for.
        version: Of the namespace; empty when there is none.
        tags: Versions of the tags asked for, in their order; empty where there is none.
    """

    stored: bytes | int
    now_ms: int
    left_ms: int
    version: bytes
    tags: Tags


_Arrived: TypeAlias = "asyncio.Future[Looked | ValkeyctlError]"


class _Turn:
    """What is asked for in one turn of the loop."""

    __slots__ = ("details", "places", "tags", "waiting")

    def __init__(self) -> None:
        self.places: list[Place] = []
        self.waiting: dict[bytes, list[tuple[Tags, _Arrived]]] = {}
        self.tags: dict[bytes, None] = {}
        self.details = False


class Lookups:
    """Asks the server for entries, within *budget* seconds from when it is asked.

    Failures are returned and not raised, since one is the answer to many callers.
    """

    def __init__(self, client: ValkeyClient, *, budget: float) -> None:
        self._client = client
        self._budget = budget
        self._script = load_script("lookup")
        self._drop = load_script("drop")
        # Version keys of the namespaces that have to be read by the script.
        self._scripted: set[bytes] = set()
        self._turn: _Turn | None = None
        self._lonely = False
        self._errands: set[asyncio.Task[None]] = set()

    async def look(
        self, place: Place, tags: Tags = (), *, details: bool = False
    ) -> Looked | ValkeyctlError:
        """Return what the server says of the entry at *place*.

        Args:
            place: Where it lies.
            tags: Tags whose versions the caller wants to know.
            details: Whether it wants to know the server's time and what the entry has left.
        """
        loop = asyncio.get_running_loop()
        turn = self._turn
        if turn is None:
            turn = self._turn = _Turn()
            loop.call_soon(self._depart, turn)
            if self._lonely:
                found = await self.look_many((place,), tags, details=details)
                return found if isinstance(found, ValkeyctlError) else found[0]
        else:
            self._lonely = False
        for tag in tags:
            turn.tags[tag] = None
        turn.details |= details
        arrived: _Arrived = loop.create_future()
        waiting = turn.waiting.get(place.key)
        if waiting is None:
            turn.places.append(place)
            turn.waiting[place.key] = [(tags, arrived)]
        else:
            waiting.append((tags, arrived))
        return await arrived

    async def look_many(
        self,
        places: Sequence[Place],
        tags: Tags = (),
        *,
        details: bool = False,
        budget: float | None = None,
    ) -> list[Looked] | ValkeyctlError:
        """Return what the server says of the entries at *places*, in order; one round trip.

        More than 4 MiB of entries take several, and so does a namespace whose first
        entry with tags, with an end to its freshness, or of more than 64 KiB, is met.

        Args:
            places: Where they lie; each once.
            tags: As `look`.
            details: As `look`.
            budget: Seconds for each round trip; None takes the usual.
        """
        limit = budget or self._budget
        found: dict[bytes, Looked] = {}
        left = places
        try:
            while left:
                first, *others = _calls(left)
                if others:
                    await self._ask_all([first, *others], tags, found, limit, details=details)
                else:
                    await self._ask(first, tags, found, limit, details=details)
                left = [place for place in left if found[place.key].stored == _NOT_READ]
        except UsageError:
            raise
        except ValkeyctlError as error:
            return error
        return [found[place.key] for place in places]

    async def aclose(self) -> None:
        """End what goes on behind the callers."""
        for errand in self._errands:
            errand.cancel()
        await asyncio.gather(*self._errands, return_exceptions=True)

    async def _ask_all(
        self,
        calls: Sequence[Sequence[Place]],
        tags: Tags,
        found: dict[bytes, Looked],
        limit: float,
        *,
        details: bool,
    ) -> None:
        # Issued in one turn, so they share a write.
        ended = await asyncio.gather(
            *(self._ask(call, tags, found, limit, details=details) for call in calls),
            return_exceptions=True,
        )
        for failure in ended:
            if failure is not None:
                raise failure

    async def _ask(
        self,
        places: Sequence[Place],
        tags: Tags,
        found: dict[bytes, Looked],
        limit: float,
        *,
        details: bool,
    ) -> None:
        if tags or details or places[0].version in self._scripted:
            await self._by_script(places, tags, found, limit, details=details)
        else:
            await self._plainly(places, found, limit)

    async def _plainly(
        self, places: Sequence[Place], found: dict[bytes, Looked], limit: float
    ) -> None:
        version_key = places[0].version
        reply = await self._client.execute(
            "MGET", version_key, *[place.key for place in places], deadline=limit, idempotent=True
        )
        stale: list[tuple[bytes, bytes]] = []
        try:
            version, *entries = cast("list[bytes | None]", reply)
            for place, entry in zip(places, entries, strict=True):
                state = _checked(entry, version)
                if state == _NOT_READ or (entry is not None and len(entry) > _LARGE):
                    if len(self._scripted) >= _KEPT:
                        self._scripted.clear()
                    self._scripted.add(version_key)
                elif entry is not None and isinstance(state, int):
                    stale.append((place.key, entry[: HEADER.size]))
                found[place.key] = Looked(state, 0, -1, version or b"", ())
        except (TypeError, ValueError) as error:
            raise unexpected_reply(self._client.endpoint.address, "a lookup") from error
        if stale:
            self._run(self._dropped(stale))

    async def _by_script(
        self,
        places: Sequence[Place],
        tags: Tags,
        found: dict[bytes, Looked],
        limit: float,
        *,
        details: bool,
    ) -> None:
        reply = await self._client.script(
            self._script,
            [places[0].version, *[place.key for place in places]],
            [places[0].tags, b"1" if details else b"", *tags],
            deadline=limit,
            idempotent=True,
        )
        match reply:
            # The first one is always read, or this would ask for ever.
            case [int(now_ms), bytes(version), list(versions), list(left), *states] if (
                len(versions) == len(tags) and len(states) == len(places) and states[0] != _NOT_READ
            ):
                held = cast("Tags", tuple(versions))
                answers = zip(places, states, left or repeat(-1), strict=False)
            case _:
                raise unexpected_reply(self._client.endpoint.address, "a lookup")
        for place, state, left_ms in cast("Iterator[tuple[Place, bytes | int, int]]", answers):
            found[place.key] = Looked(state, now_ms, left_ms, version, held)

    async def _dropped(self, stale: Sequence[tuple[bytes, bytes]]) -> None:
        # Should this fail, the next reader will find and drop them.
        with suppress(ValkeyctlError):
            await self._client.scripts(self._drop, [((key,), (begin,)) for key, begin in stale])

    def _depart(self, turn: _Turn) -> None:
        self._turn = None
        if turn.places:
            self._lonely = len(turn.waiting) == 1 and len(turn.waiting[turn.places[0].key]) == 1
            self._run(self._carry(turn))

    def _run(self, errand: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(errand)
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)

    async def _carry(self, turn: _Turn) -> None:
        results: list[Looked] | ValkeyctlError = UnreachableError(
            "the client was closed during the call", hint="Open a new one"
        )
        tags = tuple(turn.tags)
        try:
            results = await self.look_many(turn.places, tags, details=turn.details)
        finally:
            at = {tag: number for number, tag in enumerate(tags)}
            for number, waiters in enumerate(turn.waiting.values()):
                answer = results if isinstance(results, ValkeyctlError) else results[number]
                for wanted, arrived in waiters:
                    if arrived.done():
                        continue
                    if wanted != tags and isinstance(answer, Looked):
                        own = tuple(answer.tags[at[tag]] for tag in wanted)
                        arrived.set_result(answer._replace(tags=own))
                    else:
                        arrived.set_result(answer)


def _checked(entry: bytes | None, version: bytes | None) -> bytes | int:
    """Return *entry* if it is valid under *version*, else what `Looked.stored` says."""
    if entry is None:
        return 0
    if len(entry) < HEADER.size or entry[0] != MAGIC or entry[1] & 0xF0 != _FORMAT:
        return _CORRUPT
    if entry[3] or entry[36] or entry[37] or entry[28:32] != _ALWAYS_FRESH:
        return _NOT_READ  # the versions of its tags or the time of day decide
    return entry if entry[4:20] == version else _STALE


def _calls(places: Sequence[Place]) -> list[Sequence[Place]]:
    """Return *places* in groups that one command can answer."""
    first = places[0].version
    if len(places) <= _ENTRIES and all(place.version == first for place in places):
        return [places]
    by_version: dict[bytes, list[Place]] = {}
    for place in places:
        by_version.setdefault(place.version, []).append(place)
    return [
        members[at : at + _ENTRIES]
        for members in by_version.values()
        for at in range(0, len(members), _ENTRIES)
    ]
