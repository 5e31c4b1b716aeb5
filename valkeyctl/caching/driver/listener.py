"""A place to hear what the server says unasked, whatever happens to the connection."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Protocol

import structlog

from valkeyctl.caching.backoff import pauses
from valkeyctl.caching.deadline import Deadline
from valkeyctl.caching.driver.link import Command
from valkeyctl.caching.driver.pushes import Answered, Push, PushConnection
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import DeadlineError, UnreachableError, ValkeyctlError
from valkeyctl.units import format_duration

_log = structlog.get_logger("valkeyctl.caching")

# After a connection that lasted this many seconds the pauses begin anew with the
# shortest; a server that takes us in and throws us out is not asked in a tight loop.
_LASTING = 1.0
# Seconds between two questions whether the connection still leads to the right server.
_LOOK_EVERY = 1.0


class Audience(Protocol):
    """Who listens; called in the event loop, in order. Its methods must not raise."""

    def opened(self) -> None:
        """A connection is logged in, and nothing is set up on it: send what you need."""

    def heard(self, push: Push) -> None:
        """The server said this."""

    def lost(self, reason: ValkeyctlError) -> None:
        """The connection ended: pushes may be missed until the next one is set up."""

    def refused(self, reason: ValkeyctlError) -> None:
        """An attempt to connect failed; another follows."""


class Listener:
    """One dedicated RESP3 connection, made anew for ever until `aclose`.

    Args:
        locate: Says where to connect; asked before each attempt.
        audience: Gets what happens.
        purpose: A word for the log.
        connect_timeout: Seconds for locating the server, and again for connecting and logging in.
        silence: Seconds without a sign of life after which the server is asked for one;
            None leaves asking to the audience.
        patience: Seconds that an answer may take before the connection is given up.
        rng: Source of the jitter between attempts.
        stays: Asked every second whether the connection still leads to the right server,
            which may have failed over and be back; None never doubts it.
    """

    def __init__(
        self,
        locate: Callable[[], Awaitable[Endpoint]],
        audience: Audience,
        *,
        purpose: str,
        connect_timeout: float = 1.0,
        silence: float | None = None,
        patience: float = 1.0,
        rng: random.Random | None = None,
        stays: Callable[[Endpoint], Awaitable[bool]] | None = None,
    ) -> None:
        self._locate = locate
        self._audience = audience
        self._purpose = purpose
        self._connect_timeout = connect_timeout
        self._silence = silence
        self._patience = patience
        self._rng = rng or random.Random()
        self._stays = stays
        self._connection: PushConnection | None = None
        self._task: asyncio.Task[None] | None = None
        self._troubled = False
        self._closed = False
        self.failure: ValkeyctlError | None = None
        """Why there is no connection; None while there is one, and before the first attempt."""

    @property
    def endpoint(self) -> Endpoint | None:
        """Where it is connected; None while it is not."""
        return None if self._connection is None else self._connection.endpoint

    def start(self) -> None:
        """Begin to connect; does nothing when it has begun, or was closed."""
        if self._task is None and not self._closed:
            name = f"valkeyctl-listener-{self._purpose}"
            self._task = asyncio.create_task(self._listening(), name=name)

    def send(self, words: Command, answered: Answered) -> bool:
        """Send a command on the connection; False, and nothing else, when there is none."""
        if self._connection is None:
            return False
        self._connection.send(words, answered)
        return True

    def drop(self, reason: ValkeyctlError) -> None:
        """Give up the connection, for *reason*; a new one follows."""
        if self._connection is not None:
            self._connection.abort(reason)

    def close(self) -> None:
        """Let the connection and the task end; `aclose` waits for that."""
        self._closed = True
        if self._task is not None:
            self._task.cancel()

    async def aclose(self) -> None:
        """Close the connection and end the task; the audience hears that it is lost."""
        self.close()
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    async def _listening(self) -> None:
        loop = asyncio.get_running_loop()
        waits = pauses(self._rng)
        while True:
            try:
                connection = await self._connected()
            except ValkeyctlError as error:
                self._failed(error)
                self._audience.refused(error)
            else:
                since = loop.time()
                try:
                    self._use(connection)
                    await self._ends(connection)
                finally:
                    connection.abort(
                        UnreachableError(
                            f"the client of {connection.endpoint.address} is closed",
                            hint="Open a new one",
                        )
                    )
                    # A transport ends one turn after it was aborted, and must not
                    # outlive the loop.
                    await connection.wait_ended()
                if loop.time() - since > _LASTING:
                    waits = pauses(self._rng)
            await asyncio.sleep(next(waits))

    async def _ends(self, connection: PushConnection) -> None:
        while self._stays is not None and not connection.has_ended:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_EVERY):
                    await connection.wait_ended()
            with suppress(ValkeyctlError):  # nobody knows, so it stays
                if not await self._stays(connection.endpoint):
                    address = connection.endpoint.address
                    connection.abort(UnreachableError(f"{address} is no primary any more"))
        await connection.wait_ended()

    async def _connected(self) -> PushConnection:
        try:
            with Deadline(self._connect_timeout):
                endpoint = await self._locate()
        except TimeoutError as error:
            waited = format_duration(self._connect_timeout)
            raise DeadlineError(f"nobody said within {waited} where the server is") from error
        connection = PushConnection(
            endpoint,
            on_push=self._audience.heard,
            on_end=self._ended,
            patience=self._patience,
            silence=self._silence,
        )
        await connection.open(connect_timeout=self._connect_timeout)
        return connection

    def _use(self, connection: PushConnection) -> None:
        if connection.has_ended:  # in the turn in which it was ready
            return
        self._connection = connection
        self.failure = None
        if self._troubled:
            self._troubled = False
            address = connection.endpoint.address
            _log.info("push_restored", purpose=self._purpose, address=address)
        self._audience.opened()

    def _ended(self, reason: ValkeyctlError) -> None:
        if self._connection is None:
            self.failure = reason
            return  # the audience had not heard of it
        self._connection = None
        if self._closed:
            self.failure = reason
        else:
            self._failed(reason)
        self._audience.lost(reason)

    def _failed(self, reason: ValkeyctlError) -> None:
        self.failure = reason
        if not self._troubled:
            self._troubled = True
            _log.warning("push_lost", purpose=self._purpose, reason=str(reason))
