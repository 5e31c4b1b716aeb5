"""A string of any length into a server by one SET, whose value is sent as it is read.

A server keeps such a value as it arrived, without copying it. An APPEND to a value that
grows copies all of it now and then, which holds the server up: 23 ms at 100 MB.
"""

from __future__ import annotations

from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.ops.keyspace.lanes import Answer
from valkeyctl.units import format_size

LONGEST_STRING = 512 * 2**20
"""Longest one that servers take, unless they are told otherwise."""


class LongString:
    """Sends one string, on a connection of its own.

    Args:
        endpoint: The primary that *name* lies on.
        name: What it is called.
        size: Bytes of the whole.
        life_ms: As long as it lives.

    Raises:
        ValueError: It is too long for a server.
        UnreachableError, AuthError, TlsError: as `Wire.open`.
    """

    def __init__(self, endpoint: Endpoint, name: bytes, size: int, life_ms: int) -> None:
        if size > LONGEST_STRING:
            raise ValueError(
                f"a string of {format_size(size)} is longer than the "
                f"{format_size(LONGEST_STRING)} that servers take"
            )
        self._size = size
        self._sent = 0
        left = b"%d" % life_ms
        self._end = b"\r\n$2\r\nPX\r\n$%d\r\n%b\r\n" % (len(left), left)
        self._wire = Wire(endpoint)
        self._wire.open()
        self._wire.feed(b"*5\r\n$3\r\nSET\r\n$%d\r\n%b\r\n$%d\r\n" % (len(name), name, size))

    def add(self, piece: bytes) -> None:
        """Send the next bytes.

        Raises:
            ValueError: They are more than the whole has.
            UnreachableError, AuthError, ServerReplyError: as `Wire.feed`.
        """
        self._sent += len(piece)
        if self._sent > self._size:
            raise ValueError(f"the string has more than its {self._size:,} bytes")
        self._wire.feed(piece)

    def finish(self) -> Answer:
        """Return the server's answer, once all is sent.

        Raises:
            ValueError: Bytes are missing.
            UnreachableError, AuthError: as `Wire.collect`.
        """
        if self._sent < self._size:
            raise ValueError(f"the string has {self._sent:,} of its {self._size:,} bytes")
        self._wire.post(self._end, 1)
        (answer,) = self._wire.collect()
        self.close()
        return answer

    def close(self) -> None:
        """Close the connection; a server that has not got all of the string keeps nothing."""
        self._wire.close()
