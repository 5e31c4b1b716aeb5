"""A consistent RDB out of any server, over the network: we pose as a replica.

What ``valkey-cli --rdb`` does: the server forks, and its child sends the data as it was
at that moment. No access to its files is needed, and one that keeps an AOF gives the
same point in time.
"""

from __future__ import annotations

import hashlib
import re
import socket
from typing import Self

from valkeyctl.caching.replies import Word, error_from_reply
from valkeyctl.caching.sockets import connect, silent
from valkeyctl.caching.wire import pack
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import AuthError, ServerReplyError, UnreachableError
from valkeyctl.units import format_size

_DIAL_TIMEOUT = 5.0
# The server says something every few seconds while its child gets ready.
_SILENCE = 60.0
_PART = 256 * 1024
_LONGEST_LINE = 1024
_MARK = 40
_HEADER = re.compile(rb"(?:REDIS|VALKEY)(\d{3,4})")
_RIGHTS = "Give a user that has +psync +replconf +info: the admin user of valkeyctl has"


class RdbStream:
    """The RDB of one server, to be read once from its begin to its end.

    Bytes are handed out as they arrive, so the size of the data costs no memory here.

    Args:
        endpoint: One server; TLS, user and password are honoured.
        version: Of that server, in its own words. A server that is not told the version
            of a replica writes an RDB for the oldest one, and fails where the data has
            something that is newer (the expiry of a hash's field).
        silence: Seconds that the server may say nothing.

    Attributes:
        replication_id: Of the data's history; with `offset` the place in it.
        offset: Bytes of that history that are in the RDB.
        received: Bytes of the RDB so far.
        size: Bytes that it will have; None when the server does not know.
    """

    def __init__(self, endpoint: Endpoint, version: str, *, silence: float = _SILENCE) -> None:
        self.endpoint = endpoint
        self._version = version
        self._silence = silence
        self._socket: socket.socket | None = None
        self._arrived = bytearray()
        self._mark = b""
        self._ended = False
        self._head = bytearray()
        self._digest = hashlib.sha256()
        self.replication_id = ""
        self.offset = 0
        self.received = 0
        self.size: int | None = None

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def rdb_version(self) -> int:
        """Version of the RDB format, such as 11; 0 until its first bytes are read."""
        found = _HEADER.match(self._head)
        return int(found[1]) if found else 0

    @property
    def sha256(self) -> str:
        """Of what was read so far, as hex digits."""
        return self._digest.hexdigest()

    def open(self) -> None:
        """Log in, ask for the data and wait until it begins.

        Raises:
            UnreachableError: Nothing listens there, it was silent for too long, or its
                child failed.
            AuthError: It refuses the login, or the user may not take a snapshot.
            TlsError: The handshake failed.
            ServerReplyError: It cannot give its data now; carries its own words.
        """
        self._socket = connect(self.endpoint, _DIAL_TIMEOUT)
        self._socket.settimeout(self._silence)
        try:
            self._log_in()
            self._request()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Hang up; the server ends its child when it is still at work."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def read(self, size: int = -1, /) -> bytes:
        """Return up to *size* of the next bytes, at least one; empty at the end.

        Raises:
            UnreachableError: The transfer ended early, or stood still for too long.
        """
        wanted = _PART if size < 0 else size
        while not self._ended and not self._ready():
            self._receive()
        part = bytes(self._arrived[: min(wanted, self._ready())])
        del self._arrived[: len(part)]
        if len(self._head) < 16:
            self._head += part[:16]
        self._digest.update(part)
        self.received += len(part)
        if self.size is not None and self.received == self.size:
            self._ended = True
        return part

    def _ready(self) -> int:
        """Return how many of the bytes that have arrived are surely RDB."""
        if self.size is not None:
            return min(len(self._arrived), self.size - self.received)
        if self._ended:
            return len(self._arrived)
        return max(0, len(self._arrived) - _MARK)

    def _receive(self) -> None:
        assert self._socket is not None  # noqa: S101 - only open streams are read
        try:
            part = self._socket.recv(_PART)
        except TimeoutError as error:
            raise silent(self.endpoint, self._silence) from error
        except OSError as error:
            raise self._cut(error.strerror or str(error)) from error
        if not part:
            raise self._cut("the server closed the connection")
        self._arrived += part
        if self._mark and self._arrived.endswith(self._mark):
            # Whatever follows the mark follows our acknowledgement, which is never sent.
            del self._arrived[-_MARK:]
            self._ended = True

    def _begin(self, line: str) -> None:
        """Take the announcement of the data: its size, or the mark that will end it."""
        if line.startswith("$EOF:") and len(line) == 5 + _MARK:
            self._mark = line[5:].encode()
            if len(self._arrived) >= _MARK and self._arrived.endswith(self._mark):
                del self._arrived[-_MARK:]
                self._ended = True
        elif line[:1] == "$" and line[1:].isdigit():
            self.size = int(line[1:])
            self._ended = self.size == 0
        else:
            raise self._odd(line)

    def _request(self) -> None:
        """Ask for all of the data, and wait until it begins."""
        # rdb-only (Valkey, Redis 7): no stream of writes follows, so the server piles none
        # up for us while we write to a slow disk. Older ones do not know some of these.
        self._try("REPLCONF", "version", self._version)
        self._try("REPLCONF", "rdb-only", 1)
        self._ask("REPLCONF", "capa", "eof")
        answer = self._ask("PSYNC", "?", -1)
        words = answer.split()
        if words[:1] != ["+FULLRESYNC"] or len(words) < 3 or not words[2].isdigit():
            raise self._odd(answer)
        self.replication_id, self.offset = words[1], int(words[2])
        self._begin(self._line())

    def _log_in(self) -> None:
        if self.endpoint.password is None:
            return
        user = (self.endpoint.username,) if self.endpoint.username else ()
        self._ask("AUTH", *user, self.endpoint.password)

    def _try(self, *words: Word) -> None:
        try:
            self._ask(*words)
        except ServerReplyError:
            return

    def _ask(self, *words: Word) -> str:
        """Return the line that answers a command.

        Raises:
            AuthError: The user may not do that.
            ServerReplyError: Any other error reply.
        """
        assert self._socket is not None  # noqa: S101 - only called by `open`
        try:
            self._socket.sendall(pack((words,)))
        except OSError as error:
            raise self._cut(error.strerror or str(error)) from error
        answer = self._line()
        if not answer.startswith("-"):
            return answer
        failure = error_from_reply(answer[1:], self.endpoint.address, secret=self.endpoint.password)
        if isinstance(failure, AuthError) and "NOPERM" in answer:
            raise AuthError(
                f"{self.endpoint.address} does not let this user take a snapshot: {answer[1:]}",
                hint=_RIGHTS,
            ) from failure
        raise failure

    def _line(self) -> str:
        """Return the next line; empty ones only say that the server is at work."""
        while True:
            end = self._arrived.find(b"\n")
            if end >= 0:
                line = bytes(self._arrived[:end]).rstrip(b"\r").decode("utf-8", "replace")
                del self._arrived[: end + 1]
                if line:
                    return line
            elif len(self._arrived) > _LONGEST_LINE:
                raise self._odd(bytes(self._arrived[:40]).decode("utf-8", "replace"))
            else:
                self._receive()

    def _cut(self, why: str) -> UnreachableError:
        how_far = (
            f"after {format_size(self.received)} of its data"
            if self.received
            else "before it sent any data"
        )
        return UnreachableError(
            f"{self.endpoint.address} ended the transfer {how_far}: {why}",
            hint="See its log: it says why when a background save failed",
        )

    def _odd(self, answer: str) -> ServerReplyError:
        shown = answer if answer.isprintable() else repr(answer)
        return ServerReplyError(
            f"{self.endpoint.address} answered the request for its data with {shown[:80]}",
            hint="Check that it is a Valkey server, and no sentinel or proxy",
        )
