"""One RESP3 connection on which the server speaks unasked.

What arrives is handled in the order in which the server sent it and before anything
else runs, so an answered PING proves that every push sent before it has been handled.
The near cache lives on that.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias, cast

from valkeyctl.caching.driver.connection import dial
from valkeyctl.caching.driver.errors import mapped
from valkeyctl.caching.driver.link import Command
from valkeyctl.caching.replies import RichReply, error_from_reply
from valkeyctl.caching.wire import is_push, pack, reply_reader
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import DeadlineError, UnreachableError, ValkeyctlError
from valkeyctl.units import format_duration

Push: TypeAlias = list[RichReply]
"""What the server said unasked; the first element, bytes, says what it is."""

Answered: TypeAlias = Callable[[RichReply | ValkeyctlError], None]
"""Gets the answer to one command, or why there is none; called exactly once, must not raise."""

# Commands that are answered by one push for each of their channels. (An error reply
# takes the place of all of them.)
_CONFIRMED = {
    "SUBSCRIBE": b"subscribe",
    "UNSUBSCRIBE": b"unsubscribe",
    "PSUBSCRIBE": b"psubscribe",
    "PUNSUBSCRIBE": b"punsubscribe",
}
_CONFIRMATIONS = frozenset(_CONFIRMED.values())
_INCOMPLETE = object()
# A timer that fires this much late means that the loop itself stood still; what the
# peer has sent meanwhile is then read first.
_STALL = 0.05


@dataclass(eq=False)
class _Due:
    """An answer that has not come.

    Attributes:
        answered: Who gets it.
        since: When the command was sent, by the loop's clock.
        kind: Of the pushes that confirm it; None when it has a reply.
        count: How many of them are still to come.
    """

    answered: Answered
    since: float
    kind: bytes | None
    count: int


class PushConnection(asyncio.Protocol):
    """A connection to *endpoint*, not yet made.

    Args:
        endpoint: Where it leads.
        on_push: Gets every push but the confirmations of subscriptions, in order; must not raise.
        on_end: Called once, with the reason, when an open connection ends; must not raise.
        patience: Seconds without a sign of life while an answer is due, after which the
            peer counts as frozen.
        silence: Seconds without a sign of life after which it PINGs; None never does.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        on_push: Callable[[Push], None],
        on_end: Callable[[ValkeyctlError], None],
        patience: float,
        silence: float | None,
    ) -> None:
        self.endpoint = endpoint
        self._on_push = on_push
        self._on_end = on_end
        self._patience = patience
        self._silence = silence
        self._loop = asyncio.get_running_loop()
        self._reader = reply_reader(
            failure=self._failure, garbled=UnreachableError, not_yet=_INCOMPLETE
        )
        self._writer: asyncio.StreamWriter | None = None
        self._due: deque[_Due] = deque()
        self._heard = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._reason: ValkeyctlError | None = None
        self._over: asyncio.Future[None] = self._loop.create_future()

    async def open(self, *, connect_timeout: float) -> None:
        """Connect and log in.

        Raises:
            UnreachableError, DeadlineError, AuthError, TlsError: As `dial`.
        """
        self._writer = await dial(self.endpoint, self, connect_timeout=connect_timeout)
        self._heard = self._loop.time()
        self._watch()

    async def wait_ended(self) -> None:
        """Return when an open connection has ended; a caller that is cancelled does not end it."""
        await asyncio.shield(self._over)

    @property
    def has_ended(self) -> bool:
        """Whether `wait_ended` would return at once."""
        return self._over.done()

    def send(self, words: Command, answered: Answered) -> None:
        """Send a command; *answered* gets its answer, or the failure that ended the connection."""
        writer = self._writer
        if writer is None or self._reason is not None:
            failure = self._reason or UnreachableError(f"{self.endpoint.address} is not connected")
            self._loop.call_soon(answered, failure)
            return
        kind = _CONFIRMED.get(str(words[0]))
        count = 1 if kind is None else len(words) - 1
        self._due.append(_Due(answered, self._loop.time(), kind, count))
        writer.transport.write(pack((words,)))
        if len(self._due) == 1:
            self._watch()

    def abort(self, reason: ValkeyctlError) -> None:
        """End the connection, for *reason*, without waiting for anybody."""
        if self._reason is None:
            self._reason = reason
            if self._writer is not None:
                self._writer.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Handle what has arrived; asyncio calls it."""
        self._heard = self._loop.time()
        reader = self._reader
        reader.feed(data)
        try:
            # A push or an answer may end the connection; then the rest counts no more.
            while self._reason is None and (item := reader.gets()) is not _INCOMPLETE:
                if is_push(item):
                    self._pushed(cast("Push", item))
                else:
                    self._replied(cast("RichReply | ValkeyctlError", item))
        except UnreachableError as garbled:
            self._surprised(f"what is not the server's protocol: {garbled}")

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell everybody who waits; asyncio calls it."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._reason is None:
            closed = ConnectionResetError("closed by the server")
            self._reason = mapped(exc or closed, self.endpoint)
        left, self._due = self._due, deque()
        try:
            for due in left:
                due.answered(self._reason)
            self._on_end(self._reason)
        finally:
            # Even when a listener fails, as one that logs to a closed pipe: whoever closes
            # the client waits for this.
            self._over.set_result(None)

    def _pushed(self, push: Push) -> None:
        if push[0] not in _CONFIRMATIONS:
            self._on_push(push)
            return
        due = self._due[0] if self._due else None
        if due is None or due.kind != push[0]:
            self._surprised("a confirmation that nobody waits for")
            return
        due.count -= 1
        if due.count == 0:
            self._due.popleft()
            due.answered(None)

    def _replied(self, reply: RichReply | ValkeyctlError) -> None:
        if not self._due:
            self._surprised("a reply to no command")
            return
        due = self._due[0]
        if due.kind is not None and not isinstance(reply, ValkeyctlError):
            self._surprised("a reply in the place of a confirmation")
            return
        self._due.popleft()
        due.answered(reply)

    def _surprised(self, what: str) -> None:
        self.abort(UnreachableError(f"{self.endpoint.address} sent {what}"))

    def _watch(self) -> None:
        """Set the timer for the moment at which the peer will have been quiet for too long."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._due:
            when = max(self._heard, self._due[0].since) + self._patience
        elif self._silence is not None:
            when = self._heard + self._silence
        else:
            return
        self._timer = self._loop.call_at(when, self._quiet, when)

    def _quiet(self, when: float) -> None:
        self._timer = None
        now = self._loop.time()
        if now - when > _STALL:
            self._timer = self._loop.call_at(now + _STALL, self._quiet, now + _STALL)
        elif self._due:
            if now < max(self._heard, self._due[0].since) + self._patience:
                self._watch()
                return
            waited = format_duration(self._patience)
            self.abort(DeadlineError(f"no answer from {self.endpoint.address} within {waited}"))
        elif self._silence is not None:
            if now < self._heard + self._silence:
                self._watch()
            else:
                self.send(("PING",), _nothing)

    def _failure(self, text: str) -> ValkeyctlError:
        return error_from_reply(text, self.endpoint.address, secret=self.endpoint.password)


def _nothing(_: RichReply | ValkeyctlError) -> None:
    """Take an answer that only had to come."""
