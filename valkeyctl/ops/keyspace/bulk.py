"""Many entries into the server at once, as the library's readers expect them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from valkeyctl.caching.codec import VERSION_BYTES, Envelope, head
from valkeyctl.caching.keys import Place
from valkeyctl.caching.payload import Payload
from valkeyctl.caching.wire import Wire
from valkeyctl.errors import ServerReplyError
from valkeyctl.ops.keyspace.scan import Answer, Command

_RANDOM_BYTES = 8
# A version is made or prolonged a moment before the entries under it are written, and
# shall not end before them.
_VERSION_SLACK_MS = 60_000


class Draft(NamedTuple):
    """An entry ready to be stored.

    Attributes:
        place: As `KeyScheme.place` gives it.
        payload: As `Payloads.pack` gives it for these tags.
        ttl_ms: Milliseconds to live.
        fresh_ms: Of those, as long as it is fresh; `ALWAYS_FRESH` for all.
        tags: As `KeyScheme.tag_words` gives them.
    """

    place: Place
    payload: Payload
    ttl_ms: int
    fresh_ms: int
    tags: tuple[bytes, ...]


class BulkWriter:
    """Stores batches of entries with plain SETs, several times as fast as a script each.

    A batch asks once which versions hold, then writes its entries under them. Should a
    namespace be invalidated in between, its entries carry the old version and readers
    miss: the same as if they had been written a moment before.

    Args:
        wire: An open connection.
    """

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def write(self, drafts: Sequence[Draft]) -> int:
        """Store *drafts*; return the bytes of their keys and values.

        Raises:
            ServerReplyError: The server refused one; others of them may be stored.
            UnreachableError, AuthError: as `Wire.pipeline`.
        """
        micros = _micros(self._wire.call("TIME"))
        versions = self._versions(_lives(drafts), micros)
        # The bytes before the payload, which most entries of a batch share.
        fronts: dict[tuple[bytes, bytes, int, int, int, tuple[bytes, ...]], bytes] = {}
        commands: list[Command] = []
        size = 0
        for place, payload, ttl_ms, fresh_ms, tags in drafts:
            kind = (place.version, place.tags, payload.encoding, payload.flags, fresh_ms, tags)
            front = fronts.get(kind)
            if front is None:
                front = fronts[kind] = Envelope(
                    format=head(payload.encoding, len(tags))[1],
                    version=versions[place.version],
                    created_ms=micros // 1000,
                    payload=b"",
                    tags=tuple((tag, versions[place.tags + tag]) for tag in tags),
                    flags=payload.flags,
                    fresh_ms=fresh_ms,
                ).pack()
            value = front + payload.data
            size += len(place.key) + len(value)
            commands.append((b"SET", place.key, value, b"PX", ttl_ms))
        for answer in self._wire.pipeline(commands):
            _checked(answer)
        return size

    def _versions(self, lives: Mapping[bytes, int], micros: int) -> dict[bytes, bytes]:
        """Return the versions that hold, by key, made where missing, for so many ms at least."""
        made = {key: micros.to_bytes(8, "big") + os.urandom(_RANDOM_BYTES) for key in lives}
        commands: list[Command] = []
        for key, life_ms in lives.items():
            # Prolonged before it is read: one about to expire would take the entries with it.
            commands.append(("PEXPIRE", key, life_ms, "GT"))
            commands.append(("SET", key, made[key], "NX", "PX", life_ms, "GET"))
        answers = [_checked(answer) for answer in self._wire.pipeline(commands)]
        versions = {}
        unusable: list[Command] = []
        for key, held in zip(lives, answers[1::2], strict=True):
            versions[key] = held if isinstance(held, bytes) else made[key]
            # Anything but 16 bytes would shift the layout of the entries written under it.
            if len(versions[key]) != VERSION_BYTES:
                versions[key] = made[key]
                unusable.append(("SET", key, made[key], "PX", lives[key]))
        for answer in self._wire.pipeline(unusable) if unusable else ():
            _checked(answer)
        return versions


def _lives(drafts: Sequence[Draft]) -> dict[bytes, int]:
    """Return, per version key, how many ms the entries under it live at most, and some more."""
    lives: dict[bytes, int] = {}
    for place, _, ttl_ms, _, tags in drafts:
        life_ms = ttl_ms + _VERSION_SLACK_MS
        for key in (place.version, *(place.tags + tag for tag in tags)):
            if life_ms > lives.get(key, 0):
                lives[key] = life_ms
    return lives


def _checked(answer: Answer) -> Answer:
    if isinstance(answer, ServerReplyError):
        raise answer
    return answer


def _micros(time: Answer) -> int:
    """Return the answer to TIME in microseconds since 1970."""
    match time:
        case [bytes() as seconds, bytes() as micros]:
            return int(seconds) * 1_000_000 + int(micros)
    raise ServerReplyError(f"TIME was answered with {time!r:.80}")
