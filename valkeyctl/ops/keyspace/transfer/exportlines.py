"""The lines of an export file: what each of them says, and how it is written.

::

    {"valkeyctl_export":1,"app":"shop","namespace":null,"exported_at":"...","server":"..."}
    {"namespace":"metadata","id":"gpt-x","value":{"n":1},"created_ms":...,"ttl_ms":...}
    {"key":"shop:queue","type":"list","items":["a","b"]}
    {"end":true,"lines":2,"entry_count":1,"key_count":1}

docs/reference/export-format.md describes every field.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec

from valkeyctl.caching.codec import ALWAYS_FRESH, JSON, TEXT
from valkeyctl.errors import UsageError

FORMAT = 1
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_FIRST_WORD = b'"valkeyctl_export"'
LONGEST_LIFE_MS = 100 * 365 * 86_400_000

_Ms = Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]
_LifeMs = Annotated[int, msgspec.Meta(ge=1, le=LONGEST_LIFE_MS)]
_TimeMs = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
_Count = Annotated[int, msgspec.Meta(ge=0)]
Encoding = Literal["bytes", "str", "json", "msgpack"]
ENCODING_NAMES: tuple[Encoding, ...] = ("bytes", "str", "json", "msgpack")
"""`codec.ENCODINGS`, as lines have them."""


class ExportHeader(msgspec.Struct, frozen=True):
    """The first line.

    Attributes:
        valkeyctl_export: Number of the format.
        app: The application whose keys these are; None for those of every one.
        namespace: The namespace that was exported; None for all.
        exported_at: When it began, by the server's clock, as RFC 3339 in UTC.
        server: What the keys were on, such as ``valkey 9.1.2``.
        shards: 64 when they came from a Cluster, else 1.
    """

    valkeyctl_export: int
    app: str | None
    namespace: str | None
    exported_at: str
    server: str = ""
    shards: Literal[1, 64] = 1

    @property
    def exported_ms(self) -> int:
        """When it began, in ms since 1970."""
        return round(datetime.fromisoformat(self.exported_at).timestamp() * 1000)


class ExportLine(msgspec.Struct, gc=False, forbid_unknown_fields=True, omit_defaults=True):
    """A line after the first: an entry of ours, another key, a part of one, or the end.

    Attributes:
        app: Of an entry, where the header names none.
        namespace: Of an entry; empty for everything else. Not yet checked, nor is id.
        id: Of an entry.
        key: Of a key that is no entry, where it is text.
        key_b64: Of one that is not text.
        type: What TYPE names such a key.
        value: Of an entry that is JSON or text, as it lies there.
        data: Payload of any other entry; bytes of a string that is not text.
        encoding: How the value in *data* is encoded.
        flags: What was done to it then; see `codec`.
        text: A string that is text.
        items: Of a list, set, hash (field, value, field...), sorted set (member, score...).
        items_b64: The same, where one of them is not text.
        entries: Of a stream, each one its id, then field, value, field...
        entries_b64: The same, where something in them is not text.
        expires_ms: Of the fields of a hash in the same order, since 1970; -1 for never.
        stream: What a stream says about itself.
        dump: What DUMP gives for a type that is not the server's own.
        created_ms: When an entry was stored, in ms since 1970.
        fresh_ms: As long after that it is fresh.
        cost_ms: As long as loading its value took.
        ttl_ms: As long after the header's time the key lives; None for ever.
        tags: Of an entry.
        part: Number of this line among those of one key, from 1; 0 where it has only one.
        more: Whether another part follows.
        size: On the first of several parts of a string or an entry, the bytes of all.
        void: Whether the parts so far are worthless: the key changed while it was read.
        end: Whether this is the last line.
        lines: Between the first line and the last.
        entry_count: Entries in them.
        key_count: Other keys in them.
    """

    app: str | None = None
    namespace: str = ""
    id: str = ""
    value: msgspec.Raw = msgspec.Raw()
    created_ms: _TimeMs = 0
    fresh_ms: _Ms = ALWAYS_FRESH
    cost_ms: _Ms = 0
    ttl_ms: _LifeMs | None = None
    tags: tuple[str, ...] = ()
    data: bytes | None = None
    encoding: Encoding | None = None
    flags: Annotated[int, msgspec.Meta(ge=0, le=255)] = 0
    key: str | None = None
    key_b64: bytes | None = None
    type: str = ""
    text: str | None = None
    items: list[str] | None = None
    items_b64: list[bytes] | None = None
    entries: list[list[str]] | None = None
    entries_b64: list[list[bytes]] | None = None
    expires_ms: list[int] | None = None
    stream: StreamFacts | None = None
    dump: bytes | None = None
    part: _Count = 0
    more: bool = False
    size: _Count = msgspec.field(name="bytes", default=0)
    void: bool = False
    end: bool = False
    lines: _Count = 0
    entry_count: _Count = 0
    key_count: _Count = 0


class StreamGroup(msgspec.Struct, frozen=True):
    """A consumer group of a stream.

    Attributes:
        name_b64: Its name, which may be any bytes.
        last_id: Last entry that was delivered.
        entries_read: As the server counts them; None where it does not know.
        consumers: Names of its consumers, in base64.
        pending: Each delivery that was not acknowledged: id of the entry, place in
            *consumers*, ms since 1970 of the delivery, number of deliveries.
    """

    name_b64: bytes
    last_id: str
    entries_read: int | None = None
    consumers: tuple[bytes, ...] = ()
    pending: tuple[tuple[str, int, int, int], ...] = ()


class StreamFacts(msgspec.Struct, frozen=True):
    """What a stream says about itself, beside its entries.

    Attributes:
        last_id: Id that the next entry must be above.
        entries_added: Ever.
        max_deleted_id: Highest id that was deleted.
        groups: Its consumer groups.
    """

    last_id: str
    entries_added: int
    max_deleted_id: str
    groups: tuple[StreamGroup, ...] = ()


class BadLine(str):
    """Why a line says nothing; in the place of its `ExportLine`."""

    __slots__ = ()


def read_header(line: bytes) -> ExportHeader | None:
    """Return what the first line of a file says, or None when it is no export's.

    Raises:
        UsageError: It is the first line of an export that this valkeyctl cannot read.
    """
    line = line.removeprefix(_BYTE_ORDER_MARK)
    if _FIRST_WORD not in line[:200]:
        return None
    try:
        number = msgspec.json.decode(line, type=_Numbered).valkeyctl_export
        if number == FORMAT:
            header = msgspec.json.decode(line, type=ExportHeader)
            _ = header.exported_ms
            return header
    except (ValueError, RecursionError) as error:
        raise UsageError(f"the first line of the export cannot be read: {error}") from error
    raise UsageError(
        f"the export has format {number}, and this valkeyctl reads format {FORMAT}",
        hint="Import it with the valkeyctl that wrote it, or a newer one",
    )


def write_header(
    *, app: str | None, namespace: str | None, exported_ms: int, server: str, shards: Literal[1, 64]
) -> bytes:
    """Return the first line of an export that begins at *exported_ms*, since 1970."""
    moment = datetime.fromtimestamp(exported_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    stamp = f"{moment}.{exported_ms % 1000:03d}Z"
    return msgspec.json.encode(ExportHeader(FORMAT, app, namespace, stamp, server, shards)) + b"\n"


def write_line(line: ExportLine) -> bytes:
    """Return *line* as it stands in a file."""
    return msgspec.json.encode(line) + b"\n"


def decode_lines(raw: bytes) -> list[ExportLine | BadLine | None]:
    """Return what each of the lines of *raw* says, in their order."""
    try:
        lines: list[ExportLine | BadLine | None] = [*_LINES.decode_lines(raw)]
    except (ValueError, RecursionError):
        lines = []
    # Empty lines are left out by the decoder, and would shift the numbers of all others.
    if len(lines) == raw.count(b"\n"):
        return lines
    return [_decode_line(line) for line in raw.split(b"\n")[:-1]]


def _decode_line(raw: bytes) -> ExportLine | BadLine | None:
    if not raw.strip():
        return None
    try:
        return _LINES.decode(raw)
    except UnicodeDecodeError as error:
        return BadLine(f"byte {error.start + 1} of a text is not UTF-8")
    except msgspec.ValidationError as error:
        return BadLine(f"no line of an export: {str(error)[:1].lower()}{str(error)[1:]}")
    except msgspec.DecodeError as error:
        return BadLine(f"not JSON: {error}")
    except RecursionError:
        return BadLine("nested too deep")


def payload_of(line: ExportLine) -> tuple[int, int, bytes]:
    """Return encoding, flags and payload of the entry on *line*, as they were exported.

    Raises:
        ValueError: It has none, or one that is not what it says; the text is the reason.
    """
    data = line.data
    if data is not None:
        if line.encoding is None:
            raise ValueError("the field 'encoding' is missing beside 'data'")
        return ENCODING_NAMES.index(line.encoding), line.flags, data
    raw = bytes(line.value)
    if not raw:
        raise ValueError("the field 'value' or 'data' is missing")
    if raw[0] == 0x22:  # a quote
        return TEXT, 0, _text(raw).encode()
    if not raw.isascii():
        raw.decode()  # a ValueError says where it is no UTF-8
    return JSON, 0, raw


class _Numbered(msgspec.Struct):
    valkeyctl_export: int


_LINES = msgspec.json.Decoder(ExportLine)
_text = msgspec.json.Decoder(str).decode
