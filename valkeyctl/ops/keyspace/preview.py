"""A bounded look into a value of any type: few elements, few characters, no secret."""

from __future__ import annotations

import json
from dataclasses import dataclass

from valkeyctl.caching.replies import Reply
from valkeyctl.caching.wire import Wire
from valkeyctl.ops.keyspace.display import show_text
from valkeyctl.ops.keyspace.mask import mask_named, mask_text, mask_value
from valkeyctl.units import format_size

ELEMENTS = 10
LINE_CHARACTERS = 200
TEXT_CHARACTERS = 2000
# What one look may read. Masking sees all of it before the text is cut, so that a
# secret cannot lose its telling name to the cut.
READ_BYTES = 64 * 1024
_ELEMENT_BYTES = 4 * 2**20


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


def preview_collection(wire: Wire, key: bytes, kind: str, length: int, memory: int) -> Preview:
    """Return up to ten elements of a hash, list, set, sorted set or stream.

    Elements that are too large to be read, by the *memory* that all of them take, are
    left alone. *kind* is what TYPE names the value, *length* the number of its elements.
    """
    average = memory / max(1, length)
    if average > _ELEMENT_BYTES:
        return Preview((), True, f"elements of about {format_size(average)} each are not read")
    count = max(1, min(ELEMENTS, int(_ELEMENT_BYTES / max(1.0, average))))
    match kind:
        case "hash":
            lines = _pairs(_scanned(wire, "HSCAN", key, count * 2))
        case "list":
            lines = [_line(item) for item in _items(wire.call("LRANGE", key, 0, count - 1))]
        case "set":
            lines = [_line(item) for item in _scanned(wire, "SSCAN", key, count)]
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


def _beginning(masked: str, *, whole: bool) -> Preview:
    cut = masked[:TEXT_CHARACTERS]
    return Preview(tuple(show_text(cut).split("\n")), truncated=not whole or cut != masked)


def _scanned(wire: Wire, command: str, key: bytes, enough: int) -> list[Reply]:
    """Return the first elements that HSCAN or SSCAN gives, past some empty pages."""
    elements: list[Reply] = []
    cursor: Reply = b"0"
    for _ in range(ELEMENTS):
        match wire.call(
            command, key, cursor if isinstance(cursor, bytes) else 0, "COUNT", ELEMENTS
        ):
            case [next_cursor, list() as page]:
                cursor = next_cursor
                elements += page
        if cursor == b"0" or len(elements) >= enough:
            break
    return elements


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
