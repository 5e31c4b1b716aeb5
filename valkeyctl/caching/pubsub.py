"""Publish and subscribe that outlives its connection.

All subscriptions of a client share one connection, made for the first of them. When it
breaks it is made anew, and every subscription with it. What was published in between
is lost, for pub/sub has no memory, and whoever listens is told so.
"""

from __future__ import annotations

import asyncio
import copy
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias, cast

from valkeyctl.caching.deadline import Deadline
from valkeyctl.caching.driver.listener import Listener
from valkeyctl.caching.driver.pushes import Push
from valkeyctl.caching.replies import RichReply
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import (
    AuthError,
    DeadlineError,
    TlsError,
    UnreachableError,
    ValkeyctlError,
)
from valkeyctl.units import format_duration

# Seconds of silence after which the server is asked whether it is still there; it then
# has the listener's patience, one second, to answer.
_SILENCE = 5.0

Kind: TypeAlias = Literal["channel", "pattern"]
_JOIN: dict[Kind, str] = {"channel": "SUBSCRIBE", "pattern": "PSUBSCRIBE"}
_LEAVE: dict[Kind, str] = {"channel": "UNSUBSCRIBE", "pattern": "PUNSUBSCRIBE"}


class Hearer(Protocol):
    """Who subscribed; called in the event loop, in order."""

    def heard(self, channel: bytes, data: bytes) -> None:
        """Something was published."""

    def lost(self) -> None:
        """The connection was lost: messages may be missed until the subscription is active."""

    def closed(self) -> None:
        """The client was closed: nothing will come any more."""


@dataclass(frozen=True)
class _Callbacks:
    """A `Hearer` made of functions."""

    on_message: Callable[[bytes], None]
    on_lost: Callable[[], None] | None

    def heard(self, channel: bytes, data: bytes) -> None:  # noqa: ARG002 - there is only one
        """As `Hearer.heard`."""
        self.on_message(data)

    def lost(self) -> None:
        """As `Hearer.lost`."""
        if self.on_lost is not None:
            self.on_lost()

    def closed(self) -> None:
        """As `Hearer.closed`."""


@dataclass(eq=False)
class _Topic:
    """A channel or pattern with those who share it.

    Attributes:
        kind: Which of the two.
        name: Of the channel, or the pattern.
        asked: Whether its confirmation is on its way.
        confirmed: Whether the server has confirmed it on the present connection.
        members: The subscriptions.
        waiters: Callers that wait for the confirmation.
    """

    kind: Kind
    name: bytes
    asked: bool = False
    confirmed: bool = False
    members: list[Subscription] = field(default_factory=list)
    waiters: list[asyncio.Future[None]] = field(default_factory=list)


class Subscription:
    """One subscriber's part in a channel; `Subscriber` makes it."""

    def __init__(self, topic: _Topic, hearer: Hearer, leave: Callable[[], None]) -> None:
        self.hearer = hearer
        self._topic = topic
        self._leave = leave
        self.cancelled = False

    @property
    def active(self) -> bool:
        """Whether the server has confirmed it on the present connection."""
        return self._topic.confirmed and not self.cancelled

    def cancel(self) -> None:
        """Hear no more, from this moment on; doing it again changes nothing."""
        if not self.cancelled:
            self.cancelled = True
            self._topic.members.remove(self)
            self._leave()


class Subscriber:
    """Subscriptions to the channels of one deployment.

    Args:
        primaries: As `ValkeyClient.primaries`; the first of them is listened to, for in a
            Cluster each node passes on what any of them is told.
        connect_timeout: Seconds for making a connection.
        deadline: Seconds for a subscription that names none.
        rng: Source of the jitter between attempts to connect.
        fails_over: Whether another server may become the primary.
        closed: Whether its client is closed already.
    """

    def __init__(
        self,
        primaries: Callable[..., Awaitable[tuple[Endpoint, ...]]],
        *,
        connect_timeout: float = 1.0,
        deadline: float = 1.0,
        rng: random.Random | None = None,
        fails_over: bool = False,
        closed: bool = False,
    ) -> None:
        self._primaries = primaries
        self._deadline = deadline
        self._topics: dict[tuple[Kind, bytes], _Topic] = {}
        self._closed = closed
        self._listener = Listener(
            self._first_primary,
            self,
            purpose="pubsub",
            connect_timeout=connect_timeout,
            silence=_SILENCE,
            rng=rng,
            stays=self._is_primary if fails_over else None,
        )

    async def subscribe(
        self,
        channel: str | bytes,
        on_message: Callable[[bytes], None],
        *,
        on_lost: Callable[[], None] | None = None,
        deadline: float | None = None,
    ) -> Subscription:
        """Return once the server has confirmed the subscription: nothing published later is missed.

        The subscription is renewed by itself, for ever, after its connection was lost.

        Args:
            channel: Its name.
            on_message: Gets what is published, in order; called in the event loop.
            on_lost: Called once when the connection is lost: messages may be missed from
                then until the subscription is `active` again.
            deadline: Seconds to wait for the confirmation; None takes the client's.

        Raises:
            DeadlineError: No confirmation in time.
            UnreachableError: The client is closed.
            AuthError, TlsError: The server does not let us in, or not to this channel.
            ServerReplyError: Any other error reply.
        """
        hearer = _Callbacks(on_message, on_lost)
        return await self.join("channel", channel, hearer, deadline=deadline)

    async def join(
        self, kind: Kind, name: str | bytes, hearer: Hearer, *, deadline: float | None = None
    ) -> Subscription:
        """As `subscribe`, for a channel or a pattern."""
        if self._closed:
            raise self._closed_failure()
        key = (kind, encoded(name))
        topic = self._topics.get(key)
        if topic is None:
            topic = self._topics[key] = _Topic(*key)
            self._listener.start()
        subscription = Subscription(topic, hearer, lambda: self._left(topic))
        topic.members.append(subscription)
        try:
            if not topic.confirmed:
                if not topic.asked:
                    self._ask(topic)
                await self._confirmed(topic, self._deadline if deadline is None else deadline)
        except BaseException:
            subscription.cancel()
            raise
        return subscription

    async def aclose(self) -> None:
        """Close the connection; callers that wait fail."""
        self._closed = True
        await self._listener.aclose()
        topics, self._topics = self._topics, {}
        for topic in topics.values():
            self._fail(topic, self._closed_failure())
            for member in tuple(topic.members):
                _guarded(member.hearer.closed)

    def opened(self) -> None:
        """Subscribe to everything anew; the listener calls it."""
        for topic in self._topics.values():
            self._ask(topic)

    def heard(self, push: Push) -> None:
        """Hand a message to those who subscribed; the listener calls it."""
        kind: Kind
        if push[0] == b"message":
            kind, (name, data) = "channel", cast("list[bytes]", push[1:])
            channel = name
        elif push[0] == b"pmessage":
            kind, (name, channel, data) = "pattern", cast("list[bytes]", push[1:])
        else:
            return
        topic = self._topics.get((kind, name))
        # Not confirmed: meant for an earlier subscription, which has been cancelled.
        if topic is not None and topic.confirmed:
            for member in tuple(topic.members):
                if not member.cancelled:  # by the one before it
                    _guarded(member.hearer.heard, channel, data)

    def lost(self, reason: ValkeyctlError) -> None:  # noqa: ARG002 - the listener keeps it
        """Tell those who subscribed; the listener calls it."""
        for topic in tuple(self._topics.values()):
            if topic.confirmed:
                topic.confirmed = False
                for member in tuple(topic.members):
                    if not member.cancelled:
                        _guarded(member.hearer.lost)

    def refused(self, reason: ValkeyctlError) -> None:
        """Fail those who wait, where waiting will not help; the listener calls it."""
        if isinstance(reason, (AuthError, TlsError)):
            for topic in self._topics.values():
                self._fail(topic, reason)

    async def _first_primary(self) -> Endpoint:
        primaries = await self._primaries(anew=self._listener.failure is not None)
        if not primaries:
            raise UnreachableError("no server takes writes at present")
        return primaries[0]

    async def _is_primary(self, endpoint: Endpoint) -> bool:
        return endpoint in await self._primaries()

    async def _confirmed(self, topic: _Topic, deadline: float) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        topic.waiters.append(waiter)
        try:
            with Deadline(deadline):
                await waiter
        except TimeoutError as error:
            why = self._listener.failure
            reason = f": {why}" if why is not None else ""
            raise DeadlineError(
                f"no subscription to {topic.name.decode(errors='replace')!a} "
                f"within {format_duration(deadline)}{reason}",
                hint=None if why is None else why.hint,
            ) from error
        finally:
            topic.waiters.remove(waiter)

    def _ask(self, topic: _Topic) -> None:
        def answered(answer: RichReply | ValkeyctlError) -> None:
            topic.asked = False
            if isinstance(answer, UnreachableError):
                return  # the next connection asks again
            if isinstance(answer, ValkeyctlError):
                self._fail(topic, answer)
                return
            topic.confirmed = True
            for waiter in topic.waiters:
                if not waiter.done():
                    waiter.set_result(None)

        # Where there is no connection, `opened` will ask.
        topic.asked = self._listener.send((_JOIN[topic.kind], topic.name), answered)

    def _fail(self, topic: _Topic, reason: ValkeyctlError) -> None:
        for waiter in topic.waiters:
            if not waiter.done():
                # One each: raising adds the traceback of its caller to the exception.
                waiter.set_exception(copy.copy(reason))

    def _left(self, topic: _Topic) -> None:
        key = (topic.kind, topic.name)
        if topic.members or self._topics.get(key) is not topic:
            return
        del self._topics[key]
        self._listener.send((_LEAVE[topic.kind], topic.name), _nothing)

    def _closed_failure(self) -> UnreachableError:
        return UnreachableError("the client is closed", hint="Open a new one")


def encoded(name: str | bytes) -> bytes:
    """Return the name of a channel or pattern as it travels."""
    return name.encode() if isinstance(name, str) else name


def _guarded(call: Callable[..., None], *arguments: bytes) -> None:
    """Let a subscriber's bug reach the loop's handler, and not cost others their messages."""
    try:
        call(*arguments)
    except Exception as error:  # noqa: BLE001 - see above
        asyncio.get_running_loop().call_exception_handler(
            {"message": f"{call!r} of a subscriber failed", "exception": error}
        )


def _nothing(_: RichReply | ValkeyctlError) -> None:
    """Take a confirmation that nobody waits for."""
