"""A stream of published messages, for applications."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

from valkeyctl.caching.pubsub import Kind, Subscriber, Subscription, encoded
from valkeyctl.errors import UsageError

_BUFFER = 1024


@dataclass(frozen=True)
class Message:
    """What was published.

    Attributes:
        channel: To which channel.
        data: What.
        gap: Whether messages just before this one may be missing, because the
            connection was lost or the reader was too slow.
    """

    channel: bytes
    data: bytes
    gap: bool = False


class Messages:
    """A stream of messages; `ValkeyClient.listen` makes it.

    ``async with`` subscribes and unsubscribes; inside of it the stream is iterated. It
    survives the loss of the connection, and ends when the client is closed.

    Args:
        subscriber: Of the client.
        channels: What to listen to.
        patterns: Likewise, as glob patterns.
        buffer: Messages that may wait for their reader; then the oldest makes room.

    Raises:
        UsageError: There is neither channel nor pattern, or the buffer is too small.
    """

    def __init__(
        self,
        subscriber: Subscriber,
        channels: Sequence[str | bytes],
        patterns: Sequence[str | bytes] = (),
        *,
        buffer: int = _BUFFER,
    ) -> None:
        if not channels and not patterns:
            raise UsageError("there is nothing to listen to", hint="Name a channel or a pattern")
        if isinstance(patterns, (str, bytes)):
            raise UsageError(f"patterns are a list of strings, not the string {patterns!r}")
        if buffer < 1:
            raise UsageError(f"a buffer holds at least 1 message, not {buffer}")
        self._subscriber = subscriber
        # Each once: a channel that is named twice would be heard twice.
        self._topics: dict[tuple[Kind, bytes], None] = {}
        for name in channels:
            self._topics["channel", encoded(name)] = None
        for name in patterns:
            self._topics["pattern", encoded(name)] = None
        self._buffer = buffer
        self._subscriptions: list[Subscription] = []
        self._waiting: deque[Message] = deque()
        self._stirred = asyncio.Event()
        self._gap = False
        self._entered = False
        self._ended = False

    async def __aenter__(self) -> Self:
        """Return once the server has confirmed all of it: nothing published later is missed.

        Raises:
            As `Subscriber.subscribe`.
        """
        self._entered = True
        outcomes: list[BaseException | None] = []
        try:
            outcomes = await asyncio.gather(
                *(self._join(kind, name) for kind, name in self._topics), return_exceptions=True
            )
        finally:
            failure = next((outcome for outcome in outcomes if outcome is not None), None)
            if failure is not None or not outcomes:
                self._leave()
        if failure is not None:
            raise failure
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._leave()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message:
        if not self._entered:
            raise UsageError(
                "messages are read inside of their block",
                hint="Write: async with client.listen(...) as messages",
            )
        while not self._waiting:
            if self._ended:
                raise StopAsyncIteration
            self._stirred.clear()
            await self._stirred.wait()
        return self._waiting.popleft()

    def heard(self, channel: bytes, data: bytes) -> None:
        """Take a message; the subscriber calls it."""
        waiting = self._waiting
        waiting.append(Message(channel, data, self._gap))
        self._gap = False
        if len(waiting) > self._buffer:
            waiting.popleft()
            waiting[0] = replace(waiting[0], gap=True)
        self._stirred.set()

    def lost(self) -> None:
        """Mark the next message; the subscriber calls it."""
        self._gap = True

    def closed(self) -> None:
        """End the stream; the subscriber calls it."""
        self._ended = True
        self._stirred.set()

    async def _join(self, kind: Kind, name: bytes) -> None:
        self._subscriptions.append(await self._subscriber.join(kind, name, self))

    def _leave(self) -> None:
        for subscription in self._subscriptions:
            subscription.cancel()
        self.closed()
