"""What a batch of an export leaves open: long strings, and keys of other types."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import msgspec

from valkeyctl.caching.codec import Envelope, UndecodableError
from valkeyctl.caching.wire import Wire
from valkeyctl.errors import ServerReplyError
from valkeyctl.ops.keyspace.lanes import Answer, Command, Node
from valkeyctl.ops.keyspace.transfer.contents import (
    PIECE_BYTES,
    Contents,
    Kept,
    UnreadableKeyError,
    identity,
    items_line,
    string_line,
    whole_command,
)
from valkeyctl.ops.keyspace.transfer.entrylines import EntryLines
from valkeyctl.ops.keyspace.transfer.exportlines import ENCODING_NAMES, ExportLine, write_line
from valkeyctl.ops.keyspace.transfer.exportsink import ExportSink
from valkeyctl.ops.keyspace.transfer.skips import Skips

# What is read of one collection at once, and of several keys together.
_SMALL_BYTES = 64 * 1024
_TOGETHER_BYTES = 4 * 2**20
# More than a header with the longest tags.
_HEAD_BYTES = 8 * 1024

Item = TypeVar("Item")
Found = tuple[bytes, int]
"""A key, and when it expires, in ms since 1970; -1 for never."""


class Remainder:
    """Reads what is left of one primary's keys, on a connection of its own, and writes it.

    Args:
        node: The primary.
        lines: Takes what turns out to be an entry.
        sink: Takes the lines of everything else.
        exported_ms: The export's time.
        skips: Takes the keys that cannot be exported.
        allow_blocking: As `Contents` says.

    Attributes:
        keys: Keys written that are no entries.
        entries: Entries written that were too long for one line.
    """

    def __init__(
        self,
        node: Node,
        lines: EntryLines,
        sink: ExportSink,
        *,
        exported_ms: int,
        skips: Skips,
        allow_blocking: bool,
    ) -> None:
        self.keys = 0
        self.entries = 0
        self._lines = lines
        self._sink = sink
        self._exported_ms = exported_ms
        self._skips = skips
        self._wire = Wire(node.endpoint)
        self._wire.open()
        self._fields_expire = _fields_expire(self._wire, node.endpoint.db)
        self._contents = Contents(
            self._wire, fields_expire=self._fields_expire, allow_blocking=allow_blocking
        )

    def close(self) -> None:
        """Close the connection."""
        self._wire.close()

    def versions(self, keys: Sequence[bytes]) -> dict[bytes, Answer]:
        """Return what version keys hold now."""
        answers = self._wire.pipeline([("GET", key) for key in keys])
        return dict(zip(keys, answers, strict=True))

    def strings(self, found: Iterable[tuple[Found, bytes]]) -> None:
        """Write short strings that are no entries."""
        for one, value in found:
            line = string_line(value, whole=True)
            self._write(Kept(one[0], "string", self._life(one), len(value)), line)

    def long(self, found: Sequence[Found]) -> list[Found]:
        """Read long strings; return those that are no strings any more."""
        sizes = self._wire.pipeline([("STRLEN", key) for key, _ in found])
        others = []
        measured = []
        for one, size in zip(found, sizes, strict=True):
            if isinstance(size, int):
                measured.append((one, size))
            else:
                check_wrong_type(size)
                others.append(one)
        whole = [(one, size) for one, size in measured if size <= PIECE_BYTES]
        for group in _groups(whole, lambda pair: pair[1]):
            answers = self._wire.pipeline([("GET", key) for (key, _), _ in group])
            for (one, _), value in zip(group, answers, strict=True):
                if isinstance(value, bytes):
                    if not self._lines.add(one[0], value, one[1]):
                        self.strings([(one, value)])
                elif value is not None:
                    check_wrong_type(value)
                    others.append(one)
        for one, size in measured:
            if size > PIECE_BYTES:
                self._in_pieces(one, size)
        return others

    def others(self, found: Sequence[Found]) -> None:
        """Read and write keys of any type."""
        small = []
        for kept in self._kinds(found):
            expiring = kept.type == "hash" and self._fields_expire
            if kept.memory > _SMALL_BYTES or expiring or whole_command(kept.type, b"") is None:
                self._keep(kept)
            else:
                small.append(kept)
        for group in _groups(small, lambda kept: kept.memory):
            commands = [whole_command(kept.type, kept.key) or () for kept in group]
            for kept, items in zip(group, self._wire.pipeline(commands), strict=True):
                if isinstance(items, ServerReplyError):
                    check_wrong_type(items)
                    self._keep(kept)
                elif items:  # an empty one is gone
                    self._write(kept, items_line(items))

    def _kinds(self, found: Sequence[Found]) -> Iterator[Kept]:
        commands: list[Command] = []
        for key, _ in found:
            commands += (("TYPE", key), ("MEMORY", "USAGE", key))
        answers = self._wire.pipeline(commands)
        for one, kind, memory in zip(found, answers[::2], answers[1::2], strict=True):
            for answer in (kind, memory):
                if isinstance(answer, ServerReplyError):
                    raise answer
            # One that has just gone is of the type "none", and takes nil.
            if isinstance(kind, bytes) and isinstance(memory, int) and kind != b"none":
                yield Kept(one[0], kind.decode(errors="replace"), self._life(one), memory)

    def _keep(self, kept: Kept) -> None:
        """Write a key whose content takes several commands."""
        whole = False
        try:
            for line in self._contents.lines(kept):
                self._sink.write([write_line(line)])
                whole = not line.more and not line.void
        except UnreadableKeyError as error:
            self._skips.add(kept.key, str(error))
            return
        self.keys += whole

    def _in_pieces(self, found: Found, size: int) -> None:
        """Write a string that takes several lines."""
        key = found[0]
        kept = Kept(key, "string", self._life(found), size)
        place = self._lines.space(key)
        envelope = self._envelope(key) if place else None
        if place is None or envelope is None:
            self._keep(kept)
            return
        if not self._lines.valid(place[0], envelope, self.versions):
            self._lines.stale += 1
            return
        name = self._lines.identity(*place)
        try:
            for line in self._contents.lines(kept):
                self._sink.write([write_line(_of_entry(name, line))])
                self.entries += not line.more and not line.void
        except UnreadableKeyError as error:
            self._skips.add(key, str(error))

    def _envelope(self, key: bytes) -> Envelope | None:
        """Return what the beginning of a string says, when it is an entry."""
        beginning = self._wire.call("GETRANGE", key, 0, _HEAD_BYTES - 1)
        try:
            return Envelope.unpack(beginning if isinstance(beginning, bytes) else b"")
        except UndecodableError:
            return None

    def _write(self, kept: Kept, line: ExportLine) -> None:
        """Write a key that takes one line."""
        name = identity(kept.key)
        line.key, line.key_b64 = name.key, name.key_b64
        line.type, line.ttl_ms = kept.type, kept.ttl_ms
        self._sink.write([write_line(line)])
        self.keys += 1

    def _life(self, found: Found) -> int | None:
        # One that lives is above the export's time, but for the clocks of several nodes.
        return None if found[1] < 0 else max(1, found[1] - self._exported_ms)


def _of_entry(name: ExportLine, line: ExportLine) -> ExportLine:
    """Return the line of a piece of an entry, for that of a piece of a string.

    Raises:
        UnreadableKeyError: The string is no entry any more.
    """
    line = msgspec.structs.replace(
        line, key=None, key_b64=None, app=name.app, namespace=name.namespace, id=name.id, type=""
    )
    if line.part > 1 or line.void:
        return line
    try:
        envelope = Envelope.unpack(line.data or b"")
    except UndecodableError as error:
        raise UnreadableKeyError("it was replaced while it was read") from error
    if line.size:
        line.size -= len(line.data or b"") - len(envelope.payload)
    line.data = envelope.payload
    line.encoding = ENCODING_NAMES[envelope.encoding]
    line.flags = envelope.flags
    line.created_ms = envelope.created_ms
    line.fresh_ms = envelope.fresh_ms
    line.cost_ms = envelope.cost_ms
    line.tags = tuple(tag.decode() for tag, _ in envelope.tags)
    return line


def check_wrong_type(answer: Answer) -> None:
    """Make sure that *answer* only says that a key is of another type.

    Raises:
        ServerReplyError: It says something else.
    """
    if isinstance(answer, ServerReplyError) and answer.reply == "WRONGTYPE":
        return
    raise unexpected("a key", answer)


def unexpected(what: str, answer: Answer) -> ServerReplyError:
    """Return the failure that *answer* to *what* is."""
    if isinstance(answer, ServerReplyError):
        return answer
    return ServerReplyError(f"{what} was answered with {answer!r:.80}")


def _groups(found: Iterable[Item], size: Callable[[Item], int]) -> Iterator[list[Item]]:
    """Yield *found* in groups that fit into memory together."""
    group: list[Item] = []
    room = _TOGETHER_BYTES
    for one in found:
        if group and size(one) > room:
            yield group
            group, room = [], _TOGETHER_BYTES
        group.append(one)
        room -= size(one)
    if group:
        yield group


def _fields_expire(wire: Wire, db: int) -> bool:
    """Say whether fields of hashes expire there: on Valkey 9 and later, and seldom even so."""
    said = wire.info("keyspace").get(f"db{db}", "")
    counts = dict(part.split("=", 1) for part in said.split(",") if "=" in part)
    return counts.get("keys_with_volatile_items", "0") != "0"
