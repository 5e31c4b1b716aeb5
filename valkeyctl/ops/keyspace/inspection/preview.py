"""A bounded look into a value of any type: few elements, few characters, no secret."""

from __future__ import annotations

import json
from dataclasses import dataclass

from valkeyctl.caching.replies import Reply
from valkeyctl.caching.wire import Wire
from valkeyctl.errors import ServerReplyError
from valkeyctl.ops.keyspace.display import show_text
from valkeyctl.ops.keyspace.inspection.mask import mask_named, mask_text, mask_value
from valkeyctl.units import format_size

ELEMENTS = 10
LINE_CHARACTERS = 200
TEXT_CHARACTERS = 2000
# What one look may read. Masking sees all of it before the text is cut, so that a
# secret cannot lose its telling name to the cut.
READ_BYTES = 64 * 1024
_ELEMENT_BYTES = 4 * 2**20
# A few elements of this size together may be a single large one among small ones.
_MIXED_BYTES = 16 * 2**20
_PACKED = frozenset({"listpack", "listpackex", "ziplist", "intset"})
_PACKED_BYTES = 256 * 1024


@dataclass(frozen=True)
class Collection:
    """What is known of a hash, list, set, sorted set or stream before it is read.

    Attributes:
        kind: As TYPE names it.
        encoding: How the server keeps it.
        length: Elements.
        memory: Bytes that all of them take.
        exact: Whether that counts each of them; else it is an estimate from some.
    """

    kind: str
    encoding: str
    length: int
    memory: int
    exact: bool

    @property
    def packed(self) -> bool:
        """Whether it is one piece of memory that the server walks from its beginning."""
        return self.encoding in _PACKED


@dataclass(frozen=True)
class Preview:
    """The beginning of a value, fit for a terminal.

    Attributes:
        lines: One per element of a collection; the lines of a text. Secrets are ``***``,
            control characters escaped.
        truncated: Whether there is more than is shown.
        note: Why nothing, or not more, is shown; None when there is nothing to say.
    """

    lines: tuple[str, ...] = ()
    truncated: bool = False
    note: str | None = None


def preview_text(text: str, *, whole: bool) -> Preview:
    """Return the beginning of *text*, masked; *whole* says that no text was cut off before."""
    return _beginning(mask_text(text), whole=whole)


def preview_value(value: object) -> Preview:
    """Return the beginning of a decoded value: text as it is, all else as JSON."""
    masked = mask_value(value)
    if isinstance(masked, str):
        return _beginning(masked, whole=True)
    return _beginning(json.dumps(masked, ensure_ascii=False), whole=True)


def preview_string(wire: Wire, key: bytes, length: int) -> Preview:
    """Return the beginning of a string of *length* bytes that is no entry of ours."""
    raw = wire.call("GETRANGE", key, 0, READ_BYTES - 1)
    return preview_text(_decoded(raw), whole=length <= READ_BYTES)


def preview_collection(wire: Wire, key: bytes, value: Collection) -> Preview:
    """Return up to ten elements of a hash, list, set, sorted set or stream.

    Elements that would hold the server up, by what all of them take, are left alone; of a
    hash, only those that are too large themselves.

    Raises:
        UnreachableError, AuthError, ServerReplyError: as `Wire.call`.
    """
    kind, length = value.kind, value.length
    if kind in ("hash", "set") and value.packed and value.memory > _PACKED_BYTES:
        # Whatever COUNT says, it comes as a whole.
        return Preview((), True, f"a {value.encoding} of {format_size(value.memory)} is not read")
    if kind == "hash":
        lines = _fields(wire, key)
        return Preview(tuple(lines), truncated=length > len(lines))
    average = value.memory / max(1, length)
    # What SCAN finds in one bucket comes together.
    most = _ELEMENT_BYTES / ELEMENTS if kind == "set" else _ELEMENT_BYTES
    if average > most or (value.exact and value.memory > _MIXED_BYTES and average > READ_BYTES):
        return Preview((), True, f"elements of about {format_size(average)} each are not read")
    count = max(1, min(ELEMENTS, int(_ELEMENT_BYTES / max(1.0, average))))
    match kind:
        case "list":
            lines = [_line(item) for item in _items(wire.call("LRANGE", key, 0, count - 1))]
        case "set":
            lines = [_line(item) for item in _scanned(wire, ("SSCAN", key), count)]
        case "zset":
            ranked = _items(wire.call("ZRANGE", key, 0, count - 1, "WITHSCORES"))
            members, scores = ranked[::2], ranked[1::2]
            lines = [
                f"{_line(member)} = {_decoded(score)}"
                for member, score in zip(members, scores, strict=True)
            ]
        case "stream":
            entries = _items(wire.call("XRANGE", key, "-", "+", "COUNT", count))
            lines = [_stream_line(entry) for entry in entries]
        case _:
            return Preview((), True, f"values of type {show_text(kind)} are not shown")
    return Preview(tuple(lines[:count]), truncated=length > len(lines[:count]))


def _fields(wire: Wire, key: bytes) -> list[str]:
    """Return some fields of a hash; each value is asked for its size before it is read."""
    try:
        names = _scanned(wire, ("HSCAN", key), ELEMENTS, "NOVALUES")[:ELEMENTS]
    except ServerReplyError as error:
        if error.reply != "ERR":
            raise
        # Older than NOVALUES (Valkey 8.0); HSCAN without it brings values of any size.
        names = _items(wire.call("HRANDFIELD", key, ELEMENTS))
    sizes = wire.pipeline([("HSTRLEN", key, _word(name)) for name in names])
    small = [isinstance(size, int) and size <= READ_BYTES for size in sizes]
    asked = [name for name, fits in zip(names, small, strict=True) if fits]
    values = iter(wire.pipeline([("HGET", key, _word(name)) for name in asked]))
    lines = []
    for name, size, fits in zip(names, sizes, small, strict=True):
        if isinstance(size, ServerReplyError):
            raise size
        value = next(values) if fits else None
        if isinstance(value, ServerReplyError):
            raise value
        if value is not None:
            lines.append(f"{_line(name)}: {_line(value, _decoded(name))}")
        elif isinstance(size, int) and not fits:
            lines.append(f"{_line(name)}: ({format_size(size)})")
    return lines


def _beginning(masked: str, *, whole: bool) -> Preview:
    cut = masked[:TEXT_CHARACTERS]
    return Preview(tuple(show_text(cut).split("\n")), truncated=not whole or cut != masked)


def _scanned(wire: Wire, scan: tuple[str, bytes], enough: int, *options: str) -> list[Reply]:
    """Return the first elements that HSCAN or SSCAN gives, past some empty pages."""
    elements: list[Reply] = []
    cursor: Reply = b"0"
    for _ in range(ELEMENTS):
        place = cursor if isinstance(cursor, bytes) else 0
        match wire.call(*scan, place, "COUNT", enough, *options):
            case [next_cursor, list() as page]:
                cursor = next_cursor
                elements += page
        if cursor == b"0" or len(elements) >= enough:
            break
    return elements


def _word(reply: Reply) -> bytes:
    return reply if isinstance(reply, bytes) else b""


def _items(reply: Reply) -> list[Reply]:
    return reply if isinstance(reply, list) else []


def _pairs(flat: list[Reply]) -> list[str]:
    return [
        f"{_line(name)}: {_line(value, _decoded(name))}"
        for name, value in zip(flat[::2], flat[1::2], strict=False)
    ]


def _stream_line(entry: Reply) -> str:
    match entry:
        case [bytes() as identifier, list() as fields]:
            return _cut(f"{_decoded(identifier)} " + ", ".join(_pairs(fields)))
    return ""


def _line(raw: Reply, name: str = "") -> str:
    """Return one element on one line, as far as a field called *name* may be shown."""
    text = mask_named(name, _decoded(raw))
    return _cut(show_text(text).replace("\n", "\\n").replace("\t", "\\t"))


def _cut(text: str) -> str:
    return text if len(text) <= LINE_CHARACTERS else text[: LINE_CHARACTERS - 3] + "..."


def _decoded(raw: Reply) -> str:
    """Return bytes as text; what is not UTF-8 stays as one surrogate a byte."""
    if isinstance(raw, bytes):
        return raw[:READ_BYTES].decode("utf-8", "surrogateescape")
    return str(raw)
