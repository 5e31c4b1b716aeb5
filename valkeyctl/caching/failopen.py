"""The server for callers that must not notice it: within a budget, failures counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import structlog

from valkeyctl.caching.codec import HEADER, UndecodableError, UnreadableError, Value, tags_of
from valkeyctl.caching.entries import Bid, Claim, Draft, Entries
from valkeyctl.caching.keys import Place
from valkeyctl.caching.lookups import Looked
from valkeyctl.caching.namespaces import Freshness, Namespace
from valkeyctl.caching.observer import Written
from valkeyctl.caching.payload import Payload
from valkeyctl.caching.trouble import Trouble
from valkeyctl.caching.turnwise import Turnwise
from valkeyctl.errors import ServerReplyError, UsageError, ValkeyctlError

_log = structlog.get_logger("valkeyctl.caching")

_STALE, _CORRUPT = 1, 2


class Found(NamedTuple):
    """An entry that its reader may have.

    Attributes:
        value: What was stored, of the namespace's type.
        plain: The same as it is stored.
        tags: That it carries.
        freshness: What may be done with it.
        created_ms: When it was stored, ms since 1970 by the server's clock.
        age: Seconds since then; None where the server's clock is not known.
        ttl: Seconds that it stays fresh; None where that was not asked for.
        size: Bytes of the stored entry.
        on_error: Whether it may be served when a load fails.
    """

    value: object
    plain: Value
    tags: tuple[bytes, ...]
    freshness: Freshness
    created_ms: int
    age: float | None
    ttl: float | None
    size: int
    on_error: bool


class FailOpen:
    """Reads, claims and writes that are misses, or skipped, where the server fails.

    A `UsageError`, which is the caller's mistake, passes.

    Args:
        entries: What is on the server.
        budget: Seconds that a call may take, for each hundred entries begun.
    """

    def __init__(self, entries: Entries, *, budget: float) -> None:
        self._entries = entries
        self._budget = budget
        self._trouble = Trouble()
        self._claims = Turnwise(self._claim)
        self._keeps = Turnwise(self.write)
        self._sets = Turnwise(self.write, eager=True)
        self._holds = Turnwise(self._held)

    @property
    def is_away(self) -> bool:
        """Whether the server is thought gone: calls are refused before they are sent."""
        return self._entries.is_away

    def budget_of(self, entries: int) -> float:
        """Return the seconds for a call of so many entries."""
        return self._budget * max(1, -(-entries // 100))

    async def opened(
        self, space: Namespace, place: Place, looked: Looked | ValkeyctlError
    ) -> Found | None:
        """Return the entry that a lookup found, or None; faults are counted, reads are not."""
        if isinstance(looked, ValkeyctlError):
            self._trouble.failed((space.tally,), "read", looked)
            return None
        self._trouble.worked("read")
        stored = looked.stored
        if isinstance(stored, bytes):
            return await self.unpacked(space, place, stored, looked.now_ms, looked.left_ms)
        self.missed(space, stored)
        return None

    async def unpacked(
        self, space: Namespace, place: Place, stored: bytes, now_ms: int, left_ms: int = -1
    ) -> Found | None:
        """Return the entry in *stored*, or None where it cannot be read."""
        try:
            entry = space.payloads.open(place.key, stored)
            value = space.shaped(entry.value)
        except UndecodableError:
            space.tally.failed("read", "corrupt")
            try:
                await self._entries.drop(place, stored[: HEADER.size], deadline=self._budget)
            except ValkeyctlError as error:
                # The next reader will find it and try again.
                self._trouble.failed((space.tally,), "write", error)
            return None
        except UnreadableError as error:
            self._refused(space, "unreadable", error)
            return None
        freshness = space.freshness(entry, now_ms)
        return Found(
            value,
            entry.value,
            tags_of(stored) if stored[3] else (),
            freshness,
            entry.created_ms,
            # An operator may have set the clock back.
            max(now_ms - entry.created_ms, 0) / 1000 if now_ms else None,
            min(left_ms / 1000, space.fresh_seconds(entry, now_ms)) if left_ms >= 0 else None,
            entry.stored_bytes,
            freshness == "expired" and space.keeps_on_error(entry, now_ms),
        )

    def missed(self, space: Namespace, fault: int) -> None:
        """Count why there is no entry; see `Looked.stored`."""
        if fault == _STALE:
            space.tally.stale_dropped += 1
        elif fault == _CORRUPT:
            space.tally.failed("read", "corrupt")

    def unleased(self, space: Namespace, refusal: ValkeyctlError) -> None:
        """Count that a value will not be stored, because the server kept no lease for it."""
        self._trouble.failed((space.tally,), "write", refusal)

    async def claim(self, space: Namespace, bid: Bid) -> Claim | None:
        """Return what `Entries.claim` does; None, counted, when the server fails.

        The claims of one turn of the event loop share a round trip.
        """
        return await self._claims.add((space, bid))

    async def keep(self, space: Namespace, draft: Draft) -> Written:
        """Store a loaded value; say what became of it. Those of one turn share a round trip."""
        return await self._keeps.add((space, draft))

    async def put(self, space: Namespace, draft: Draft) -> Written:
        """Store a value of a caller's; say what became of it. As `keep`, but a lone one at once."""
        return await self._sets.add((space, draft))

    def pack(self, space: Namespace, place: Place, value: object, tags: int) -> Payload | None:
        """Return a loaded value ready to be stored; None, counted, where that is not possible."""
        try:
            return space.pack(place.key, value, tags)
        except UsageError as error:
            self._refused(space, "encoding", error)
            return None

    async def write(self, drafts: Sequence[tuple[Namespace, Draft]]) -> list[Written]:
        """Store drafts in one round trip; say what became of each."""
        sizes = [len(draft.payload.data) for _, draft in drafts]
        results: list[Written] = [
            "failed" if size <= space.max_value_bytes else "too_large"
            for size, (space, _) in zip(sizes, drafts, strict=True)
        ]
        fitting = [number for number, result in enumerate(results) if result == "failed"]
        tallies = {space.tally: None for space, _ in drafts}
        try:
            answers = await self._entries.write(
                [drafts[number][1] for number in fitting], deadline=self.budget_of(len(fitting))
            )
        except UsageError:
            raise
        except ValkeyctlError as error:
            self._trouble.failed(tallies, "write", error)
        else:
            refusal = next((a for a in answers if isinstance(a, ServerReplyError)), None)
            if refusal is not None:
                self._trouble.failed(tallies, "write", refusal)
            elif fitting:
                self._trouble.worked("write")
            for number, answer in zip(fitting, answers, strict=True):
                if not isinstance(answer, ServerReplyError):
                    results[number] = "stored" if answer else "refused"
        for result, size, (space, _) in zip(results, sizes, drafts, strict=True):
            space.tally.wrote(result, size)
        return results

    async def _claim(self, bids: Sequence[tuple[Namespace, Bid]]) -> list[Claim | None]:
        try:
            claims = await self._entries.claim(
                [bid for _, bid in bids], deadline=self.budget_of(len(bids))
            )
        except UsageError:
            raise
        except ValkeyctlError as error:
            self._trouble.failed({space.tally: None for space, _ in bids}, "read", error)
            return [None] * len(bids)
        self._trouble.worked("read")
        return list(claims)

    async def holds(self, space: Namespace, place: Place, token: bytes) -> bool | None:
        """Say whether a lease still holds; None, counted, when the server fails.

        The callers of one turn of the event loop share a round trip.
        """
        return await self._holds.add((space, place, token))

    async def _held(self, asked: Sequence[tuple[Namespace, Place, bytes]]) -> list[bool | None]:
        places = {place: None for _, place, _ in asked}
        try:
            tokens = await self._entries.leases(tuple(places), deadline=self.budget_of(len(places)))
        except ValkeyctlError as error:
            self._trouble.failed({space.tally: None for space, _, _ in asked}, "read", error)
            return [None] * len(asked)
        self._trouble.worked("read")
        held = dict(zip(places, tokens, strict=True))
        return [held[place] == token for _, place, token in asked]

    async def renew(self, space: Namespace, place: Place, token: bytes, lease: float) -> None:
        """Let a lease live *lease* seconds from now on, if it has not ended."""
        try:
            await self._entries.renew(place, token, lease, deadline=self._budget)
        except ValkeyctlError as error:
            self._trouble.failed((space.tally,), "write", error)

    async def release(
        self, space: Namespace, place: Place, token: bytes, *, look_again: bool
    ) -> None:
        """Give a lease back; see `Entries.release`. Should it fail, it runs out by itself."""
        try:
            await self._entries.release(place, token, look_again=look_again, deadline=self._budget)
        except ValkeyctlError as error:
            self._trouble.failed((space.tally,), "write", error)

    def _refused(self, space: Namespace, kind: str, error: Exception) -> None:
        space.tally.failed("write" if kind == "encoding" else "read", kind)
        if space.tally.errors[kind] == 1:
            _log.warning("cache_value_refused", namespace=space.name, reason=str(error))
