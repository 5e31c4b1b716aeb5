"""Waking those who wait for a load in another process.

The script that ends a lease publishes so if anybody waits; all processes of an
application listen on one channel. A message can be lost with its connection, so
whoever waits also looks again when the lease runs out.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, TypeAlias

from valkeyctl.caching.client import ValkeyClient
from valkeyctl.caching.pubsub import Subscription
from valkeyctl.errors import ValkeyctlError

Verdict: TypeAlias = Literal["look", "load"]
"""``look``: for the entry, or for the lease; ``load``: the other one could not store a value."""

# Between attempts to subscribe, where the server refuses it.
_RETRY = 1.0
# Between looks where it does.
_POLL = 0.1


class Wake:
    """What a waiter holds while it asks for the lease and waits for its end."""

    def __init__(self, wakes: Wakes) -> None:
        self._wakes = wakes
        # What is told between the claim and a subscription that comes after it is missed.
        self._listened = wakes.listening
        self._heard: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()

    def set(self, verdict: Verdict) -> None:
        """Wake the waiter; the first word counts."""
        if not self._heard.done():
            self._heard.set_result(verdict)

    async def wait(self, left: float) -> Verdict:
        """Return what was said since this was made, or ``look`` after *left* seconds."""
        if not self._listened or not self._wakes.listening:
            left = min(left, _POLL)
        done, _ = await asyncio.wait((self._heard,), timeout=left)
        return self._heard.result() if done else "look"


class Wakes:
    """Hears when leases end.

    Args:
        client: Whose subscriptions are used.
        channel: What ends of leases are told on.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        client: ValkeyClient,
        channel: bytes,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._channel = channel
        self._clock = clock
        self._subscription: Subscription | None = None
        self._joining: asyncio.Task[None] | None = None
        # Done when nobody has to wait for it any more.
        self._patience: asyncio.Future[None] | None = None
        self._failed_at = float("-inf")
        self._waiting: dict[bytes, set[Wake]] = {}

    @property
    def listening(self) -> bool:
        """Whether a lease that ends now will be heard of."""
        return self._subscription is not None and self._subscription.active

    async def ready(self, budget: float) -> None:
        """Subscribe, if that was not done, waiting for it at most *budget* seconds.

        Before a lease is asked for, so that its end cannot be missed. Never raises: without
        a subscription the waiters look from time to time.
        """
        if self._subscription is not None:
            return
        if self._joining is None:
            if self._clock() - self._failed_at < _RETRY:
                return
            loop = asyncio.get_running_loop()
            self._joining = loop.create_task(self._join(), name="valkeyctl-wakes")
            # One for all: with a time for each, a crowd that waits would be torn apart, and
            # would ask for its leases in many commands instead of one.
            self._patience = patience = loop.create_future()
            loop.call_later(budget, _done, patience)
            self._joining.add_done_callback(lambda _: _done(patience))
        if self._patience is not None and not self._patience.done():
            await asyncio.wait((self._patience,))

    @contextmanager
    def watch(self, key: bytes) -> Iterator[Wake]:
        """Hear of *key* from now on, until the block ends."""
        wake = Wake(self)
        watching = self._waiting.setdefault(key, set())
        watching.add(wake)
        try:
            yield wake
        finally:
            watching.discard(wake)
            if not watching and self._waiting.get(key) is watching:
                del self._waiting[key]

    async def aclose(self) -> None:
        """Stop listening; who waits is woken."""
        if self._joining is not None:
            self._joining.cancel()
            await asyncio.gather(self._joining, return_exceptions=True)
        if self._subscription is not None:
            self._subscription.cancel()
        self._lost()

    async def _join(self) -> None:
        try:
            self._subscription = await self._client.subscriber.subscribe(
                self._channel, self._heard, on_lost=self._lost
            )
        except ValkeyctlError:
            self._failed_at = self._clock()
        finally:
            self._joining = None

    def _heard(self, message: bytes) -> None:
        verdict: Verdict = "load" if message[:1] == b"0" else "look"
        for wake in self._waiting.get(message[1:], ()):
            wake.set(verdict)

    def _lost(self) -> None:
        for watching in self._waiting.values():
            for wake in watching:
                wake.set("look")


def _done(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
