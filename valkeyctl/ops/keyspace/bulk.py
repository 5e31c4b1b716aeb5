"""Many entries into the server at once, as the library's readers expect them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple, NoReturn

from valkeyctl.caching.codec import Envelope, head
from valkeyctl.caching.script import load_script
from valkeyctl.caching.wire import Wire
from valkeyctl.errors import ServerReplyError
from valkeyctl.ops.keyspace.scan import Answer, Command

# Tags per script: a longer one would keep the server's only thread from others.
_TAGS_PER_SCRIPT = 256
_RANDOM_BYTES = 8
# A version is made or prolonged a moment before the entries under it are written, and
# shall not end before them.
_VERSION_SLACK_MS = 60_000


class Draft(NamedTuple):
    """An entry ready to be stored.

    Attributes:
        key: As `KeyScheme.entry` gives it.
        version_key: Likewise.
        encoding: As `codec.encode` says.
        payload: Likewise.
        ttl_ms: Milliseconds to live.
        tags: As `KeyScheme.tag_words` gives them.
    """

    key: bytes
    version_key: bytes
    encoding: int
    payload: bytes
    ttl_ms: int
    tags: tuple[bytes, ...]


class _Need(NamedTuple):
    """What must be known before entries of one namespace can be written."""

    ttl_ms: int
    tags: dict[bytes, None]


class BulkWriter:
    """Stores batches of entries with plain SETs, several times as fast as a script each.

    A batch asks once which versions hold, then writes its entries under them. Should a
    namespace be invalidated in between, its entries carry the old version and readers
    miss: the same as if they had been written a moment before.

    Args:
        wire: An open connection.
        tag_prefix: As `KeyScheme.tag_prefix`.
    """

    def __init__(self, wire: Wire, tag_prefix: bytes) -> None:
        self._wire = wire
        self._tag_prefix = tag_prefix
        self._read = load_script("read")

    def write(self, drafts: Sequence[Draft]) -> int:
        """Store *drafts*; return the bytes of their keys and values.

        Raises:
            ServerReplyError: The server refused one; others of them may be stored.
            UnreachableError, AuthError: as `Wire.pipeline`.
        """
        versions, now_ms = self._versions(_needs(drafts))
        # The bytes before the payload, which most entries of a batch share.
        fronts: dict[tuple[bytes, int, tuple[bytes, ...]], bytes] = {}
        commands: list[Command] = []
        size = 0
        for key, version_key, encoding, payload, ttl_ms, tags in drafts:
            kind = (version_key, encoding, tags)
            front = fronts.get(kind)
            if front is None:
                carried = tuple((tag, versions[self._tag_prefix + tag]) for tag in tags)
                form = head(encoding, len(tags))[1]
                envelope = Envelope(form, versions[version_key], now_ms, b"", carried)
                front = fronts[kind] = envelope.pack()
            value = front + payload
            size += len(key) + len(value)
            commands.append((b"SET", key, value, b"PX", ttl_ms))
        for answer in self._wire.pipeline(commands):
            if isinstance(answer, ServerReplyError):
                raise answer
        return size

    def _versions(self, needs: Mapping[bytes, _Need]) -> tuple[dict[bytes, bytes], int]:
        """Return the versions that hold, by key, made where missing; and the server's time."""
        questions = [
            (key, need.ttl_ms + _VERSION_SLACK_MS, list(need.tags)[at : at + _TAGS_PER_SCRIPT])
            for key, need in needs.items()
            for at in range(0, len(need.tags) or 1, _TAGS_PER_SCRIPT)
        ]
        commands: list[Command] = []
        for key, ttl_ms, tags in questions:
            # Before it is read: a version about to expire would take the entries with it.
            version_keys = (key, *(self._tag_prefix + tag for tag in tags))
            commands += [("PEXPIRE", name, ttl_ms, "GT") for name in version_keys]
            random = os.urandom(_RANDOM_BYTES)
            script = ("EVAL", self._read.source, 1, key, self._tag_prefix, random, ttl_ms)
            commands.append((*script, *tags))
        answers = iter(self._wire.pipeline(commands))
        versions: dict[bytes, bytes] = {}
        now_ms = 0
        for key, _, tags in questions:
            for _ in range(1 + len(tags)):
                _checked(next(answers))
            version, tag_versions, now_ms = _reading(next(answers))
            versions[key] = version
            versions.update(
                (self._tag_prefix + tag, held) for tag, held in zip(tags, tag_versions, strict=True)
            )
        for key, version in versions.items():
            if not version:
                self._explain(key)
        return versions, now_ms

    def _explain(self, version_key: bytes) -> NoReturn:
        """Raise what keeps the server from making a version, which its script does not say."""
        # Needs all that a SET needs, and with nothing to write it changes nothing.
        self._wire.call("SETRANGE", version_key, 0, b"")
        raise ServerReplyError(
            f"{self._wire.endpoint.address} could not store {version_key.decode()}",
            hint="Check its memory and its role: valkeyctl health",
        )


def _needs(drafts: Sequence[Draft]) -> dict[bytes, _Need]:
    """Return, per version key, the longest life of the entries under it, and their tags."""
    needs: dict[bytes, _Need] = {}
    for draft in drafts:
        need = needs.get(draft.version_key)
        if need is None:
            needs[draft.version_key] = _Need(draft.ttl_ms, dict.fromkeys(draft.tags))
            continue
        need.tags.update(dict.fromkeys(draft.tags))
        if draft.ttl_ms > need.ttl_ms:
            needs[draft.version_key] = need._replace(ttl_ms=draft.ttl_ms)
    return needs


def _checked(answer: Answer) -> Answer:
    if isinstance(answer, ServerReplyError):
        raise answer
    return answer


def _reading(answer: Answer) -> tuple[bytes, list[bytes], int]:
    """Return version, tag versions and time from what the read script answers."""
    match _checked(answer):
        case [bytes() as version, list() as tags, int() as now_ms]:
            return version, [tag for tag in tags if isinstance(tag, bytes)], now_ms
    raise ServerReplyError(f"the read script answered {answer!r:.80}")
