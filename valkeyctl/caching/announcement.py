"""What is said between whoever invalidates and the near caches that hold entries.

Every near cache of an application listens on one channel, ``{app}:~near``, where it is
announced what is invalid from now on. It answers on ``{app}:~ack:{asker}``, a channel of
the one who asked. The words are here, apart from both sides, so that the command line
speaks them without the library around `near.Quorum`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from valkeyctl.caching.replies import Word

LEASE = 0.05
"""Seconds for which a near cache serves what it holds without having heard from the server."""


@dataclass(frozen=True)
class AnnouncementParts:
    """What an announcement says.

    Attributes:
        asker: Who waits for the acknowledgements.
        number: Of the announcement; each asker counts its own.
        kind: ``namespace`` or ``tag``: what is invalid from now on.
        name: Of the namespace, or the tag.
    """

    asker: bytes
    number: bytes
    kind: bytes
    name: bytes

    def command(self, app: str) -> Sequence[Word]:
        """Return what announces it; the answer is how many near caches hear it."""
        words = (self.asker, self.number, self.kind, self.name)
        return ("PUBLISH", near_channel(app), b" ".join(words))


def near_channel(app: str) -> bytes:
    """Return the channel on which invalidations of *app* are announced."""
    return f"{app}:~near".encode()


def reply_channel(app: bytes, asker: bytes) -> bytes:
    """Return the channel on which *asker* gets its acknowledgements."""
    return app + b":~ack:" + asker


def read_announcement(announcement: bytes) -> AnnouncementParts | None:
    """Return what a message on the near channel says; None when it is none of ours."""
    parts = announcement.split(b" ")
    if len(parts) != 4 or parts[2] not in {b"namespace", b"tag"}:
        return None
    return AnnouncementParts(*parts)


def acknowledgement(app: bytes, parts: AnnouncementParts, holder: bytes) -> Sequence[Word]:
    """Return the command by which *holder* says that it holds nothing of it any more."""
    return ("PUBLISH", reply_channel(app, parts.asker), parts.number + b" " + holder)


def read_acknowledgement(message: bytes) -> tuple[bytes, bytes]:
    """Return the number of the announcement that was heard, and by which holder."""
    number, _, holder = message.partition(b" ")
    return number, holder
