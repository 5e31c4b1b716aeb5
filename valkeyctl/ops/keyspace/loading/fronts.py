"""What stands before the payload of an entry, and the versions in it.

A batch asks for the versions that its entries are written under; those that are missing are
made, and all of them prolonged, so that no version ends before an entry under it.
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Iterable, Mapping, Sequence

from valkeyctl.caching.codec import VERSION_BYTES, head
from valkeyctl.caching.replies import Reply, Word
from valkeyctl.caching.wire import Wire, pack
from valkeyctl.errors import ServerReplyError
from valkeyctl.ops.keyspace.loading.drafts import Draft, Kind
from valkeyctl.ops.keyspace.loading.stretch import Stretch

Answer = Reply | ServerReplyError

_RANDOM_BYTES = 8
# A version is made or prolonged a moment before the entries under it are written, and
# shall not end before them.
_VERSION_SLACK_MS = 60_000
# As much of that may be used up by a batch that is written under the versions of one before.
_MOMENT_MS = _VERSION_SLACK_MS // 2
_REST = struct.Struct(">QIIH")  # created, fresh, cost, bytes of the tag block
_MOVED = frozenset({"MOVED", "ASK", "TRYAGAIN"})

_SET = b"*5\r\n$3\r\nSET\r\n$%d\r\n%b\r\n$%d\r\n%b%b\r\n$2\r\nPX\r\n$%d\r\n%b\r\n"
_SET_NEW = _SET.replace(b"*5", b"*6") + b"$2\r\nNX\r\n"


class Fronts:
    """What stands before the payloads of a batch.

    Args:
        versions: That hold, by key.
        lives: Milliseconds that each of them lives at least; 0 for ever.
        now_ms: The server's clock, ms since 1970.
    """

    def __init__(
        self, versions: Mapping[bytes, bytes], lives: Mapping[bytes, int], now_ms: int
    ) -> None:
        self._versions = versions
        self._lives = lives
        self._now_ms = now_ms
        self._ends: dict[Kind, tuple[bytes, bytes]] = {}

    def front(self, draft: Draft) -> bytes:
        """Return the bytes before the payload of *draft*."""
        life = draft.life
        begin, block = self._ends.get(draft.kind) or self._end(draft.kind)
        created_ms = life.created_ms or self._now_ms
        return begin + _REST.pack(created_ms, life.fresh_ms, life.cost_ms, len(block)) + block

    def packed(self, drafts: Sequence[Draft], *, replace: bool) -> tuple[bytes, int]:
        """Return the commands that store *drafts*, and the bytes of keys and values in them.

        Unless *replace*, an entry is not stored where there is anything.
        """
        if isinstance(drafts, Stretch) and drafts.replace is replace:
            ends = self._ends
            beginnings = {
                kind.encoding: (ends.get(kind) or self._end(kind))[0] for kind in drafts.kinds
            }
            return drafts.packed(beginnings), drafts.bytes
        commands: list[bytes] = []
        append = commands.append
        size = 0
        form = _SET if replace else _SET_NEW
        ends, now_ms, rest = self._ends, self._now_ms, _REST.pack
        last_kind = last_life = None
        front = left = b""
        for draft in drafts:
            key, data, life, kind = draft.key, draft.data, draft.life, draft.kind
            # Entries of lines of JSON have their lives, and so their fronts, in common.
            if life is not last_life or kind is not last_kind:
                last_kind, last_life = kind, life
                begin, block = ends.get(kind) or self._end(kind)
                # As `front`, without a call for each of a million.
                created_ms = life.created_ms or now_ms
                front = begin + rest(created_ms, life.fresh_ms, life.cost_ms, len(block)) + block
                left = b"%d" % life.ttl_ms
            length = len(front) + len(data)
            size += len(key) + length
            if left != b"0":
                append(form % (len(key), key, length, front, data, len(left), left))
            else:
                append(_set_for_ever(key, front + data, replace=replace))
        return b"".join(commands), size

    def cover(self, lives: Mapping[bytes, int]) -> bool:
        """Say whether the versions do for a batch a moment later; *lives* as `lives_of` it."""
        for key, life_ms in lives.items():
            known_ms = self._lives.get(key)
            if known_ms is None or (known_ms and not 0 < life_ms <= known_ms + _MOMENT_MS):
                return False
        return True

    def holds(self, versions: Mapping[bytes, Answer], kind: Kind) -> bool:
        """Say whether entries of *kind* are still valid, if *versions* are what holds now."""
        return all(versions.get(key) == self._versions[key] for key in kind.version_keys)

    def _end(self, kind: Kind) -> tuple[bytes, bytes]:
        """Return what stands before, and behind, the times of entries of *kind*."""
        versions = [self._versions[key] for key in kind.version_keys]
        block = b"".join(
            bytes((len(tag),)) + tag + version
            for tag, version in zip(kind.tags, versions[1:], strict=True)
        )
        begin = head(kind.encoding, len(kind.tags), kind.flags) + versions[0]
        self._ends[kind] = (begin, block)
        return begin, block


class Question:
    """Which versions hold for a batch, asked of a server that has not answered yet.

    Args:
        wire: Nothing else may be asked on it until the answer is taken.
        lives: As `lives_of` the batch.

    Raises:
        UnreachableError: as `Wire.post`.
    """

    def __init__(self, wire: Wire, lives: Mapping[bytes, int]) -> None:
        self._wire = wire
        self._lives = lives
        commands: list[tuple[Word, ...]] = [("TIME",)]
        for key, life_ms in self._lives.items():
            # Prolonged before it is read: one about to expire would take the entries with it.
            if life_ms:
                commands.append(("PEXPIRE", key, life_ms, "GT"))
            else:
                commands.append(("PERSIST", key))
            commands.append(("GET", key))
        wire.post(pack(commands), len(commands))

    def answer(self) -> Fronts:
        """Return what the entries of the batch begin with.

        Raises:
            ServerReplyError: The server refuses to make a version.
            UnreachableError, AuthError: as `Wire.collect`.
        """
        time, *answers = (checked(answer) for answer in self._wire.collect())
        micros = _micros(time)
        versions: dict[bytes, bytes] = {}
        lacking: list[tuple[bytes, tuple[Word, ...]]] = []
        for key, held in zip(self._lives, answers[1::2], strict=True):
            # Anything but 16 bytes would shift the layout of the entries written under it.
            if isinstance(held, bytes) and len(held) == VERSION_BYTES:
                versions[key] = held
                continue
            versions[key] = made = micros.to_bytes(8, "big") + os.urandom(_RANDOM_BYTES)
            life_ms = self._lives[key]
            words: tuple[Word, ...] = ("PX", life_ms) if life_ms else ()
            # Unless somebody else makes one at the same time; one that is none is replaced.
            only_first = () if isinstance(held, bytes) else ("NX", "GET")
            lacking.append((key, ("SET", key, made, *words, *only_first)))
        made_now = self._wire.pipeline(command for _, command in lacking) if lacking else []
        for (key, _), answer in zip(lacking, made_now, strict=True):
            theirs = checked(answer)
            if isinstance(theirs, bytes) and len(theirs) == VERSION_BYTES:
                versions[key] = theirs
        return Fronts(versions, self._lives, micros // 1000)


def _set_for_ever(key: bytes, value: bytes, *, replace: bool) -> bytes:
    return pack([("SET", key, value) if replace else ("SET", key, value, "NX")])


def lives_of(drafts: Iterable[Draft]) -> dict[bytes, int]:
    """Return, per version key, how many ms the entries under it live at most, and some more.

    0 for ever.
    """
    longest: dict[Kind, float] = {}
    if isinstance(drafts, Stretch):
        longest = dict.fromkeys(drafts.kinds, drafts.longest_ms)
    else:
        for draft in drafts:
            life_ms = draft.life.ttl_ms or math.inf
            if life_ms > longest.get(draft.kind, 0):
                longest[draft.kind] = life_ms
    lives: dict[bytes, float] = {}
    for kind, life_ms in longest.items():
        for key in kind.version_keys:
            lives[key] = max(lives.get(key, 0), life_ms + _VERSION_SLACK_MS)
    return {key: 0 if life_ms == math.inf else int(life_ms) for key, life_ms in lives.items()}


def checked(answer: Answer) -> Reply:
    """Return *answer* if it is none of an error.

    Raises:
        ServerReplyError: It is one.
    """
    if not isinstance(answer, ServerReplyError):
        return answer
    if answer.reply in _MOVED:
        raise ServerReplyError(
            f"the Cluster moved slots meanwhile ({answer})",
            reply=answer.reply,
            hint="Run it again: it asks anew who serves which slot",
        ) from answer
    raise answer


def _micros(time: Reply) -> int:
    """Return the answer to TIME in microseconds since 1970."""
    match time:
        case [bytes() as seconds, bytes() as micros]:
            return int(seconds) * 1_000_000 + int(micros)
    raise ServerReplyError(f"TIME was answered with {time!r:.80}")
