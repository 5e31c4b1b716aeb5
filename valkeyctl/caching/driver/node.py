"""One primary of a Cluster, with a breaker of its own.

A node that is gone must not take the others with it: calls for its slots are refused at
once, while a task PINGs it until it answers or the Cluster no longer counts on it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from valkeyctl.caching.backoff import PAUSE_CAP, pauses
from valkeyctl.caching.breaker import Breaker, Permit
from valkeyctl.caching.deadline import Deadline
from valkeyctl.caching.driver.batching import Batching, waits
from valkeyctl.caching.driver.link import Command, LinkOutcome
from valkeyctl.caching.driver.replicas import Confirmed, Replicas
from valkeyctl.caching.driver.standalone import Standalone
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import AuthError, BreakerOpenError, TlsError, UnreachableError, ValkeyctlError

R = TypeVar("R")
# A caller that gives up after less than these seconds says nothing about the node.
_SILENCE = 0.015


class ClusterNode:
    """Connections to one primary.

    Args:
        endpoint: Where it is.
        size: Connections at most.
        connect_timeout: Seconds for opening one.
        rng: Source of the jitter between attempts to reach it again.
    """

    def __init__(
        self, endpoint: Endpoint, *, size: int, connect_timeout: float, rng: random.Random
    ) -> None:
        self.endpoint = endpoint
        self._link = Batching(Standalone(endpoint, size=size, connect_timeout=connect_timeout))
        self._connect_timeout = connect_timeout
        self._rng = rng
        self._breaker = Breaker(cooldown=PAUSE_CAP + connect_timeout + 1.0)
        self._replicas = Replicas()
        self._revival: asyncio.Task[None] | None = None
        self._under_way = 0
        self._retired = False
        self._closing: asyncio.Task[None] | None = None
        self.troubled = False
        """Whether its last call failed."""

    @property
    def refuses(self) -> bool:
        """Whether calls are refused because several in a row failed."""
        return self._breaker.state == "open"

    @property
    def is_closed(self) -> bool:
        """Whether it was retired and has closed since."""
        return self._closing is not None and self._closing.done()

    async def exchange(self, commands: Sequence[Command]) -> list[LinkOutcome]:
        """As `Link.exchange`.

        Raises:
            BreakerOpenError: Not sent, because recent calls failed.
            UnreachableError, DeadlineError, AuthError, TlsError: As `Link.exchange`.
        """
        return await self._guarded(lambda: self._link.exchange(commands), waits=_waits(commands))

    async def confirmed(self, commands: Sequence[Command], *, patience: float) -> Confirmed:
        """As `Replicas.confirmed`; failures as `exchange`."""

        def call() -> Awaitable[Confirmed]:
            return self._replicas.confirmed(self._link.exchange, commands, patience=patience)

        return await self._guarded(call, waits=True)

    def retire(self) -> None:
        """Close it once the calls under way have ended."""
        self._retired = True
        self._close_if_idle()

    def close(self) -> None:
        """As `Link.close`."""
        self._close()

    async def aclose(self) -> None:
        """As `Link.aclose`."""
        await asyncio.shield(self._close())

    async def _guarded(self, call: Callable[[], Awaitable[R]], *, waits: bool) -> R:
        try:
            permit = self._breaker.admit()
        except BreakerOpenError as error:
            raise BreakerOpenError(f"{self.endpoint.address}: {error}") from error
        loop = asyncio.get_running_loop()
        began = loop.time()
        self._under_way += 1
        try:
            result = await call()
        except UnreachableError:
            self._failed(permit)
            raise
        except asyncio.CancelledError:
            # Most likely its deadline, which only the caller knows.
            if waits or loop.time() - began < _SILENCE:
                self._breaker.released(permit)
            else:
                self._failed(permit)
            raise
        except BaseException:
            self._breaker.released(permit)
            raise
        finally:
            self._under_way -= 1
            self._close_if_idle()
        self.troubled = False
        self._breaker.succeeded(permit)
        return result

    def _failed(self, permit: Permit) -> None:
        self.troubled = True
        self._breaker.failed(permit)
        if self.refuses and not self._retired and (self._revival is None or self._revival.done()):
            self._revival = asyncio.create_task(self._reviving(), name="valkeyctl-node-revival")

    async def _reviving(self) -> None:
        for pause in pauses(self._rng):
            await asyncio.sleep(pause)
            try:
                with Deadline(self._connect_timeout):
                    await self._link.probe()
            except (AuthError, TlsError):
                break  # it is there, and callers should hear what is wrong
            except (ValkeyctlError, TimeoutError):
                self._breaker.trip()
            else:
                break
        self.troubled = False
        self._breaker.reset()

    def _close_if_idle(self) -> None:
        if self._retired and not self._under_way:
            self._close()

    def _close(self) -> asyncio.Task[None]:
        self._retired = True
        if self._closing is None:
            if self._revival is not None:
                self._revival.cancel()
            self._link.close()
            self._closing = asyncio.create_task(self._closed(), name="valkeyctl-node-closing")
        return self._closing

    async def _closed(self) -> None:
        if self._revival is not None:
            await asyncio.gather(self._revival, return_exceptions=True)
        await self._link.aclose()


def _waits(commands: Sequence[Command]) -> bool:
    return any(waits(words) for words in commands)
