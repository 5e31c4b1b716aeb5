"""How an entry lies in the server: its header, and its value before it is compressed or encrypted.

::

    offset  bytes
    0       1     magic, 0xCB
    1       1     format: schema version (2) in the high half, encoding in the low half
                  (0 bytes, 1 str as UTF-8, 2 JSON as UTF-8, 3 msgpack)
    2       1     flags: 0x01 zstd, 0x02 AES-256-GCM; an entry with any other is undecodable
    3       1     number of tags
    4       16    version of the namespace when it was written
    20      8     created, ms since 1970 by the server's clock
    28      4     fresh for, ms after created; 0xFFFFFFFF as long as it exists
    32      4     cost: ms that loading it took; 0 unknown
    36      2     bytes of the tag block
    38      n     tag block: per tag 1 byte length, the tag as UTF-8, its version (16)
    38+n          payload; see `payload` for what the flags make of it

Numbers are big endian and their offsets fixed, because the Lua scripts compare versions
and tags inside the server. A value of anything else is no entry: a miss, never an
exception, and never pickle. docs/reference/entry-format.md is this for other languages.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NoReturn, TypeAlias, cast

import msgpack
from pydantic_core import PydanticSerializationError, from_json, to_json

from valkeyctl.errors import UsageError

Scalar: TypeAlias = str | int | float | bool | bytes | None
Value: TypeAlias = Scalar | list["Value"] | dict[Scalar, "Value"]
"""What can be stored, and comes back equal and of the same type."""

MAGIC = 0xCB
SCHEMA = 2
VERSION_BYTES = 16
HEADER = struct.Struct(">BBBB16sQIIH")

ZSTD = 0x01
AES_GCM = 0x02
KNOWN_FLAGS = ZSTD | AES_GCM

MAX_DEPTH = 128
"""Most lists and dicts in one another: few enough for every reader, however deep its stack."""

ALWAYS_FRESH = 0xFFFFFFFF
"""`Envelope.fresh_ms` of an entry that is fresh as long as it exists."""

RAW, TEXT, JSON, MSGPACK = range(4)
ENCODINGS = ("bytes", "str", "json", "msgpack")
"""What people call the encodings, by their number."""

_ALWAYS_FIT = frozenset({str, bool, type(None)})
# No reader turns more than 4,300 digits into a number.
_LARGEST_INT = 10**4000
_LEAST_INT = -_LARGEST_INT


class UndecodableError(ValueError):
    """The bytes are no entry of ours, or of another format; readers count a miss and drop them."""


class UnreadableError(ValueError):
    """An entry that may be whole, but that this reader lacks a key or a package for.

    Readers count a miss and leave it: others can read it.
    """


@dataclass(frozen=True)
class Envelope:
    """A stored entry, taken apart.

    Attributes:
        format: Schema version and encoding.
        version: The namespace's version that it was written under.
        created_ms: When, by the server's clock.
        tags: Each tag with the version that it was written under.
        payload: The encoded value, as *flags* say compressed, encrypted, or both.
        flags: See the module.
        fresh_ms: Milliseconds after its creation that it is fresh; `ALWAYS_FRESH` if it
            does not become stale before it expires.
        cost_ms: Milliseconds that loading the value took; 0 when nobody measured it.
    """

    format: int
    version: bytes
    created_ms: int
    payload: bytes
    tags: tuple[tuple[bytes, bytes], ...] = ()
    flags: int = 0
    fresh_ms: int = ALWAYS_FRESH
    cost_ms: int = 0

    @property
    def encoding(self) -> int:
        """The number of its encoding; one of `ENCODINGS`, or unknown."""
        return self.format & 0x0F

    def pack(self) -> bytes:
        """Return the bytes as the server holds them; the write script builds the same."""
        block = b"".join(bytes([len(tag)]) + tag + version for tag, version in self.tags)
        header = HEADER.pack(
            MAGIC,
            self.format,
            self.flags,
            len(self.tags),
            self.version,
            self.created_ms,
            self.fresh_ms,
            self.cost_ms,
            len(block),
        )
        return header + block + self.payload

    @classmethod
    def unpack(cls, stored: bytes) -> Envelope:
        """Return what *stored* says, without decoding its payload.

        Raises:
            UndecodableError: It is cut short, or no entry of this format.
        """
        if len(stored) < HEADER.size:
            raise UndecodableError(f"{len(stored)} bytes are too few for a header")
        magic, form, flags, count, version, created_ms, fresh_ms, cost_ms, length = (
            HEADER.unpack_from(stored)
        )
        start = HEADER.size
        end = start + length
        if magic != MAGIC or form >> 4 != SCHEMA or flags & ~KNOWN_FLAGS or end > len(stored):
            raise UndecodableError(f"no entry of format {SCHEMA}")
        tags = []
        for _ in range(count):
            past = start + 1 + stored[start] if start < end else end + 1
            if past + VERSION_BYTES > end:
                raise UndecodableError("the tag block is cut short")
            tags.append((stored[start + 1 : past], stored[past : past + VERSION_BYTES]))
            start = past + VERSION_BYTES
        if start != end:
            raise UndecodableError("the tag block is longer than its tags")
        return cls(form, version, created_ms, stored[end:], tuple(tags), flags, fresh_ms, cost_ms)


def tags_of(stored: bytes) -> tuple[bytes, ...]:
    """Return the tags of an entry that the server has found valid."""
    tags = []
    start = HEADER.size
    for _ in range(stored[3]):
        past = start + 1 + stored[start]
        tags.append(stored[start + 1 : past])
        start = past + VERSION_BYTES
    return tuple(tags)


def head(encoding: int, tags: int, flags: int = 0) -> bytes:
    """Return the first four bytes of an entry with this encoding, number of tags and flags."""
    return bytes((MAGIC, SCHEMA << 4 | encoding, flags, tags))


def encode(value: object) -> tuple[int, bytes]:
    """Return the encoding and the payload of *value*.

    Raises:
        UsageError: Something in it would not come back as it is: a tuple, a set, an
            object, a number too large, or more than 128 lists and dicts in one another.
    """
    try:
        if type(value) is str:
            return TEXT, value.encode()
        if type(value) is bytes:
            return RAW, value
        if _fits_json((value,), 0):
            # A quarter of the time that `json` takes.
            return JSON, to_json(value)
        return MSGPACK, _msgpack(value)
    except (UnicodeEncodeError, PydanticSerializationError):
        return _encode_surrogates(value)
    except (ValueError, OverflowError, RecursionError) as error:
        raise UsageError(
            f"this {type(value).__name__} cannot be stored: {error}",
            hint="Store a smaller or flatter value",
        ) from error


def decode(encoding: int, payload: bytes) -> Value:
    """Return the value that *payload* holds.

    Raises:
        UndecodableError: It is not what *encoding* says.
    """
    try:
        if encoding == JSON:
            return _from_json(payload)
        if encoding == TEXT:
            return payload.decode()
        if encoding == RAW:
            return payload
        if encoding == MSGPACK:
            return _from_msgpack(payload)
    # msgpack's exceptions are ValueErrors, save for unhashable map keys.
    except (ValueError, TypeError, RecursionError) as error:
        raise UndecodableError(str(error)) from error
    raise UndecodableError(f"unknown encoding {encoding}")


def _from_json(payload: bytes) -> Value:
    try:
        return cast("Value", from_json(payload))  # half of the time that `json` takes
    except ValueError:
        # A lone surrogate, perhaps, or as deep as other writers may go. Bytes are decoded
        # here, for `json` would also take UTF-16.
        return cast("Value", json.loads(payload.decode()))


def _from_msgpack(payload: bytes) -> Value:
    value: Value = msgpack.unpackb(
        payload, strict_map_key=False, unicode_errors="surrogatepass", ext_hook=_no_extension
    )
    # A timestamp does not pass by the hook; its type is the byte 0xFF.
    if b"\xff" in payload:
        try:
            _fits_json((value,), 0)
        except UsageError as error:
            raise UndecodableError(str(error)) from error
    return value


def _no_extension(code: int, _: bytes) -> NoReturn:
    raise UndecodableError(f"the msgpack extension {code} is not part of the format")


def _encode_surrogates(value: object) -> tuple[int, bytes]:
    """Return the encoding and the payload of a value with a str that is no Unicode text."""
    try:
        text = json.dumps(value, separators=(",", ":"))
        if json.loads(text) == value:
            return JSON, text.encode()
        # Two surrogates in a row: JSON would give back the one character that they make.
        return MSGPACK, _msgpack(value)
    except (ValueError, OverflowError) as error:
        raise UsageError(f"this {type(value).__name__} cannot be stored: {error}") from error


def _msgpack(value: object) -> bytes:
    return cast("bytes", msgpack.packb(value, unicode_errors="surrogatepass"))


def _fits_json(parts: Iterable[object], depth: int) -> bool:
    """Say whether JSON gives *parts* back as they are; False when msgpack does.

    Raises:
        UsageError: Neither does.
    """
    if depth > MAX_DEPTH:
        raise UsageError(
            f"more than {MAX_DEPTH} lists and dicts in one another cannot be stored",
            hint="Store a flatter value",
        )
    # No return at the first that does not fit: each part may have to be refused.
    fits = True
    for part in parts:
        kind = type(part)
        if kind in _ALWAYS_FIT:
            continue
        if isinstance(part, int) and kind is int:
            if not _LEAST_INT < part < _LARGEST_INT:
                raise UsageError("an int of more than 4,000 digits cannot be stored")
        elif isinstance(part, float) and kind is float:
            # JSON has no infinity and no NaN.
            fits &= -math.inf < part < math.inf
        elif isinstance(part, dict) and kind is dict:
            fits &= _keys_fit(part)
            fits &= _fits_json(part.values(), depth + 1)
        elif isinstance(part, list) and kind is list:
            fits &= _fits_json(part, depth + 1)
        elif kind is bytes:
            fits = False
        else:
            raise UsageError(
                f"a {kind.__name__} cannot be stored",
                hint="Store str, int, float, bool, None, bytes, list and dict of them; "
                "turn tuples into lists and objects into dicts",
            )
    return fits


def _keys_fit(keys: Iterable[object]) -> bool:
    fits = True
    for key in keys:
        if type(key) is not str:
            fits = False
            if key is not None and type(key) not in {int, float, bool, bytes}:
                raise UsageError(f"a dict with a {type(key).__name__} as key cannot be stored")
    return fits
