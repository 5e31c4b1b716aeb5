"""Entries for callers that must not notice the server: failures become misses, counted."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from valkeyctl.caching.codec import Value, encode
from valkeyctl.caching.entries import Draft, Entries, Found, Miss, Seen
from valkeyctl.caching.stats import CacheStats, Tally
from valkeyctl.caching.trouble import Trouble
from valkeyctl.errors import ServerReplyError, UsageError, ValkeyctlError

_log = structlog.get_logger("valkeyctl.caching")


class FailOpenEntries:
    """Entries within a budget of time, without the server's failures.

    A `UsageError`, which is the caller's mistake, passes through all methods but `keep`.

    Attributes:
        all: The same entries with their failures.
    """

    def __init__(self, entries: Entries, *, budget: float, max_value_bytes: int) -> None:
        self.all = entries
        self._budget = budget
        self._max_value_bytes = max_value_bytes
        self._tallies: dict[str, Tally] = {}
        self._trouble = Trouble()

    def tally(self, namespace: str) -> Tally:
        """Return the counters of *namespace*."""
        tally = self._tallies.get(namespace)
        if tally is None:
            tally = self._tallies[namespace] = Tally()
        return tally

    def stats(self) -> dict[str, CacheStats]:
        """Return the counts so far, by namespace."""
        return {name: tally.frozen() for name, tally in sorted(self._tallies.items())}

    async def look(self, namespace: str, id: str) -> Found | None:  # noqa: A002
        """Return the entry, or None; counted as a hit or a miss."""
        tally = self.tally(namespace)
        found = None
        try:
            result = await self.all.look(namespace, id, deadline=self._budget)
        except UsageError:
            raise
        except ValkeyctlError as error:
            self._trouble.failed(tally, "read", error)
        else:
            self._trouble.worked("read")
            found = self._counted(tally, result)
        if found is None:
            tally.misses += 1
        return found

    async def look_many(self, namespace: str, ids: Sequence[str]) -> dict[str, Value]:
        """Return the values by id, misses left out; each counted."""
        tally = self.tally(namespace)
        values: dict[str, Value] = {}
        try:
            results = await self.all.look_many(namespace, ids, deadline=self._budget_of(len(ids)))
        except UsageError:
            raise
        except ValkeyctlError as error:
            self._trouble.failed(tally, "read", error)
        else:
            self._trouble.worked("read")
            for id, result in zip(ids, results, strict=True):  # noqa: A001
                found = self._counted(tally, result)
                if found is not None:
                    values[id] = found.value
        tally.misses += len(ids) - len(values)
        return values

    async def look_to_load(
        self,
        namespace: str,
        id: str,  # noqa: A002
        tags: tuple[bytes, ...],
        versions_for: float,
        *,
        details: bool,
        refresh: bool = False,
    ) -> tuple[Found | None, Seen | None]:
        """Return the entry, or what a load must have seen to be kept; both None: do not keep it.

        A hit is counted; a miss is for the caller, who may share another's load. With
        *details* a hit has its age and ttl. With *refresh* an entry is no hit, only the
        versions matter.
        """
        tally = self.tally(namespace)
        look = self.all.read if details or refresh else self.all.look_to_load
        try:
            answer = await look(
                namespace, id, deadline=self._budget, tags=tags, versions_for=versions_for
            )
        except UsageError:
            raise
        except ValkeyctlError as error:
            self._trouble.failed(tally, "read", error)
            return None, None
        self._trouble.worked("read")
        if isinstance(answer, Found):
            return self._counted(tally, answer), None
        result, versions = answer
        seen = versions if versions.complete else None
        if refresh and isinstance(result, Found):
            return None, seen
        return self._counted(tally, result), seen

    async def keep(
        self,
        namespace: str,
        id: str,  # noqa: A002
        value: object,
        ttl: float,
        tags: tuple[bytes, ...],
        seen: Seen,
    ) -> bool:
        """Store a loaded value; False, counted, when anything prevents it."""
        try:
            encoding, payload = encode(value)
        except UsageError as error:
            tally = self.tally(namespace)
            tally.errors["encoding"] += 1
            if tally.errors["encoding"] == 1:
                _log.warning("cache_value_refused", namespace=namespace, reason=str(error))
            return False
        return await self.write(namespace, [Draft(id, encoding, payload, ttl, tags, seen)]) == 1

    async def write(self, namespace: str, drafts: Sequence[Draft]) -> int:
        """Store *drafts* in one round trip; return how many were."""
        tally = self.tally(namespace)
        fitting = [draft for draft in drafts if len(draft.payload) <= self._max_value_bytes]
        if len(fitting) < len(drafts):
            tally.errors["too_large"] += len(drafts) - len(fitting)
        if not fitting:
            return 0
        try:
            results = await self.all.write(
                namespace, fitting, deadline=self._budget_of(len(fitting))
            )
        except UsageError:
            raise
        except ValkeyctlError as error:
            self._trouble.failed(tally, "write", error)
            return 0
        refusal = next((r for r in results if isinstance(r, ServerReplyError)), None)
        if refusal is None:
            self._trouble.worked("write")
        else:
            self._trouble.failed(tally, "write", refusal)
        stored = results.count(True)
        tally.writes += stored
        tally.refused_writes += results.count(False)
        return stored

    def _counted(self, tally: Tally, result: Found | Miss) -> Found | None:
        if isinstance(result, Found):
            tally.hits += 1
            return result
        if result == "stale":
            tally.stale_dropped += 1
        elif result == "corrupt":
            tally.corrupt_dropped += 1
        return None

    def _budget_of(self, entries: int) -> float:
        """Return the seconds for a call of so many entries: one budget per hundred begun."""
        return self._budget * max(1, -(-entries // 100))
