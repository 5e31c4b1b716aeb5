"""One server behind a bounded number of connections.

The slots are our own and not redis-py's pool: handing a connection back must not
await, because a caller cancelled in that moment would lose the slot for good.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from redis.asyncio.connection import Connection
from redis.connection import HiredisRespSerializer
from redis.exceptions import RedisError, ResponseError

from valkeyctl.caching.deadline import Deadline
from valkeyctl.caching.driver.connection import build_connection
from valkeyctl.caching.driver.errors import mapped, reply_failure
from valkeyctl.caching.driver.link import Command, LinkOutcome
from valkeyctl.caching.replies import RichReply
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import DeadlineError, UnreachableError, ValkeyctlError
from valkeyctl.units import format_duration

# redis-py's own, which only its blocking connections use: a third of the time of
# packing in Python, and a command of ours has up to a dozen words.
_pack = HiredisRespSerializer().pack


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
        self._idle: list[Connection] = []
        self._taken: set[Connection] = set()
        self._waiters: deque[asyncio.Future[Connection]] = deque()
        self._dials: set[asyncio.Task[None]] = set()
        self._closed = False

    async def exchange(self, commands: Sequence[Command]) -> list[LinkOutcome]:
        """As `Link.exchange`."""
        connection = await self._take()
        if not await self._usable(connection):
            await self._dialled(connection)
        try:
            return await self._roundtrip(connection, commands)
        except BaseException:
            # Answers may still be on their way: the next caller would get them as its own.
            await connection.disconnect(nowait=True)
            raise
        finally:
            self._give_back(connection)

    async def probe(self) -> None:
        """As `Link.probe`; the connection it made is kept for the next caller."""
        connection = self._build()
        try:
            await self._connect(connection)
            await self._ping(connection)
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        if len(self._idle) + len(self._taken) < self._size:
            self._give_back(connection)
        else:
            await connection.disconnect(nowait=True)

    async def aclose(self) -> None:
        """As `Link.aclose`."""
        self._closed = True
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_exception(self._closed_failure())
        for dial in self._dials:
            dial.cancel()
        await asyncio.gather(*self._dials, return_exceptions=True)
        # Those in use too: whoever waits on one gets its end of file as a failure.
        leaving = [*self._idle, *self._taken]
        self._idle.clear()
        await asyncio.gather(
            *(connection.disconnect() for connection in leaving), return_exceptions=True
        )

    def _build(self) -> Connection:
        return build_connection(self._endpoint, connect_timeout=self._connect_timeout)

    async def _take(self) -> Connection:
        if self._closed:
            raise self._closed_failure()
        if self._idle:
            connection = self._idle.pop()
        elif len(self._taken) < self._size:
            connection = self._build()
        else:
            connection = await self._wait_turn()
        self._taken.add(connection)
        return connection

    async def _wait_turn(self) -> Connection:
        waiter: asyncio.Future[Connection] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            # Cancelled in the turn in which a connection was handed over: pass it on.
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._give_back(waiter.result())
            raise

    def _give_back(self, connection: Connection) -> None:
        self._taken.discard(connection)
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                # It stays taken, so that the newcomer of this turn does not see a free slot.
                self._taken.add(connection)
                waiter.set_result(connection)
                return
        if not self._closed:
            self._idle.append(connection)

    async def _usable(self, connection: Connection) -> bool:
        """Say whether *connection* is open and has nothing left to read; close it if not."""
        if not connection.is_connected:
            return False
        if not await self._stale(connection):
            return True
        await connection.disconnect(nowait=True)
        return False

    async def _dialled(self, connection: Connection) -> None:
        """Open *connection*; a caller who gives up leaves it to be finished for the next one.

        Otherwise a server whose handshake takes longer than its callers' budgets would
        never be reached.
        """
        dial = asyncio.get_running_loop().create_task(self._connect(connection))
        self._dials.add(dial)
        dial.add_done_callback(self._dials.discard)
        try:
            await asyncio.shield(dial)
        except BaseException:
            if not dial.done():
                dial.add_done_callback(lambda dial: self._dial_ended(dial, connection))
                raise
            self._dial_ended(dial, connection)
            task = asyncio.current_task()
            if dial.cancelled() and task is not None and not task.cancelling():
                raise self._closed_failure() from None  # it was the dial that aclose cancelled
            raise

    def _dial_ended(self, dial: asyncio.Task[None], connection: Connection) -> None:
        if not dial.cancelled():
            dial.exception()  # looked at, since nobody else may hear of it
        self._give_back(connection)

    async def _stale(self, connection: Connection) -> bool:
        """Say whether the server closed an idle connection, or sent what nobody asked for."""
        try:
            return await connection.can_read()
        except (RedisError, OSError):
            return True

    async def _connect(self, connection: Connection) -> None:
        """Open *connection*: TCP, TLS, log in; within the connect timeout."""
        try:
            with Deadline(self._connect_timeout):
                await connection.connect()  # type: ignore[no-untyped-call]
        except TimeoutError as error:
            waited = format_duration(self._connect_timeout)
            raise DeadlineError(
                f"no connection to {self._endpoint.address} within {waited}",
                hint="Check that the port speaks TLS" if self._endpoint.tls else None,
            ) from error
        except (RedisError, OSError) as error:
            raise mapped(error, self._endpoint, connecting=True) from error

    async def _ping(self, connection: Connection) -> None:
        (answer,) = await self._roundtrip(connection, [("PING",)])
        if isinstance(answer, ValkeyctlError):
            raise answer

    async def _roundtrip(
        self, connection: Connection, commands: Sequence[Command]
    ) -> list[LinkOutcome]:
        if self._closed:  # meanwhile; redis-py would connect anew by itself
            raise self._closed_failure()
        try:
            await connection.send_packed_command(_packed(commands), check_health=False)
            return [await self._answer(connection) for _ in commands]
        except (RedisError, OSError) as error:
            raise mapped(error, self._endpoint) from error

    async def _answer(self, connection: Connection) -> LinkOutcome:
        try:
            answer = await connection.read_response()
        except ResponseError as error:
            return reply_failure(error, self._endpoint)
        return self._without_faults(answer)

    def _without_faults(self, answer: RichReply) -> RichReply:
        """Return *answer* with the error replies inside it, as EXEC has them, mapped."""
        if isinstance(answer, list):
            for place, part in enumerate(answer):
                if isinstance(part, Exception):
                    answer[place] = reply_failure(part, self._endpoint)
                elif isinstance(part, list):
                    self._without_faults(part)
        return answer

    def _closed_failure(self) -> UnreachableError:
        return UnreachableError(
            f"the client of {self._endpoint.address} is closed", hint="Open a new one"
        )


def _packed(commands: Sequence[Command]) -> list[bytes]:
    parts: list[bytes] = []
    for words in commands:
        parts += _pack(*words)  # type: ignore[arg-type] # its annotation is of one word
    return parts if len(parts) == 1 else [b"".join(parts)]
