"""Requests to one server over pooled connections, as fast as Python allows."""

from __future__ import annotations

import math
import socket
import ssl
import time
from collections.abc import Callable

import gevent
import gevent.event
import gevent.socket

from valkeyctl.bench.load.address import Address
from valkeyctl.bench.load.connection import Connection, Place
from valkeyctl.bench.load.exchange import Exchange

_clock = time.perf_counter


class Client:
    """Sends requests to one address and calls back with their answers.

    A request takes an idle connection, or a new one when there is none, so there are as
    many connections as requests were in flight at one time. Nothing is repeated,
    redirected, decompressed or remembered (cookies), with one exception: a request on an
    idle connection that the server closed before it answered with a single byte is sent
    once more; the time counts.

    Args:
        address: Where the server is; its name is looked up once, with the first request.
        timeout: Seconds without a byte in either direction after which a request is an
            error; also the longest that a connection may take to be made.
        deadline: Seconds after which a request is an error whatever comes, so that an
            answer without an end has one.
        trust: Context for TLS; None trusts what the system trusts.
    """

    def __init__(
        self,
        address: Address,
        *,
        timeout: float,
        deadline: float = math.inf,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        self._address = address
        self._timeout = timeout
        self._deadline = deadline
        self._hub = gevent.get_hub()
        self._idle: list[Connection] = []
        self._busy: set[Connection] = set()
        self._places: list[Place] = []
        self._waiting: list[Exchange] | None = None
        self._closed = False
        self._tls = (trust or _trusting()) if address.tls else None
        every = min(1.0, timeout / 10, deadline / 10)
        # One look at all of them now and then costs less than a timer for each request.
        self._sweeper = self._hub.loop.timer(every, every, ref=False)
        self._sweeper.start(self._sweep)

    def send(
        self,
        payload: bytes,
        done: Callable[[Exchange], None],
        *,
        bodiless: bool = False,
        start: float | None = None,
    ) -> None:
        """Send *payload*, a whole request; *done* is called later, whatever becomes of it.

        Args:
            payload: Head and body.
            done: Called once from the event loop; it must not block.
            bodiless: It is a HEAD request.
            start: Monotonic seconds at which it counts as sent; None is now.
        """
        begin = _clock() if start is None else start
        self._carry(Exchange(payload, done, begin, bodiless=bodiless))

    def ask(self, payload: bytes, *, patience: float | None = None) -> Exchange:
        """Send *payload* and return when its exchange has ended; blocks this greenlet.

        Raises:
            TimeoutError: It had not ended after *patience* seconds.
        """
        ended = gevent.event.Event()
        answered: list[Exchange] = []

        def end(exchange: Exchange) -> None:
            answered.append(exchange)
            ended.set()

        self.send(payload, end)
        if not ended.wait(patience):
            raise TimeoutError
        return answered[0]

    @property
    def connections(self) -> int:
        """How many connections are open or being made."""
        return len(self._idle) + len(self._busy)

    def close(self) -> None:
        """Close every connection; what they carry is dropped without a word."""
        self._closed = True
        self._sweeper.stop()
        self._sweeper.close()
        for connection in [*self._idle, *self._busy]:
            connection.close()

    # What connections say

    def free(self, connection: Connection) -> None:
        """Take back *connection*, which can carry another request."""
        self._busy.discard(connection)
        self._idle.append(connection)

    def lost(self, connection: Connection) -> None:
        """Forget *connection*, which is closed."""
        self._busy.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    def again(self, exchange: Exchange) -> None:
        """Send *exchange* on a fresh connection."""
        self._open(exchange)

    def _carry(self, exchange: Exchange) -> None:
        if self._idle:
            # The one used last: it is warm, and the others may rest.
            connection = self._idle.pop()
            self._busy.add(connection)
            connection.send(exchange)
        elif self._places:
            self._open(exchange)
        elif self._waiting is not None:
            self._waiting.append(exchange)
        else:
            self._waiting = [exchange]
            gevent.spawn(self._look_up)

    def _open(self, exchange: Exchange) -> None:
        host = self._address.host
        self._busy.add(Connection(self, self._places, self._tls, host, exchange))

    def _look_up(self) -> None:
        """Find the server's addresses, then send what waits for them."""
        address = self._address
        error = ""
        try:
            found = gevent.socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
            self._places = list(dict.fromkeys((family, place) for family, _, _, _, place in found))
        except (OSError, UnicodeError):
            error = f"the name {address.host} cannot be looked up"
        waiting, self._waiting = self._waiting or [], None
        if self._closed:
            return
        for exchange in waiting:
            if error:
                exchange.end, exchange.error = _clock(), error
                exchange.done(exchange)
            else:
                self._carry(exchange)

    def _sweep(self) -> None:
        now = _clock()
        silent, begun = now - self._timeout, now - self._deadline
        overdue = [
            (one, text)
            for one in self._busy
            if (text := self._complaint(one, silent, begun)) is not None
        ]
        for connection, text in overdue:
            connection.fail(text)

    def _complaint(self, one: Connection, silent: float, begun: float) -> str | None:
        """Return why *one* has taken too long; *silent* and *begun* are the latest moments."""
        if one.active < silent:
            return f"no answer within {self._timeout:g} s"
        if one.exchange is not None and one.exchange.start < begun:
            return f"answer not ended within {self._deadline:g} s"
        return None


def _trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
