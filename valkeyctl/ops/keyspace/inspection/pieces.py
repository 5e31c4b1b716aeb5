"""A string read in pieces, none of which holds the server up, and known to be one value."""

from __future__ import annotations

from collections.abc import Iterator

from valkeyctl.caching.wire import Wire
from valkeyctl.errors import AuthError, ServerReplyError

PIECE_BYTES = 256 * 1024
# Enough of a value to tell it from the one that took its place: an entry's has its version
# and the time of its writing.
_MARK_BYTES = 64


class ChangedError(Exception):
    """The value was replaced, changed or removed while it was read: its pieces are of two."""


class WatchedString:
    """One string of the server, read in pieces that must be of the same value.

    WATCH tells whether it is the same. Where an ACL refuses that, its length and its
    beginning are compared, which tells entries of ours apart, too.

    Args:
        wire: An open connection, for nothing else until `check`.
        key: Of the string.

    Attributes:
        length: Its bytes; 0 when there is none.
    """

    def __init__(self, wire: Wire, key: bytes) -> None:
        self._wire = wire
        self._key = key
        self._watched = True
        try:
            wire.call("WATCH", key)
        except AuthError:
            self._watched = False
        self._mark = self._looks()
        self.length = self._mark[0]

    def pieces(self, start: int = 0) -> Iterator[bytes]:
        """Yield its bytes from *start* on.

        Raises:
            ChangedError: It became shorter.
            UnreachableError, AuthError, ServerReplyError: as `Wire.call`.
        """
        at = start
        while at < self.length:
            end = min(at + PIECE_BYTES, self.length)
            piece = self._wire.call("GETRANGE", self._key, at, end - 1)
            if not isinstance(piece, bytes) or len(piece) != end - at:
                raise ChangedError
            yield piece
            at = end

    def check(self) -> None:
        """Make sure that all pieces were of one value, and watch it no more.

        Raises:
            ChangedError: They need not be.
            UnreachableError, AuthError, ServerReplyError: as `Wire.pipeline`.
        """
        if self._watched:
            _, answer = self._wire.pipeline([("MULTI",), ("EXEC",)])
            same = answer is not None
        else:
            same = self._looks() == self._mark
        if not same:
            raise ChangedError

    def _looks(self) -> tuple[int, bytes]:
        length, begin = self._wire.pipeline(
            [("STRLEN", self._key), ("GETRANGE", self._key, 0, _MARK_BYTES - 1)]
        )
        for answer in (length, begin):
            if isinstance(answer, ServerReplyError):
                raise answer
        return (
            length if isinstance(length, int) else 0,
            begin if isinstance(begin, bytes) else b"",
        )
