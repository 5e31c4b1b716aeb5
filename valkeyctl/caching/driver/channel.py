"""One open connection, answering one caller at a time.

redis-py makes the connection - TCP, TLS, log-in, RESP3 - and then gives its transport
to the protocol here. redis-py's own way of reading, through a stream, takes about as
long as the server does; and an answer that a busy event loop has received but not yet
looked at would there count as late.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import cast

from valkeyctl.caching.driver.connection import dial
from valkeyctl.caching.driver.errors import mapped
from valkeyctl.caching.driver.link import Command, LinkOutcome
from valkeyctl.caching.replies import error_from_reply
from valkeyctl.caching.wire import pack, reply_reader
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import UnreachableError

_INCOMPLETE = object()


class Channel(asyncio.Protocol):
    """A connection to *endpoint*, not yet made; it is opened once, and not again.

    Args:
        endpoint: Where it leads.
        connect_timeout: Seconds for opening it, TLS and log-in included.
    """

    def __init__(self, endpoint: Endpoint, *, connect_timeout: float) -> None:
        self._endpoint = endpoint
        self._connect_timeout = connect_timeout
        self._transport: asyncio.Transport | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._reader = reply_reader(
            failure=self._failure, garbled=UnreachableError, not_yet=_INCOMPLETE
        )
        self._lost: asyncio.Event | None = None
        self._answers: list[LinkOutcome] = []
        self._expected = 0
        self._arrived: asyncio.Future[list[LinkOutcome]] | None = None

    @property
    def is_open(self) -> bool:
        """Whether commands may be sent."""
        return self._transport is not None

    async def open(self) -> None:
        """Connect and log in.

        Raises:
            UnreachableError: Nothing listens there, or it does not speak RESP.
            DeadlineError: It took longer than the connect timeout.
            AuthError, TlsError: It does not let us in.
        """
        # Kept, because it closes the transport in its finaliser.
        self._writer = await dial(self._endpoint, self, connect_timeout=self._connect_timeout)
        self._lost = asyncio.Event()
        self._transport = cast("asyncio.Transport", self._writer.transport)

    async def roundtrip(self, commands: Sequence[Command]) -> list[LinkOutcome]:
        """Send *commands* in one write and return their answers in order, error replies too.

        A caller that is cancelled closes the channel: answers may still be on their way,
        and the next caller would get them as its own.

        Raises:
            UnreachableError: It is closed, or broke meanwhile; the commands may have run.
            UsageError: A word cannot be sent; nothing was.
        """
        transport = self._transport
        if transport is None:
            raise UnreachableError(f"the connection to {self._endpoint.address} is closed")
        if not commands:
            return []
        packed = pack(commands)
        self._expected = len(commands)
        self._answers = []
        arrived: asyncio.Future[list[LinkOutcome]] = asyncio.get_running_loop().create_future()
        self._arrived = arrived
        transport.write(packed)
        try:
            return await arrived
        except asyncio.CancelledError:
            self.close()
            raise

    def close(self) -> None:
        """Close it at once; a caller that waits gets UnreachableError."""
        self._break(UnreachableError(f"the connection to {self._endpoint.address} was closed"))

    async def aclose(self) -> None:
        """Close it, and wait until the socket is given back."""
        self.close()
        if self._lost is not None:
            await self._lost.wait()

    def data_received(self, data: bytes) -> None:
        """Take answers as they come; the last one ends the caller's wait."""
        reader = self._reader
        reader.feed(data)
        answers = self._answers
        try:
            while (answer := reader.gets()) is not _INCOMPLETE:
                answers.append(cast("LinkOutcome", answer))
        except UnreachableError as garbled:
            address = self._endpoint.address
            self._break(
                UnreachableError(f"{address} does not speak the server's protocol: {garbled}")
            )
            return
        if len(answers) < self._expected:
            return
        arrived, self._arrived = self._arrived, None
        if arrived is None or len(answers) > self._expected:
            # It says something that nobody asked for, such as why it is about to close.
            self._break(UnreachableError(f"{self._endpoint.address} answered without a question"))
        elif not arrived.done():
            arrived.set_result(answers)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the caller that waits."""
        self._transport = None
        if self._lost is not None:
            self._lost.set()
        error = exc or ConnectionResetError("closed by the server")
        self._lose(mapped(error, self._endpoint))

    def _break(self, failure: Exception) -> None:
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()
        self._lose(failure)

    def _lose(self, failure: Exception) -> None:
        arrived, self._arrived = self._arrived, None
        if arrived is not None and not arrived.done():
            arrived.set_exception(failure)

    def _failure(self, text: str) -> Exception:
        return error_from_reply(text, self._endpoint.address, secret=self._endpoint.password)
