"""What lives beside a client's calls, on connections of its own, and ends with the client."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from valkeyctl.caching.driver.link import Link
from valkeyctl.endpoint import Endpoint

if TYPE_CHECKING:
    from valkeyctl.caching.driver.raw import Raw
    from valkeyctl.caching.messages import Messages
    from valkeyctl.caching.pubsub import Subscriber


class Dependent(Protocol):
    """What cannot outlive the client whose deployment it uses."""

    async def aclose(self) -> None:
        """Close its connections and end its tasks."""


class Dependents:
    """The part of `ValkeyClient` that has and closes them.

    Attributes:
        endpoint: Of the deployment.
        connect_timeout: Seconds for making one connection.
    """

    endpoint: Endpoint
    connect_timeout: float
    _link: Link
    _deadline: float
    _pool_size: int
    _rng: random.Random
    _closed: bool

    def __init__(self) -> None:
        self._raw: Raw | None = None
        self._subscriber: Subscriber | None = None
        self._adopted: list[Dependent] = []

    @property
    def raw(self) -> Raw:
        """The ``redis.asyncio`` client beneath, on a pool of its own; of a Cluster RedisCluster.

        For what is missing here; its calls know neither deadline nor breaker and
        raise redis-py's exceptions.
        """
        if self._raw is None:
            from valkeyctl.caching.driver.raw import build_raw  # few need it

            self._raw = build_raw(
                self.endpoint, size=self._pool_size, connect_timeout=self.connect_timeout
            )
        return self._raw

    @property
    def subscriber(self) -> Subscriber:
        """Subscriptions to channels, on a connection of their own, made for the first of them."""
        if self._subscriber is None:
            from valkeyctl.caching.pubsub import Subscriber

            self._subscriber = Subscriber(
                self.primaries,
                connect_timeout=self.connect_timeout,
                deadline=self._deadline,
                rng=self._rng,
                fails_over=self.endpoint.topology != "standalone",
                closed=self._closed,
            )
            self.adopt(self._subscriber)
        return self._subscriber

    def listen(self, *channels: str | bytes, patterns: Sequence[str | bytes] = ()) -> Messages:
        """Return a stream of what is published to *channels*, or to those that match *patterns*.

        ``async with client.listen("news") as messages: async for message in messages: ...``
        Inside of the block the server has confirmed the subscription. Up to 1,024 messages
        wait for their reader; whether some may be missing is said by `Message.gap`.

        Raises:
            UsageError: There is neither channel nor pattern.
        """
        from valkeyctl.caching.messages import Messages

        return Messages(self.subscriber, channels, patterns)

    async def primaries(self, *, anew: bool = False) -> tuple[Endpoint, ...]:
        """Return the servers that take writes now: one, or one for each part of a cluster.

        Args:
            anew: Ask those who know, instead of going by what calls have found out; for
                one who only listens, and so makes no calls.

        Raises:
            As `ValkeyClient.execute`.
        """
        if anew and self.endpoint.topology != "standalone":
            await self._link.probe()
        return await self._link.primaries()

    def adopt(self, dependent: Dependent) -> bool:
        """Let the client close *dependent* before itself; False when it is closed already."""
        if self._closed:
            return False
        self._adopted.append(dependent)
        return True

    def disown(self, dependent: Dependent) -> None:
        """Forget *dependent*, which is closed by itself; does nothing when it is not there."""
        if dependent in self._adopted:
            self._adopted.remove(dependent)

    async def _close_dependents(self) -> None:
        while self._adopted:
            await self._adopted.pop().aclose()
        if self._raw is not None:
            await self._raw.aclose()
