"""One request's dealings with the cache, in which the request itself brings a missing answer.

`CacheService.fetch` calls a loader on a miss. Here the loader cannot bring the answer:
the endpoint must run where requests run, in the task that the server made for it, with
its dependencies. So the fetch runs beside the request, and its loader waits for the
request to *land* an answer::

    found = await exchange.look()
    if found is None and exchange.leads:
        answer = ...                        # the endpoint runs
        ttl = await exchange.land(answer)   # stored, and given to those who wait

Those who miss the same answer meanwhile, here or in other processes, get what was landed.
When the endpoint fails instead, `Exchange.fail` may have an older answer (the policy's
``stale_if_error``).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import structlog

from valkeyctl.caching import CacheService, Lookup
from valkeyctl.caching.codec import Value
from valkeyctl.fastapi.rule import CacheRule, Plan
from valkeyctl.fastapi.stored import StoredResponse

_log = structlog.get_logger("valkeyctl.fastapi")

Outcome: TypeAlias = Literal["hit", "stale", "miss", "collapsed", "bypass"]


@dataclass(frozen=True)
class Unshared:
    """What lands when an answer is for its own caller only; those who wait ask themselves."""


@dataclass(frozen=True)
class Refused:
    """What lands when the thing asked for is not there: no failure, and nothing to store.

    Attributes:
        error: What it raised; those who wait get it too.
    """

    error: Exception


class OriginError(Exception):
    """The endpoint answered with a status of 500 or above; those who wait ask themselves."""


UNSHARED = Unshared()
Landed: TypeAlias = StoredResponse | Unshared
Passing: TypeAlias = Value | Unshared | Refused
Replay: TypeAlias = Callable[[], Awaitable[Landed]]


@dataclass(frozen=True)
class Found:
    """An answer that somebody else brought.

    Attributes:
        response: The answer.
        outcome: ``hit``, ``stale`` or ``collapsed``.
        age: Seconds since it was made.
        ttl: Seconds for which it is still fresh; None when that is not known.
    """

    response: StoredResponse
    outcome: Outcome
    age: float
    ttl: float | None


class Exchange:
    """The cache's part in answering one request.

    Args:
        cache: Where answers are.
        rule: What is cached.
        plan: What the rule says for this request.
        replay: Brings the answer without this request, for a refresh behind it.

    Attributes:
        leads: Whether the caller brings the answer for all who wait; it owes the cache
            `land`, `fail` or `abandon`.
    """

    def __init__(self, cache: CacheService, rule: CacheRule, plan: Plan, replay: Replay) -> None:
        self.leads = False
        self._cache = cache
        self._rule = rule
        self._plan = plan
        self._replay = replay
        self._deciding = False
        self._decided: asyncio.Future[None]
        self._landing: asyncio.Future[Landed | Refused | Exception]
        self._fetching: asyncio.Task[Lookup[Passing]]

    async def look(self) -> Found | None:
        """Return an answer, or None: the caller runs the endpoint.

        Raises:
            ValkeyctlError: The rule cannot be used with this cache, such as a namespace
                that has neither a ttl nor a policy.
            Exception: What the endpoint raised for the request whose answer was waited for.
        """
        found = await self._look(refresh=self._plan.refresh)
        if found == "unusable":
            found = await self._look(refresh=True)
        return found if isinstance(found, Found) else None

    async def land(self, answer: Landed | Refused) -> float | None:
        """Give *answer* to the cache and to those who wait.

        Returns:
            Seconds for which it is fresh from now on; None when it was not stored.
        """
        if not self._landing.done():
            self._landing.set_result(answer)
        lookup = await self._fetching
        # It is not ours when a refresh behind the request was quicker.
        return lookup.ttl if lookup.outcome == "miss" else None

    async def fail(self, error: Exception) -> Found | None:
        """Return an older answer that may be served now that the endpoint failed, or None."""
        if not self._landing.done():
            self._landing.set_result(error)
        try:
            lookup = await self._fetching
        except Exception:  # noqa: BLE001 - the caller has it already
            return None
        found = self._found(lookup)
        if found is not None:
            # Nobody else will hear of it: the caller sees an answer.
            _log.error(
                "response_failed_older_served",
                namespace=self._rule.namespace,
                age_s=round(found.age, 3),
                reason=f"{type(error).__name__}: {error}",
                exc_info=None if isinstance(error, OriginError) else error,
            )
        return found

    def abandon(self) -> None:
        """Let somebody else bring the answer: this request was cancelled."""
        self._fetching.cancel()

    async def _look(self, *, refresh: bool) -> Found | Literal["unusable"] | None:
        loop = asyncio.get_running_loop()
        self._decided = loop.create_future()
        self._landing = loop.create_future()
        self._deciding = True
        self._fetching = asyncio.create_task(self._fetch(refresh), name="valkeyctl-response")
        self._fetching.add_done_callback(self._fetched)
        try:
            await self._decided
        except asyncio.CancelledError:
            self._fetching.cancel()
            raise
        finally:
            self._deciding = False
        if self.leads:
            return None
        try:
            lookup = self._fetching.result()
        except OriginError:
            return None
        if isinstance(lookup.value, Unshared):
            return None
        if isinstance(lookup.value, Refused):
            raise lookup.value.error
        return self._found(lookup) or "unusable"

    def _found(self, lookup: Lookup[Passing]) -> Found | None:
        """Return the answer in *lookup*, if it is one and its origin still lets it be served."""
        stored = StoredResponse.read(lookup.value)
        if stored is None:
            return None
        age = lookup.age or 0.0
        lifetime = stored.lifetime()
        # A stale one is served for want of a better one.
        if lifetime is not None and age > lifetime and lookup.outcome != "stale":
            return None
        return Found(stored, lookup.outcome, age, lookup.ttl)

    async def _fetch(self, refresh: bool) -> Lookup[Passing]:
        rule, plan = self._rule, self._plan
        return await self._cache.fetch(
            rule.namespace,
            plan.id,
            self._load,
            ttl=rule.ttl,
            tags=plan.tags,
            keep=self._keeps,
            refresh=refresh,
        )

    async def _load(self) -> Passing:
        # Any other call is a refresh behind this request, which by then is answered: what
        # its dependencies opened for the endpoint is closed.
        if self._deciding and not self.leads and not self._fetching.done():
            self.leads = True
            self._decide()
            landed = await self._landing
            if isinstance(landed, Exception):
                raise landed
        else:
            landed = await self._replay()
        return landed.value() if isinstance(landed, StoredResponse) else landed

    def _keeps(self, value: Passing) -> bool:
        stored = StoredResponse.read(value)
        return stored is not None and len(stored.body) <= self._rule.max_bytes

    def _fetched(self, fetching: asyncio.Task[Lookup[Passing]]) -> None:
        if not fetching.cancelled():
            fetching.exception()  # looked at, so that asyncio does not report it as lost
        self._decide()

    def _decide(self) -> None:
        if not self._decided.done():
            self._decided.set_result(None)


async def peek(cache: CacheService, rule: CacheRule, plan: Plan) -> Found | None:
    """Return a stored answer, or None; loads nothing, for HEAD brings no answer to store."""
    if plan.refresh:
        return None
    stored = StoredResponse.read(await cache.get(rule.namespace, plan.id))
    if stored is None:
        return None
    # By two clocks, as between any two HTTP caches: the server's own comes with loads only.
    age = max(time.time() - stored.at, 0.0)
    lifetime = stored.lifetime()
    if lifetime is not None and age > lifetime:
        return None
    return Found(stored, "hit", age, None if rule.ttl is None else max(rule.ttl - age, 0.0))
