"""One request on its way, what came back, and the words for what went wrong."""

from __future__ import annotations

import errno
import os
import ssl
from collections.abc import Callable

# Enough for every check on an answer; what lies beyond is counted and dropped.
MOST_BODY = 4 * 2**20
# Only when the first token came is asked of them, and no answer begins with so many pieces.
_MOST_ARRIVALS = 10_000
_LONGEST = 160

_WORDS = {
    errno.ECONNREFUSED: "connection refused",
    errno.ECONNRESET: "connection reset by the server",
    errno.EPIPE: "connection closed by the server",
    errno.ETIMEDOUT: "connection timed out",
    errno.EHOSTUNREACH: "no route to the host",
    errno.ENETUNREACH: "network unreachable",
    errno.EADDRNOTAVAIL: "no free local port",
    errno.EMFILE: "too many open files here",
}


class Exchange:
    """A request and its answer.

    Attributes:
        payload: The request's bytes.
        done: Called once with this exchange when it has ended, from the event loop and
            never from inside of `Client.send`.
        bodiless: It was a HEAD: whatever its answer's head says, no body follows.
        retried: It was sent a second time, as the server had closed the idle connection.
        start: Monotonic seconds at which the client took it on; a connection that had to
            be made first is part of its time.
        end: When the answer was complete, or was given up.
        status: HTTP status; 0 without a whole answer.
        outcome: Value of the ``X-Cache`` header; None without one.
        size: Bytes of the body.
        pieces: The body, at most `MOST_BODY` of it.
        kept: Bytes in *pieces*.
        arrivals: For a ``text/event-stream``: (bytes of the body so far, when), one for
            each of its first pieces as it came; None for any other answer.
        error: What went wrong, the same words for the same fault; None when a whole
            answer came, right or wrong.
    """

    __slots__ = (
        "arrivals",
        "bodiless",
        "done",
        "end",
        "error",
        "kept",
        "outcome",
        "payload",
        "pieces",
        "retried",
        "size",
        "start",
        "status",
    )

    def __init__(
        self, payload: bytes, done: Callable[[Exchange], None], start: float, *, bodiless: bool
    ) -> None:
        self.payload = payload
        self.done = done
        self.bodiless = bodiless
        self.retried = False
        self.start = start
        self.end = start
        self.status = 0
        self.outcome: str | None = None
        self.size = 0
        self.pieces: list[bytes] = []
        self.kept = 0
        self.arrivals: list[tuple[int, float]] | None = None
        self.error: str | None = None

    @property
    def body(self) -> bytes:
        """The body, cut where it is longer than `MOST_BODY`."""
        return self.pieces[0] if len(self.pieces) == 1 else b"".join(self.pieces)

    def forget(self) -> None:
        """Drop what came of an answer that was not the last word, such as 103."""
        self.outcome = None
        self.arrivals = None
        self.size = self.kept = 0
        self.pieces = []

    def take(self, piece: bytes, now: float) -> None:
        """Add *piece* to the body."""
        self.size += len(piece)
        if self.kept < MOST_BODY:
            room = MOST_BODY - self.kept
            part = piece if len(piece) <= room else piece[:room]
            self.pieces.append(part)
            self.kept += len(part)
            if self.arrivals is not None and len(self.arrivals) < _MOST_ARRIVALS:
                self.arrivals.append((self.kept, now))


def fault(error: Exception) -> str:
    """Return what went wrong on a connection, without what differs every time."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"TLS: the certificate is not trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {(error.reason or 'failed').lower().replace('_', ' ')}"
    if isinstance(error, OSError) and error.errno:
        known = _WORDS.get(error.errno)
        return known or f"connection failed: {os.strerror(error.errno).lower()}"
    return f"connection failed: {error}"[:_LONGEST]
