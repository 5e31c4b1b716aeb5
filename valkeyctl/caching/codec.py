"""How a value lies in the server.

::

    offset  bytes
    0       1     magic, 0xCB
    1       1     format: schema version (1) in the high half, encoding in the low half
                  (0 bytes, 1 str as UTF-8, 2 JSON as UTF-8, 3 msgpack)
    2       1     flags: 0x01 zstd and 0x02 AES-GCM are reserved; others are unknown
    3       1     number of tags
    4       16    version of the namespace when it was written
    20      8     created, ms since 1970 by the server's clock, big endian
    28      2     bytes of the tag block, big endian
    30      n     tag block: per tag 1 byte length, the tag as UTF-8, its version (16)
    30+n          payload

Fixed offsets, because the Lua scripts compare versions and tags inside the server. A
value of anything else is no entry: a miss, never an exception, and never pickle.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from typing import TypeAlias, cast

import msgpack

from valkeyctl.errors import UsageError

Scalar: TypeAlias = str | int | float | bool | bytes | None
Value: TypeAlias = Scalar | list["Value"] | dict[Scalar, "Value"]
"""What can be stored, and comes back equal and of the same type."""

MAGIC = 0xCB
SCHEMA = 1
VERSION_BYTES = 16
HEADER = struct.Struct(">BBBB16sQH")

_RAW, _TEXT, _JSON, _MSGPACK = range(4)
ENCODINGS = ("bytes", "str", "json", "msgpack")
"""What people call the encodings, by their number."""


class UndecodableError(ValueError):
    """The bytes are no entry of ours, or of a later format; readers count a miss."""


@dataclass(frozen=True)
class Envelope:
    """A stored entry, taken apart.

    Attributes:
        format: Schema version and encoding.
        version: The namespace's version that it was written under.
        created_ms: When, by the server's clock.
        tags: Each tag with the version that it was written under.
        payload: The encoded value.
        flags: Zero; see the module.
    """

    format: int
    version: bytes
    created_ms: int
    payload: bytes
    tags: tuple[tuple[bytes, bytes], ...] = ()
    flags: int = 0

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
        magic, form, flags, count, version, created_ms, length = HEADER.unpack_from(stored)
        start = HEADER.size
        end = start + length
        if magic != MAGIC or form >> 4 != SCHEMA or flags or end > len(stored):
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
        return cls(form, version, created_ms, stored[end:], tuple(tags), flags)

    def value(self) -> Value:
        """Return the value in the payload.

        Raises:
            UndecodableError: It is not what the format says.
        """
        return decode(self.format & 0x0F, self.payload)


def open_entry(stored: bytes) -> tuple[Value, int]:
    """Return the value of an entry that the server has found valid, and when it was created, in ms.

    The short way of `Envelope.unpack`: tags are skipped, for the scripts have read them.

    Raises:
        UndecodableError: It is of another format, or its payload is not what it says.
    """
    if len(stored) < HEADER.size:
        raise UndecodableError(f"{len(stored)} bytes are too few for a header")
    magic, form, flags, _, _, created_ms, length = HEADER.unpack_from(stored)
    start = HEADER.size + length
    if magic != MAGIC or form >> 4 != SCHEMA or flags or start > len(stored):
        raise UndecodableError(f"no entry of format {SCHEMA}")
    return decode(form & 0x0F, stored[start:]), created_ms


def head(encoding: int, tags: int) -> bytes:
    """Return the first four bytes of an entry with this encoding and number of tags."""
    return bytes((MAGIC, SCHEMA << 4 | encoding, 0, tags))


def encode(value: object) -> tuple[int, bytes]:
    """Return the encoding and the payload of *value*.

    Raises:
        UsageError: Something in it would not come back as it is: a tuple, a set, an
            object, a number too large, or a nesting too deep.
    """
    try:
        if type(value) is bytes:
            return _RAW, value
        if type(value) is str:
            return _TEXT, value.encode()
        if _fits_json(value):
            return _JSON, _json(value)
        return _MSGPACK, cast("bytes", msgpack.packb(value, unicode_errors="surrogatepass"))
    except UnicodeEncodeError:
        # A lone surrogate: JSON's escapes hold it.
        return _JSON, json.dumps(value, separators=(",", ":")).encode()
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
        if encoding == _JSON:
            value: Value = json.loads(payload)
        elif encoding == _RAW:
            value = payload
        elif encoding == _TEXT:
            value = payload.decode()
        elif encoding == _MSGPACK:
            value = msgpack.unpackb(payload, strict_map_key=False, unicode_errors="surrogatepass")
        else:
            raise UndecodableError(f"unknown encoding {encoding}")
    # msgpack's exceptions are ValueErrors, save for unhashable map keys.
    except (ValueError, TypeError, RecursionError) as error:
        raise UndecodableError(str(error)) from error
    return value


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _fits_json(value: object) -> bool:
    """Say whether JSON gives *value* back as it is; False when msgpack does.

    Raises:
        UsageError: Neither does.
    """
    if value is None or type(value) in {str, int, bool}:
        return True
    if type(value) is float:
        # JSON has no infinity and no NaN, though Python would write them.
        return float("-inf") < value < float("inf")
    if type(value) is bytes:
        return False
    # No `all`, which stops at the first False: each part may have to be refused.
    fits = True
    if type(value) is list:
        for part in value:
            fits &= _fits_json(part)
        return fits
    if type(value) is dict:
        for key, part in value.items():
            fits &= _fits_key(key)
            fits &= _fits_json(part)
        return fits
    raise UsageError(
        f"a {type(value).__name__} cannot be stored",
        hint="Store str, int, float, bool, None, bytes, list and dict of them; "
        "turn tuples into lists and objects into dicts",
    )


def _fits_key(key: object) -> bool:
    if type(key) is str:
        return True
    if key is None or type(key) in {int, float, bool, bytes}:
        return False
    raise UsageError(f"a dict with a {type(key).__name__} as key cannot be stored")
