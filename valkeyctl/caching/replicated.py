"""Deletes that outlast a failover."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Coroutine, Sequence
from typing import TypeVar

from valkeyctl.caching.breaker import Breaker
from valkeyctl.caching.driver.link import LinkOutcome, ReplicatedLink, Unlinked
from valkeyctl.caching.driver.topology import Connected
from valkeyctl.errors import BreakerOpenError, DeadlineError, UnreachableError
from valkeyctl.units import format_duration

R = TypeVar("R")

# Share of a deadline that a replica may take to confirm; the rest is for saying so.
_PATIENCE = 0.8


class Replicated:
    """The part of `ValkeyClient` that knows of replicas."""

    breaker: Breaker
    _connected: Connected
    _deadline: float

    @abstractmethod
    async def delete(self, *keys: str | bytes, deadline: float | None = None) -> int:
        """Delete *keys*; return how many there were."""

    @abstractmethod
    async def _judged(self, permit: int, limit: float, call: Coroutine[None, None, R]) -> R:
        """Return what *call* does within *limit* seconds, and tell the breaker how it went."""

    @property
    def replicated(self) -> bool:
        """Whether a replica may take a primary's place, as behind Sentinel and in a Cluster."""
        return self._connected.replicated is not None

    async def delete_replicated(
        self, keys: Sequence[str | bytes], *, deadline: float | None = None
    ) -> int:
        """Delete *keys* so that a failover does not bring them back; return how many there were.

        Where `replicated` is true, a replica of each primary concerned has confirmed it
        when this returns; a primary without connected replicas has none to wait for.
        Elsewhere as `delete`.

        Raises:
            DeadlineError: No answer, or no replica confirmed in time. In the latter case
                the keys are gone, but may come back.
            As `ValkeyClient.execute` otherwise; then some of the keys may be gone.
        """
        link = self._connected.replicated
        if link is None or not keys:
            return await self.delete(*keys, deadline=deadline)
        limit = self._deadline if deadline is None else deadline
        patience = limit * _PATIENCE
        encoded = [key.encode() if isinstance(key, str) else key for key in keys]
        permit = self.breaker.admit()
        done = await self._judged(permit, limit, _unlinked(link, encoded, patience))
        if done.failure is not None:
            raise done.failure
        if done.unconfirmed:
            raise DeadlineError(
                f"no replica of {', '.join(done.unconfirmed)} confirmed the delete within "
                f"{format_duration(patience)}",
                hint="Try again, or check the replicas: INFO replication",
            )
        return done.count


def is_lost(outcome: LinkOutcome) -> bool:
    """Say whether a part of the deployment was away that may have a substitute by now."""
    return isinstance(outcome, UnreachableError) and not isinstance(
        outcome, (BreakerOpenError, DeadlineError)
    )


async def _unlinked(link: ReplicatedLink, keys: Sequence[bytes], patience: float) -> Unlinked:
    """Delete *keys*, twice if a server was lost at the first time: that does no harm."""
    try:
        done = await link.unlink(keys, patience=patience)
    except UnreachableError as error:
        if not is_lost(error):
            raise
    else:
        if done.failure is None or not is_lost(done.failure):
            return done
    return await link.unlink(keys, patience=patience)
