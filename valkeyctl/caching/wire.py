"""A blocking connection for bulk work and the command line: no event loop, no redis-py.

Importing this module costs a few milliseconds, which is what a command such as
``valkeyctl keys stats`` can afford before its first byte leaves.
"""

from __future__ import annotations

import select
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol, Self, cast

import hiredis

from valkeyctl.caching import sockets
from valkeyctl.caching.info import parse_info
from valkeyctl.caching.replies import Reply, Word, error_from_reply
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import (
    AuthError,
    ServerReplyError,
    TlsError,
    UnreachableError,
    UsageError,
    ValkeyctlError,
)

__all__ = ["Packed", "Reply", "ReplyReader", "Wire", "Word", "is_push", "pack", "reply_reader"]

# What may be sent without its answer: enough to hide the round trip, too little
# for the server to pile up replies while we are still writing.
_UNANSWERED_BYTES = 256 * 1024
_UNANSWERED_COMMANDS = 1024
_READ_BYTES = 256 * 1024


class ReplyReader(Protocol):
    """Turns bytes as they arrive into answers."""

    def feed(self, data: bytes, /) -> None:
        """Take what has arrived."""

    def gets(self) -> object:
        """Return the next whole answer, or the word for "not yet"."""


def reply_reader(
    *,
    failure: Callable[[str], Exception],
    garbled: type[Exception],
    not_yet: object,
) -> ReplyReader:
    """Return a reader of RESP3, for a connection that is not a `Wire`.

    Args:
        failure: Makes what stands for an error reply, wherever in an answer it is.
        garbled: What ``gets`` raises when the bytes are no RESP.
        not_yet: What ``gets`` returns while an answer is not whole.
    """
    return hiredis.Reader(replyError=failure, protocolError=garbled, notEnoughData=not_yet)


def is_push(answer: object) -> bool:
    """Say whether *answer*, which a `ReplyReader` read, is one that nobody asked for."""
    return isinstance(answer, hiredis.PushNotification)


def pack(commands: Iterable[Sequence[Word]]) -> bytes:
    """Return *commands* as they travel.

    Raises:
        UsageError: A word is not bytes, text or a number.
    """
    try:
        # hiredis' own stub says "a tuple of one word".
        return b"".join([hiredis.pack_command(tuple(words)) for words in commands])  # type: ignore[arg-type]
    except TypeError as error:
        raise UsageError(f"the server was not asked: {error}") from error


class Packed(NamedTuple):
    """Commands as they travel.

    Attributes:
        data: Their bytes, one after another.
        number: How many they are.
    """

    data: bytes
    number: int


class Wire:
    """One connection to one server, for one thread.

    Args:
        endpoint: Where the server is; TLS, user, password and database are honoured.
        timeout: Seconds that the server may be silent, while connecting or in a call;
            a long answer that keeps coming is not cut off.

    A failure of the connection closes it for good: what the server did with the
    commands on their way is unknown, so they are never sent again.

    Attributes:
        endpoint: As given.
        waited: Whether the last `collect` had to wait for the server; else all answers
            had been there already.
    """

    def __init__(self, endpoint: Endpoint, *, timeout: float = 5.0) -> None:
        self.endpoint = endpoint
        self._timeout = timeout
        self._socket: socket.socket | None = None
        self._faulty = self._heard = False
        self._reader = self._new_reader()
        self._outgoing = bytearray()
        self._posted: deque[int] = deque()
        self.waited = False

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self) -> None:
        """Connect, log in and select the database; does nothing when already open.

        Raises:
            UnreachableError: Nothing listens there, or it does not speak RESP.
            DeadlineError: It was silent for longer than the timeout.
            AuthError: It refuses the user or the password.
            TlsError: The handshake failed.
            UsageError: The endpoint is Sentinel or a Cluster, not one server.
        """
        if self._socket is not None:
            return
        self.endpoint.require_one_server()
        self._reader = self._new_reader()
        self._outgoing.clear()
        self._posted.clear()
        self._socket = sockets.connect(self.endpoint, self._timeout)
        endpoint = self.endpoint
        try:
            if endpoint.password is not None:
                login = (endpoint.username,) if endpoint.username else ()
                self.call("AUTH", *login, endpoint.password)
            if endpoint.db:
                self.call("SELECT", endpoint.db)
        except ValkeyctlError:
            self.close()
            raise

    @property
    def encryption(self) -> sockets.Encryption | None:
        """How the open connection is encrypted; None when it is not."""
        return sockets.encryption_of(self._socket)

    def allow(self, timeout: float) -> None:
        """Let the server be silent for *timeout* seconds, above 0, from the next call on."""
        self._timeout = timeout

    def close(self) -> None:
        """Close the connection; does nothing when it is closed."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def call(self, *words: Word) -> Reply:
        """Return the answer to one command.

        Raises:
            UnreachableError: The connection is closed, or broke.
            DeadlineError: The server was silent for longer than the timeout.
            AuthError: The server refuses this user the command.
            ServerReplyError: Any other error reply.
        """
        (answer,) = self._answers([words])
        if isinstance(answer, ValkeyctlError):
            raise answer
        return answer

    def pipeline(self, commands: Iterable[Sequence[Word]]) -> list[Reply | ServerReplyError]:
        """Return the answers to *commands*, in order; an error reply takes its command's place.

        The commands are drawn lazily and written while answers are read, so any
        number of them needs no more memory than their answers.

        Raises:
            UnreachableError: The connection is closed, or broke; some commands may have run.
            DeadlineError: The server was silent for longer than the timeout.
            AuthError: The server refuses this user one of the commands; all were sent.
        """
        answers: list[Reply | ServerReplyError] = []
        refused: AuthError | None = None
        for answer in self._answers(commands):
            if isinstance(answer, AuthError):
                # Reading on keeps the connection in step with its answers.
                refused = refused or answer
            else:
                answers.append(answer)
        if refused is not None:
            raise refused
        return answers

    def post(self, packed: bytes, count: int) -> None:
        """Send commands and do not wait for their answers, which the next `collect` reads.

        Several posts may be under way, so that the server works on one while the answers
        to another are dealt with. Between a post and its `collect` nothing else may be
        asked. A caller bounds what is under way: the server piles up its answers.

        Args:
            packed: The commands as they travel; see `pack`.
            count: How many they are.

        Raises:
            UnreachableError: The connection is closed, or broke.
        """
        connection = self._opened()
        self._outgoing += packed
        self._posted.append(count)
        try:
            self._write_some(connection, self._outgoing)
        except OSError as error:
            raise self._broken(f"broke the connection: {error.strerror or error}") from error

    def feed(self, part: bytes) -> None:
        """Send a part of one command, of which `post` sends the last one.

        Returns when little of it still waits to be sent. Nothing else may be under way.
        Raises what `call` does; then the connection is closed, and the command did not run.
        """
        self._opened()
        self._outgoing += part
        while len(self._outgoing) > _UNANSWERED_BYTES:
            self._exchange(self._outgoing)
            if (answer := self._next_answer()) is not _INCOMPLETE:
                refused = self._broken("sent an answer to no command")
                raise answer if isinstance(answer, ValkeyctlError) else refused

    def collect(self) -> list[Reply | ServerReplyError]:
        """Return the answers to the oldest `post` whose answers were not collected yet.

        Raises:
            UnreachableError, DeadlineError, AuthError: as `pipeline`.
        """
        count = self._posted.popleft()
        self.waited = False
        answers: list[Reply | ServerReplyError] = []
        refused: AuthError | None = None
        gets = self._reader.gets
        try:
            # No call of ours per answer: of OKs there are a million.
            while len(answers) < count:
                answer = gets()
                if answer is False:
                    self._exchange(self._outgoing)
                    continue
                if self._faulty:
                    answer = self._told(answer)
                    if isinstance(answer, AuthError):
                        refused = refused or answer
                answers.append(cast("Reply | ServerReplyError", answer))
        except hiredis.ProtocolError as error:
            raise self._broken("does not speak the server's protocol") from error
        except BaseException:
            self.close()  # the answers still on their way would be taken for later ones
            raise
        if refused is not None:
            raise refused
        return answers

    def info(self, section: str | None = None) -> dict[str, str]:
        """Return the fields of INFO, all sections or one; raises what `call` does."""
        reply = self.call("INFO", section) if section else self.call("INFO")
        return parse_info(reply) if isinstance(reply, bytes) else {}

    def _answers(
        self, commands: Iterable[Sequence[Word]]
    ) -> Iterator[Reply | ServerReplyError | AuthError]:
        """Yield one answer per command, writing ahead within the unanswered bound."""
        waiting = iter(commands)
        sent: deque[int] = deque()
        unanswered = 0
        outgoing = bytearray()
        drained = False
        try:
            while True:
                while (
                    not drained
                    and unanswered < _UNANSWERED_BYTES
                    and len(sent) < _UNANSWERED_COMMANDS
                ):
                    words = next(waiting, None)
                    if words is None:
                        drained = True
                        break
                    packed = pack((words,))
                    outgoing += packed
                    sent.append(len(packed))
                    unanswered += len(packed)
                if not sent:
                    return
                self._exchange(outgoing)
                while (answer := self._next_answer()) is not _INCOMPLETE:
                    if not sent:
                        raise self._broken("sent an answer to no command")
                    unanswered -= sent.popleft()
                    yield cast("Reply | ServerReplyError | AuthError", answer)
        finally:
            if sent:
                # Left early, by a failure of the commands' source or an interruption: the
                # answers still on their way would be taken for those of later calls.
                self.close()

    def _next_answer(self) -> object:
        """Return the next whole answer that has arrived, or _INCOMPLETE."""
        try:
            answer = self._reader.gets()
        except hiredis.ProtocolError as error:
            raise self._broken("does not speak the server's protocol") from error
        if answer is False:  # hiredis' word for "not yet"; RESP2 has no booleans
            return _INCOMPLETE
        return self._told(answer) if self._faulty else answer

    def _told(self, answer: object) -> object:
        """Return *answer*, or the failure that it or something in it is."""
        self._faulty = False
        fault = _first_error(answer)
        if fault is None:
            return answer
        return error_from_reply(str(fault), self.endpoint.address, secret=self.endpoint.password)

    def _new_reader(self) -> hiredis.Reader:
        # Whether there was an error at all is noted as it is read: looking through every
        # answer for one that EXEC or a script nests would cost more than reading them.
        self._faulty = self._heard = False

        def failure(text: str) -> hiredis.ReplyError:
            self._faulty = True
            return hiredis.ReplyError(text)

        return hiredis.Reader(replyError=failure)

    def _opened(self) -> socket.socket:
        if self._socket is None:
            raise UnreachableError(f"the connection to {self.endpoint.address} is closed")
        return self._socket

    def _exchange(self, outgoing: bytearray) -> None:
        """Wait until the socket moves, then write what it takes and read what is there."""
        connection = self._opened()
        quiet_until = time.monotonic() + self._timeout
        try:
            while True:
                moved = self._write_some(connection, outgoing)
                moved = self._read_some(connection) or moved
                if moved:
                    return
                left = quiet_until - time.monotonic()
                if left <= 0:
                    self.close()
                    raise sockets.silent(self.endpoint, self._timeout)
                self.waited = True
                # poll, not select: a file number above 1023 is no failure.
                watch = select.poll()
                watch.register(connection, select.POLLIN | (select.POLLOUT if outgoing else 0))
                watch.poll(left * 1000)
        except OSError as error:
            raise self._broken(f"broke the connection: {error.strerror or error}") from error

    def _write_some(self, connection: socket.socket, outgoing: bytearray) -> bool:
        if not outgoing:
            return False
        try:
            written = connection.send(memoryview(outgoing)[:_UNANSWERED_BYTES])
        except OSError as error:
            if sockets.would_block(error):
                return False
            raise
        del outgoing[:written]
        return written > 0

    def _read_some(self, connection: socket.socket) -> bool:
        try:
            arrived = connection.recv(_READ_BYTES)
        except OSError as error:
            if sockets.would_block(error):
                return False
            raise
        if not arrived:
            raise self._broken("closed the connection")
        self._heard = True
        self._reader.feed(arrived)
        return True

    def _broken(self, what: str) -> UnreachableError | TlsError:
        self.close()
        # A first word that never came may be a matter of TLS, which is not repaired by waiting.
        told = None if self._heard else sockets.diagnose(self.endpoint, self._timeout)
        return told or UnreachableError(f"{self.endpoint.address} {what}")


_INCOMPLETE = object()


def _first_error(answer: object) -> hiredis.ReplyError | None:
    """Return the first error reply in *answer*, which EXEC nests in its list."""
    if isinstance(answer, hiredis.ReplyError):
        return answer
    if isinstance(answer, list):
        return next((fault for part in answer if (fault := _first_error(part))), None)
    return None
