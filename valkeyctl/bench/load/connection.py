"""An HTTP/1.1 connection on the event loop's watchers: no greenlet, no file object.

Locust's own client does 3,000 to 5,000 requests a second and core; reading a socket in a
watcher's callback and parsing with llhttp does twenty times that (benchmarks/generator.py
measures it), so the load generator is not what a run measures.
"""

from __future__ import annotations

import errno
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from typing import Protocol

import gevent
from gevent.monkey import get_original

from valkeyctl.bench.load.answerreader import AnswerReader
from valkeyctl.bench.load.exchange import Exchange, fault

_READ, _WRITE = 1, 2
_CHUNK = 1 << 16
_CONNECTING = (errno.EINPROGRESS, errno.EWOULDBLOCK)
# How a peer says that it had closed the connection before our request came.
_CLOSED = (errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED)
_clock = time.perf_counter
# Not gevent's, whose methods switch greenlets: we wait by watchers.
_socket: type[socket.socket] = get_original("socket", "socket")

Place = tuple[int, tuple[str | int, ...]]


class Watcher(Protocol):
    """gevent's watcher of one file, which has no types of its own."""

    def start(self, callback: Callable[[], None]) -> None:
        """Call back whenever the file is ready."""

    def stop(self) -> None:
        """Call back no more."""

    def close(self) -> None:
        """Give its memory back."""


class Owner(Protocol):
    """The pool that a connection belongs to."""

    def free(self, connection: Connection) -> None:
        """Take back *connection*, which can carry another request."""

    def lost(self, connection: Connection) -> None:
        """Forget *connection*, which is closed."""

    def again(self, exchange: Exchange) -> None:
        """Send *exchange* on a fresh connection."""


class Connection:
    """One connection that carries one exchange at a time.

    Args:
        owner: Told when it is free, and when it is closed.
        places: Family and address of the server, tried in this order.
        tls: Context of a TLS connection; None for plain HTTP.
        host: Name that the server's certificate must be for.
        exchange: What it carries first.

    Attributes:
        active: Monotonic seconds at which it last heard or said something.
        exchange: What it carries now; None while idle.
    """

    def __init__(
        self,
        owner: Owner,
        places: Sequence[Place],
        tls: ssl.SSLContext | None,
        host: str,
        exchange: Exchange,
    ) -> None:
        self.active = _clock()
        self.exchange: Exchange | None = exchange
        self._owner = owner
        self._left = list(places)
        self._closed = False
        self._reused = False
        self._out = memoryview(b"")
        self._unread = False
        self._hub = gevent.get_hub()
        self._tls: ssl.SSLObject | None = None
        self._incoming = self._outgoing = ssl.MemoryBIO()
        self._shaking = False
        if tls is not None:
            self._outgoing = ssl.MemoryBIO()
            self._tls = tls.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self._socket: socket.socket | None = None
        self._reader: Watcher | None = None
        self._writer: Watcher | None = None
        self._answer = AnswerReader()
        self._answer.begin(exchange)
        self._connect()

    def send(self, exchange: Exchange) -> None:
        """Carry *exchange*; only while idle."""
        self.exchange = exchange
        self._reused = True
        self.active = exchange.start
        self._answer.begin(exchange)
        self._write(exchange.payload)

    def fail(self, text: str) -> None:
        """End the exchange with *text* as its error, and close."""
        self._end(text)

    def close(self) -> None:
        """Close, and forget what is carried."""
        if self._closed:
            return
        self._closed = True
        self.exchange = None
        self._answer.end()
        self._stop_watching()
        if self._socket is not None:
            self._socket.close()
        self._owner.lost(self)

    # Connecting

    def _connect(self) -> None:
        family, address = self._left.pop(0)
        try:
            self._socket = _socket(family, socket.SOCK_STREAM)
            self._socket.setblocking(False)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            code = self._socket.connect_ex(address)
        except OSError as error:
            code = error.errno or errno.EIO
        if code and code not in _CONNECTING:
            # From the loop: whoever sent us must have returned before it hears of it.
            self._hub.loop.run_callback(self._refused, code)
            return
        number = self._descriptor()
        self._reader = self._hub.loop.io(number, _READ)
        self._writer = self._hub.loop.io(number, _WRITE)
        self._writer.start(self._connected)

    def _descriptor(self) -> int:
        if self._socket is None:
            raise AssertionError("not connected")
        return self._socket.fileno()

    def _refused(self, code: int) -> None:
        self._stop_watching()
        if self._socket is not None:
            self._socket.close()
        if self._closed:
            return
        if self._left:
            self._connect()
        else:
            self._end(fault(OSError(code, "")))

    def _connected(self) -> None:
        if self._socket is None or self._writer is None or self._reader is None:
            raise AssertionError("not connected")
        code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._refused(code)
            return
        self._writer.stop()
        self.active = _clock()
        self._reader.start(self._readable)
        if self._tls is not None:
            self._shaking = True
            self._shake()
        elif self.exchange is not None:
            self._write(self.exchange.payload)

    def _shake(self) -> None:
        """Go on with the TLS handshake; after it, send."""
        if self._tls is None:
            raise AssertionError("not a TLS connection")
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush_tls()
            return
        except ssl.SSLError as error:
            self._flush_tls()  # the alert that tells the server why
            self._end(fault(error))
            return
        self._shaking = False
        if self.exchange is not None:
            self._write(self.exchange.payload)

    # Writing

    def _write(self, payload: bytes) -> None:
        if self._tls is None:
            self._put(payload)
            return
        try:
            self._tls.write(payload)
        except ssl.SSLError as error:
            # From the loop, as above.
            self._hub.loop.run_callback(self._end, fault(error))
            return
        self._flush_tls()

    def _flush_tls(self) -> None:
        if self._outgoing.pending:
            self._put(self._outgoing.read())

    def _put(self, data: bytes) -> None:
        if self._out:
            self._out = memoryview(bytes(self._out) + data)
            return
        if self._socket is None or self._writer is None or self._closed:
            return
        try:
            sent = self._socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._cut_off(error)
            return
        if sent < len(data):
            self._out = memoryview(data)[sent:]
            self._writer.start(self._writable)

    def _writable(self) -> None:
        if self._socket is None or self._writer is None:
            raise AssertionError("not connected")
        try:
            sent = self._socket.send(self._out)
        except BlockingIOError:
            return
        except OSError as error:
            self._writer.stop()
            self._cut_off(error)
            return
        self.active = _clock()
        self._out = self._out[sent:]
        if not self._out:
            self._writer.stop()

    def _cut_off(self, error: OSError) -> None:
        """Take in that the server reads no more of what we send."""
        self._out = memoryview(b"")
        self._unread = True
        # One that refuses a request before it has all of it has hung up behind its answer,
        # which we may not have read yet: then the reader hears of the end, in its turn.
        if error.errno not in _CLOSED:
            self._hub.loop.run_callback(self._broken, error)

    # Reading

    def _readable(self) -> None:
        if self._socket is None:
            raise AssertionError("not connected")
        try:
            data = self._socket.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError as error:
            self._broken(error)
            return
        self.active = _clock()
        if self._tls is not None:
            self._decrypt(data)
        elif data:
            self._feed(data)
        else:
            self._hung_up()

    def _decrypt(self, data: bytes) -> None:
        if self._tls is None:
            raise AssertionError("not a TLS connection")
        if not data:
            self._hung_up()
            return
        self._incoming.write(data)
        if self._shaking:
            self._shake()
        while not self._shaking and not self._closed:
            try:
                plain = self._tls.read(_CHUNK)
            except ssl.SSLWantReadError:
                break
            except ssl.SSLError as error:
                if isinstance(error, ssl.SSLZeroReturnError):
                    self._hung_up()
                else:
                    self._end(fault(error))
                return
            if not plain:
                self._hung_up()
                return
            self._feed(plain)
        if not self._closed:
            self._flush_tls()

    def _feed(self, data: bytes) -> None:
        if self.exchange is None:
            # Nothing was asked: whatever this is would be taken for the next answer.
            self.close()
            return
        answer = self._answer
        wrong = answer.feed(data, self.active)
        if answer.complete:
            # A server that answers before it has the whole request will not read the rest.
            rest = self._unread or self._out
            self._end(None, keep=answer.keep_alive and not wrong and not rest)
        elif wrong:
            self._end(wrong)

    def _hung_up(self) -> None:
        """Take in that the server sends nothing more."""
        if self.exchange is None:
            self.close()
        elif self._answer.to_the_end:
            self._end(None)
        elif not self._answer.heard:
            self._unanswered("connection closed by the server before it answered")
        else:
            self._end("connection closed by the server in the middle of its answer")

    def _broken(self, error: OSError) -> None:
        if self._closed:
            return
        if self.exchange is None:
            self.close()
        elif not self._answer.heard and error.errno in _CLOSED:
            self._unanswered(fault(error))
        else:
            self._end(fault(error))

    def _unanswered(self, text: str) -> None:
        """End without a byte of an answer; an idle connection may be closed at any time."""
        exchange = self.exchange
        if exchange is None or not self._reused:
            self._end(text)
            return
        exchange.retried = True
        self.exchange = None
        self.close()
        self._owner.again(exchange)

    # Ending

    def _end(self, error: str | None, *, keep: bool = False) -> None:
        exchange, self.exchange = self.exchange, None
        if keep and not self._closed:
            self._owner.free(self)
        else:
            self.close()
        if exchange is None:
            return
        exchange.end = _clock()
        exchange.error = error
        if error is not None:
            exchange.status = 0
        exchange.done(exchange)

    def _stop_watching(self) -> None:
        for watcher in (self._reader, self._writer):
            if watcher is not None:
                watcher.stop()
                watcher.close()
        self._reader = self._writer = None
