"""What a flush deletes of the keys that its walk finds, and how it is counted."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple, Protocol

from valkeyctl.caching.driver.slots import slot_of
from valkeyctl.caching.keys import KeyScheme
from valkeyctl.errors import ServerReplyError
from valkeyctl.ops.keyspace.pace import Pace
from valkeyctl.ops.keyspace.removal.selection import Selection, literal_head
from valkeyctl.ops.keyspace.scan import Answer, Command, Walker, escape_glob

# One command deletes at most so many keys: a fraction of a millisecond of the server's.
_AT_ONCE = 256


class Fact(NamedTuple):
    """What is known of a key before it is deleted.

    Attributes:
        key: As the server stores it.
        memory: Bytes by MEMORY USAGE.
        pttl: Milliseconds that it still lives; -1 for ever.
    """

    key: bytes
    memory: int
    pttl: int


class Doomed(Protocol):
    """Decides about keys, and says how to delete those it has decided on.

    Attributes:
        glob: What the server may filter by; it lets through all that is meant, and little else.
        rehearsal: Commands that change nothing and need what the deletion needs of rights.
    """

    glob: bytes
    rehearsal: tuple[Command, ...]

    def commands(self, keys: list[bytes]) -> list[Command]:
        """Return what deletes those of *keys* that are meant."""

    def deleted(self, keys: list[bytes], answers: list[Answer]) -> int:
        """Return how many were deleted by the answers to `commands` for *keys*.

        Raises:
            ServerReplyError: The server refused one.
        """

    def facts(self, walker: Walker, pace: Pace | None) -> Iterator[tuple[list[Fact], float]]:
        """Yield what is meant, page by page, each with the fraction of the keyspace seen.

        Raises:
            UnreachableError, AuthError, ServerReplyError: as `Walker.survey`.
        """


def doomed_by(selection: Selection, *, has_slots: bool) -> Doomed:
    """Return what a flush of *selection* deletes.

    Args:
        selection: What is meant.
        has_slots: Whether a command may name keys of one slot only.
    """
    if selection.namespace is not None:
        return _OfNamespace(selection.app, selection.namespace, has_slots=has_slots)
    if selection.tag is not None:
        return _WithTag(selection.app, selection.tag, has_slots=has_slots)
    return _LikePattern(selection, has_slots=has_slots)


class _Unlinked:
    """Keys that are deleted by UNLINK, being known by their names."""

    glob: bytes
    rehearsal: tuple[Command, ...]

    def __init__(self, head: bytes, *, has_slots: bool) -> None:
        self._has_slots = has_slots
        self.rehearsal = (("SCAN", 0, "COUNT", 1), ("UNLINK", _nobodys_key(head)))

    def _meant(self, keys: list[bytes]) -> list[bytes]:
        """Return those of *keys* that are counted."""
        raise NotImplementedError

    def commands(self, keys: list[bytes]) -> list[Command]:
        """As `Doomed.commands`."""
        return self._unlinks(self._meant(keys))

    def deleted(self, keys: list[bytes], answers: list[Answer]) -> int:
        """As `Doomed.deleted`."""
        del keys
        return _sum(answers)

    def facts(self, walker: Walker, pace: Pace | None) -> Iterator[tuple[list[Fact], float]]:
        """As `Doomed.facts`."""
        for page in walker.survey(match=self.glob, pace=pace):
            meant = set(self._meant(page.keys))
            facts = map(Fact, page.keys, page.memory, page.pttl)
            yield [fact for fact in facts if fact.key in meant], page.visited

    def _unlinks(self, keys: list[bytes]) -> list[Command]:
        return [("UNLINK", *group) for group in _grouped(keys, has_slots=self._has_slots)]


class _OfNamespace(_Unlinked):
    """The entries of a namespace, and uncounted the leases to load them."""

    def __init__(self, app: str, namespace: str, *, has_slots: bool) -> None:
        self._entries = f"{app}:{namespace}:".encode()
        super().__init__(self._entries, has_slots=has_slots)
        self._leases = f"{app}:~load:{namespace}:".encode()
        self.glob = _either(self._entries, self._leases)

    def _meant(self, keys: list[bytes]) -> list[bytes]:
        # The glob has narrowed them already; this is what makes it a promise.
        prefix = self._entries
        return [key for key in keys if key.startswith(prefix)]

    def commands(self, keys: list[bytes]) -> list[Command]:
        """Return what deletes the entries, then what deletes the leases."""
        meant = self._meant(keys)
        leases = self._unlinks_of_leases(keys) if len(meant) < len(keys) else []
        return self._unlinks(meant) + leases

    def deleted(self, keys: list[bytes], answers: list[Answer]) -> int:
        """As `Doomed.deleted`, leases left out."""
        of_leases = len(self._unlinks_of_leases(keys))
        return _sum(answers) - _sum(answers[len(answers) - of_leases :])

    def _unlinks_of_leases(self, keys: list[bytes]) -> list[Command]:
        prefix = self._leases
        return self._unlinks([key for key in keys if key.startswith(prefix)])


class _LikePattern(_Unlinked):
    """All keys that a glob matches; versions and the like only where it names them."""

    def __init__(self, selection: Selection, *, has_slots: bool) -> None:
        self.glob = selection.pattern or b""
        super().__init__(literal_head(self.glob), has_slots=has_slots)
        self._control = selection.control

    def _meant(self, keys: list[bytes]) -> list[bytes]:
        if self._control:
            return keys
        return [key for key in keys if not key.partition(b":")[2].startswith(b"~")]


class _WithTag:
    """The entries of an application whose header names a tag."""

    def __init__(self, app: str, tag: str, *, has_slots: bool) -> None:
        self._tag = KeyScheme(app).tag_word(tag)
        self._has_slots = has_slots
        self.glob = escape_glob(f"{app}:".encode()) + b"[^~]*"
        nobodys = _nobodys_key(f"{app}:".encode())
        self.rehearsal: tuple[Command, ...] = (
            ("SCAN", 0, "COUNT", 1),
            ("UNLINK", nobodys),
            ("EVAL", _tagged(), 1, nobodys, self._tag, "unlink"),
        )

    def commands(self, keys: list[bytes]) -> list[Command]:
        """As `Doomed.commands`."""
        return self._scripts(keys, "unlink")

    def deleted(self, keys: list[bytes], answers: list[Answer]) -> int:
        """As `Doomed.deleted`."""
        del keys
        return _sum(answers)

    def facts(self, walker: Walker, pace: Pace | None) -> Iterator[tuple[list[Fact], float]]:
        """As `Doomed.facts`."""
        look = partial(self._scripts, what="look")
        for batch in walker.walk(match=self.glob, follow=look, pace=pace):
            found: list[Fact] = []
            for answer in batch.answers:
                match answer:
                    case ServerReplyError():
                        raise answer
                    case list() as flat:
                        found += _facts(flat)
            yield found, batch.visited

    def _scripts(self, keys: list[bytes], what: str) -> list[Command]:
        return [
            ("EVAL", _tagged(), len(group), *group, self._tag, what)
            for group in _grouped(keys, has_slots=self._has_slots)
        ]


def _nobodys_key(head: bytes) -> bytes:
    """Return a key that begins with *head*, where the user's rights are, and is not there.

    No id has a control character, and nobody else has drawn this one.
    """
    return head + b"\x00" + os.urandom(8).hex().encode()


@cache
def _tagged() -> bytes:
    return Path(__file__).with_name("scripts").joinpath("tagged.lua").read_bytes()


def _facts(flat: list[object]) -> Iterator[Fact]:
    for triple in zip(flat[::3], flat[1::3], flat[2::3], strict=True):
        match triple:
            case [bytes() as key, int() as memory, int() as pttl]:
                yield Fact(key, memory, pttl)


def _sum(answers: Iterable[Answer]) -> int:
    total = 0
    for answer in answers:
        if isinstance(answer, ServerReplyError):
            raise answer
        if not isinstance(answer, int):
            raise ServerReplyError(f"a delete was answered with {answer!r:.80}, which is no count")
        total += answer
    return total


def _either(one: bytes, other: bytes) -> bytes:
    """Return a glob for keys that begin with *one* or *other*, and few more.

    Byte by byte what either of them has there, as far as the shorter goes: the server
    leaves most other keys at the first bytes, where ``*`` would make it search them all.
    """
    glob = b""
    for pair in zip(one, other, strict=False):
        if pair[0] == pair[1]:
            glob += escape_glob(bytes(pair[:1]))
        else:
            # Of what a name may have, only the hyphen means more than itself in a set.
            glob += b"[%b]" % bytes(pair).replace(b"-", b"\\-")
    return glob + b"*"


def _grouped(keys: list[bytes], *, has_slots: bool) -> Iterator[list[bytes]]:
    """Yield *keys* in groups that one command may name, in their order within a slot."""
    if not has_slots:
        for at in range(0, len(keys), _AT_ONCE):
            yield keys[at : at + _AT_ONCE]
        return
    slots: dict[int, list[bytes]] = {}
    for key in keys:
        slots.setdefault(slot_of(key), []).append(key)
    for group in slots.values():
        yield from _grouped(group, has_slots=False)
