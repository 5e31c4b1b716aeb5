"""The content of any key, read in pieces that neither the server nor we choke on.

A key that is read in several commands is watched meanwhile: what comes out is one state
of it, never a mix of two.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from valkeyctl.caching.wire import Wire
from valkeyctl.errors import ServerReplyError
from valkeyctl.ops.keyspace.lanes import Answer
from valkeyctl.ops.keyspace.transfer.exportlines import ExportLine
from valkeyctl.ops.keyspace.transfer.streamfacts import stream_facts
from valkeyctl.units import format_size

PIECE_BYTES = 2**20
"""What a value is cut into that is written on several lines."""
LARGEST_ELEMENT = 8 * 2**20
"""Largest element of a collection: it cannot be read in pieces, nor written on two lines."""

# A thousand of a sorted set of a million hold a busy server up for 8 ms.
_MOST_ELEMENTS = 500
_ATTEMPTS = 3


class UnreadableKeyError(ValueError):
    """A key that is left out of an export; the text is the reason."""


class Kept(NamedTuple):
    """A key that is no entry.

    Attributes:
        key: Its bytes.
        type: As TYPE names it.
        ttl_ms: As an `ExportLine` says.
        memory: Bytes that it takes, about.
    """

    key: bytes
    type: str
    ttl_ms: int | None
    memory: int


class Contents:
    """Reads keys of one server.

    Args:
        wire: An open connection, for nothing else meanwhile.
        fields_expire: Whether fields of hashes may have lives of their own.
        allow_blocking: Whether a value that only DUMP can read may be read however large
            it is.
    """

    def __init__(self, wire: Wire, *, fields_expire: bool, allow_blocking: bool) -> None:
        self._wire = wire
        self._fields_expire = fields_expire
        self._allow_blocking = allow_blocking

    def lines(self, kept: Kept) -> Iterator[ExportLine]:
        """Yield the lines of a key; none when it is gone.

        A line with ``void`` takes back those before it: the key has changed, and is read
        anew.

        Raises:
            UnreadableKeyError: It cannot be exported; what was yielded of it is void.
            UnreachableError, AuthError, ServerReplyError: as `Wire.call`.
        """
        name = identity(kept.key)
        for _ in range(_ATTEMPTS):
            self._wire.call("WATCH", kept.key)
            sent = 0
            held: ExportLine | None = None
            try:
                for piece in self._checked(kept):
                    if held is not None:
                        held.more = True
                        yield held
                        sent += 1
                    held = _named(piece, kept, name, sent + 1)
            except UnreadableKeyError:
                self._wire.call("UNWATCH")
                if sent:
                    yield _void(name, sent + 1)
                raise
            except GeneratorExit:
                self._wire.call("UNWATCH")  # whoever reads has seen enough
                raise
            except BaseException:
                self._wire.close()  # it still watches
                raise
            if self._unchanged():
                if held is not None:
                    held.part = sent and sent + 1
                    yield held
                return
            if sent:
                yield _void(name, sent + 1)
        raise UnreadableKeyError(f"it changed {_ATTEMPTS} times while it was read")

    def _checked(self, kept: Kept) -> Iterator[ExportLine]:
        """Yield what the lines of a key say of its content.

        Raises:
            UnreadableKeyError: It cannot be exported.
        """
        try:
            yield from self._pieces(kept)
        except ServerReplyError as error:
            if error.reply != "WRONGTYPE":
                raise
            raise UnreadableKeyError("its type changed while it was read") from error

    def _unchanged(self) -> bool:
        """Say whether the watched key is as it was, and watch it no more."""
        _, answer = self._wire.pipeline([("MULTI",), ("EXEC",)])
        if isinstance(answer, ServerReplyError):
            raise answer
        return answer is not None

    def _pieces(self, kept: Kept) -> Iterator[ExportLine]:
        match kept.type:
            case "string":
                return self._string(kept.key)
            case "list":
                return self._list(kept)
            case "hash":
                return self._scanned(kept, "HLEN", "HSCAN", 2)
            case "set":
                return self._scanned(kept, "SCARD", "SSCAN", 1)
            case "zset":
                return self._scanned(kept, "ZCARD", "ZSCAN", 2)
            case "stream":
                return self._stream(kept)
        return self._dumped(kept)

    def _string(self, key: bytes) -> Iterator[ExportLine]:
        size = _number(self._wire.call("STRLEN", key))
        for start in range(0, size, PIECE_BYTES):
            piece = self._wire.call("GETRANGE", key, start, start + PIECE_BYTES - 1)
            line = string_line(_bytes(piece), whole=size <= PIECE_BYTES)
            if not start and size > PIECE_BYTES:
                line.size = size
            yield line

    def _list(self, kept: Kept) -> Iterator[ExportLine]:
        size = _number(self._wire.call("LLEN", kept.key))
        count = _page(kept, size)
        for start in range(0, size, count):
            yield items_line(self._wire.call("LRANGE", kept.key, start, start + count - 1))

    def _scanned(self, kept: Kept, length: str, scan: str, width: int) -> Iterator[ExportLine]:
        count = _page(kept, _number(self._wire.call(length, kept.key)))
        cursor: Answer = b"0"
        while True:
            answer = self._wire.call(scan, kept.key, _bytes(cursor), "COUNT", count)
            match answer:
                case [bytes() as cursor, list() as items]:
                    pass
                case _:
                    raise ServerReplyError(f"{scan} answered {answer!r:.80}")
            # A small collection comes whole, whatever was asked for.
            for start in range(0, len(items), count * width):
                line = items_line(items[start : start + count * width])
                if self._fields_expire and scan == "HSCAN":
                    line.expires_ms = self._lives(kept.key, items[start : start + count * 2 : 2])
                yield line
            if cursor == b"0":
                return

    def _lives(self, key: bytes, fields: Sequence[Answer]) -> list[int] | None:
        """Return when the fields of a hash expire; None when none of them does."""
        names = [_bytes(field) for field in fields]
        answer = self._wire.call("HPEXPIRETIME", key, "FIELDS", len(names), *names)
        lives = [_number(life) for life in answer] if isinstance(answer, list) else []
        return lives if any(life >= 0 for life in lives) else None

    def _stream(self, kept: Kept) -> Iterator[ExportLine]:
        size = _number(self._wire.call("XLEN", kept.key))
        count = _page(kept, size)
        facts = stream_facts(self._wire, kept.key)
        if facts is None:
            return
        start = "-"
        while True:
            answer = self._wire.call("XRANGE", kept.key, start, "+", "COUNT", count)
            entries = [_entry(one) for one in answer] if isinstance(answer, list) else []
            if len(entries) < count:
                break
            yield entries_line(entries)
            start = f"({entries[-1][0].decode()}"
        last = entries_line(entries)
        last.stream = facts
        yield last

    def _dumped(self, kept: Kept) -> Iterator[ExportLine]:
        if kept.memory > LARGEST_ELEMENT and not self._allow_blocking:
            raise UnreadableKeyError(
                f"a value of type {kept.type} and {format_size(kept.memory)} can only be read at "
                "once, which holds the server up; --allow-blocking does it"
            )
        dump = _bytes(self._wire.call("DUMP", kept.key))
        for start in range(0, len(dump), PIECE_BYTES):
            yield ExportLine(dump=dump[start : start + PIECE_BYTES])


def whole_command(kind: str, key: bytes) -> tuple[str | bytes | int, ...] | None:
    """Return what reads a small collection of this type at once; None where nothing does."""
    match kind:
        case "hash":
            return ("HGETALL", key)
        case "set":
            return ("SMEMBERS", key)
        case "zset":
            return ("ZRANGE", key, 0, -1, "WITHSCORES")
        case "list":
            return ("LRANGE", key, 0, -1)
    return None


def identity(key: bytes) -> ExportLine:
    """Return a line that names *key* and says no more."""
    try:
        return ExportLine(key=key.decode())
    except UnicodeDecodeError:
        return ExportLine(key_b64=key)


def string_line(value: bytes, *, whole: bool) -> ExportLine:
    """Return a line of a string, or of a piece of one."""
    if whole:
        try:
            return ExportLine(text=value.decode())
        except UnicodeDecodeError:
            pass
    return ExportLine(data=value)


def items_line(items: Answer) -> ExportLine:
    """Return a line of the elements of a collection.

    Raises:
        UnreadableKeyError: One of them is too large.
    """
    members = [_bytes(item) for item in items] if isinstance(items, list) else []
    _check_sizes(members)
    try:
        return ExportLine(items=[member.decode() for member in members])
    except UnicodeDecodeError:
        return ExportLine(items_b64=members)


def entries_line(entries: list[list[bytes]]) -> ExportLine:
    """Return a line of entries of a stream.

    Raises:
        UnreadableKeyError: Something in one of them is too large.
    """
    for entry in entries:
        _check_sizes(entry)
    try:
        return ExportLine(entries=[[word.decode() for word in entry] for entry in entries])
    except UnicodeDecodeError:
        return ExportLine(entries_b64=entries)


def _check_sizes(members: Sequence[bytes]) -> None:
    # All of them: what is written on one line is read again as one line.
    if (size := sum(map(len, members))) > LARGEST_ELEMENT:
        largest = max(map(len, members))
        raise UnreadableKeyError(
            f"elements of {format_size(size)}, the largest of {format_size(largest)}, cannot be "
            f"written on one line; {format_size(LARGEST_ELEMENT)} can"
        )


def _named(piece: ExportLine, kept: Kept, name: ExportLine, number: int) -> ExportLine:
    """Return *piece* as line *number* of the key, which the first of them describes."""
    if number > 1:
        return msgspec.structs.replace(piece, key=name.key, key_b64=name.key_b64, part=number)
    return msgspec.structs.replace(
        piece,
        key=name.key,
        key_b64=name.key_b64,
        part=1,
        type=kept.type,
        ttl_ms=kept.ttl_ms,
    )


def _void(name: ExportLine, number: int) -> ExportLine:
    return msgspec.structs.replace(name, part=number, void=True)


def _page(kept: Kept, length: int) -> int:
    """Return how many of so many elements to read at once.

    Raises:
        UnreadableKeyError: They are so large that one at a time is too much.
    """
    average = kept.memory / max(1, length)
    if average > LARGEST_ELEMENT:
        raise UnreadableKeyError(
            f"its elements of about {format_size(average)} cannot be read in pieces; those of "
            f"{format_size(LARGEST_ELEMENT)} can"
        )
    return max(1, min(_MOST_ELEMENTS, int(PIECE_BYTES / max(1.0, average))))


def _entry(answer: Answer) -> list[bytes]:
    match answer:
        case [bytes() as number, list() as words]:
            return [number, *map(_bytes, words)]
    raise ServerReplyError(f"XRANGE answered {answer!r:.80}")


def _bytes(answer: Answer) -> bytes:
    return answer if isinstance(answer, bytes) else b""


def _number(answer: Answer) -> int:
    return answer if isinstance(answer, int) else 0
