"""One server behind a bounded number of connections.

The slots are our own and not redis-py's pool: handing a connection back must not
await, because a caller cancelled in that moment would lose the slot for good.

A caller that finds every connection in use waits for whichever comes first: one of them
handed back, or a new one. A new one takes several turns of the event loop, which may be
slow ones, and a caller's budget can be over before that; an answer on a connection that
is there takes two.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence

from valkeyctl.caching.driver.channel import Channel
from valkeyctl.caching.driver.link import Command, LinkOutcome
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import UnreachableError, ValkeyctlError


class Standalone:
    """A `Link` to one server.

    Args:
        endpoint: Where it is.
        size: How many connections at most; further callers wait their turn, first come first.
        connect_timeout: Seconds for opening one connection, TLS and log-in included.
    """

    def __init__(self, endpoint: Endpoint, *, size: int, connect_timeout: float) -> None:
        self._endpoint = endpoint
        self._size = size
        self._connect_timeout = connect_timeout
        # The last one used is the next one taken: it is the warmest, and surplus
        # connections of a burst stay idle.
        self._idle: list[Channel] = []
        self._taken: set[Channel] = set()
        # In order of arrival; a caller that gives up is taken out at no cost.
        self._waiters: OrderedDict[asyncio.Future[Channel], None] = OrderedDict()
        self._dials: set[asyncio.Task[None]] = set()
        self._closed = False

    async def exchange(self, commands: Sequence[Command]) -> list[LinkOutcome]:
        """As `Link.exchange`."""
        channel = await self._take()
        try:
            return await channel.roundtrip(commands)
        finally:
            self._give_back(channel)

    async def probe(self) -> None:
        """As `Link.probe`; the connection it made is kept for the next caller."""
        channel = self._build()
        await channel.open()
        (answer,) = await channel.roundtrip([("PING",)])
        if isinstance(answer, ValkeyctlError) or not self._has_room or self._closed:
            channel.close()
            if isinstance(answer, ValkeyctlError):
                raise answer
        else:
            self._hand_over(channel)

    async def primaries(self) -> tuple[Endpoint, ...]:
        """As `Link.primaries`."""
        return (self._endpoint,)

    def close(self) -> None:
        """As `Link.close`."""
        self._closed = True
        while self._waiters:
            self._fail_first(self._closed_failure())
        for dial in self._dials:
            dial.cancel()
        # Those in use too: whoever waits on one hears of it at once.
        for channel in (*self._idle, *self._taken):
            channel.close()

    async def aclose(self) -> None:
        """As `Link.aclose`."""
        leaving = [*self._idle, *self._taken]
        self.close()
        await asyncio.gather(*self._dials, return_exceptions=True)
        await asyncio.gather(*(channel.aclose() for channel in leaving))
        await asyncio.sleep(0)  # a transport ends one turn after its dial was cancelled

    @property
    def _has_room(self) -> bool:
        return len(self._idle) + len(self._taken) + len(self._dials) < self._size

    def _build(self) -> Channel:
        return Channel(self._endpoint, connect_timeout=self._connect_timeout)

    async def _take(self) -> Channel:
        if self._closed:
            raise self._closed_failure()
        while self._idle:
            channel = self._idle.pop()
            if channel.is_open:  # the server may have closed it meanwhile
                self._taken.add(channel)
                return channel
        waiter: asyncio.Future[Channel] = asyncio.get_running_loop().create_future()
        self._waiters[waiter] = None
        self._dial_if_wanted()
        try:
            return await waiter
        except asyncio.CancelledError:
            self._waiters.pop(waiter, None)
            # Cancelled in the turn in which a channel was handed over: pass it on.
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._give_back(waiter.result())
            raise

    def _give_back(self, channel: Channel) -> None:
        self._taken.discard(channel)
        if channel.is_open:
            self._hand_over(channel)
        else:
            self._dial_if_wanted()

    def _hand_over(self, channel: Channel) -> None:
        """Give an open *channel* to whoever waits longest, or keep it."""
        while self._waiters:
            waiter, _ = self._waiters.popitem(last=False)
            if not waiter.done():
                # It is taken from now on, so that the newcomer of this turn does not see
                # a free slot.
                self._taken.add(channel)
                waiter.set_result(channel)
                return
        if self._closed:
            channel.close()
        else:
            self._idle.append(channel)

    def _fail_first(self, failure: Exception) -> None:
        waiter, _ = self._waiters.popitem(last=False)
        if not waiter.done():
            waiter.set_exception(failure)

    def _dial_if_wanted(self) -> None:
        if len(self._dials) < len(self._waiters) and self._has_room and not self._closed:
            dial = asyncio.get_running_loop().create_task(self._dial())
            self._dials.add(dial)
            dial.add_done_callback(self._dialled)

    async def _dial(self) -> None:
        """Open a connection for whoever waits longest.

        The caller it was begun for may give up; it is then finished for the next one.
        Otherwise a server whose handshake takes longer than its callers' budgets would
        never be reached.
        """
        channel = self._build()
        await channel.open()
        self._hand_over(channel)

    def _dialled(self, dial: asyncio.Task[None]) -> None:
        self._dials.discard(dial)
        if dial.cancelled():
            return
        failure = dial.exception()
        if isinstance(failure, Exception) and self._waiters:
            # A connection in use will come back, and serve them: a server that takes no
            # more clients goes on for those it has.
            if self._taken:
                return
            self._fail_first(failure)
        self._dial_if_wanted()

    def _closed_failure(self) -> UnreachableError:
        return UnreachableError(
            f"the client of {self._endpoint.address} is closed", hint="Open a new one"
        )
