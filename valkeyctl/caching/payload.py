"""What becomes of a value between a caller and the server, and back.

On its way there it is encoded, then compressed where that makes it smaller, then
encrypted; the entry's flags say which. A payload under ``zstd`` is one frame that says
its content's size. One under ``AES-GCM`` is described in `keyring`; the entry's first
four bytes and its key are authenticated with it, so that a payload cannot be moved to
another key, nor be called compressed or of another encoding. What the write script adds
(versions, times, the names of the tags) is not: whoever can write to the server can still
put an older value back under its own key, or delete it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from pydantic_core import from_json

from valkeyctl.caching.codec import (
    AES_GCM,
    HEADER,
    JSON,
    KNOWN_FLAGS,
    MAGIC,
    SCHEMA,
    ZSTD,
    UndecodableError,
    UnreadableError,
    Value,
    decode,
    encode,
    head,
)
from valkeyctl.caching.keyring import ENCRYPTION_BYTES, KeyRing, key_id_of
from valkeyctl.caching.values import plain
from valkeyctl.errors import MissingError, UsageError

if TYPE_CHECKING:
    from zstandard import ZstdCompressor, ZstdDecompressor

# `codec.HEADER` with its first four fields as one number, and without the version, which
# the scripts have compared.
_unpack = struct.Struct(">I16xQIIH").unpack_from
# The first three bytes of an entry that is only JSON.
_PLAIN_JSON = MAGIC << 16 | (SCHEMA << 4 | JSON) << 8


@dataclass(frozen=True, slots=True)
class Payload:
    """A value as it is sent to the server.

    Attributes:
        encoding: As `codec.encode` says.
        flags: What was done to the encoded value; see `codec`.
        data: The bytes after the entry's tag block.
    """

    encoding: int
    flags: int
    data: bytes


# A tuple, for making a frozen dataclass takes longer than all else here but the decoding.
class Opened(NamedTuple):
    """An entry of the server, with its value.

    Attributes:
        value: What was stored.
        created_ms: When, in ms since 1970 by the server's clock.
        fresh_ms: Milliseconds after it that the value is fresh; see `codec.ALWAYS_FRESH`.
        cost_ms: Milliseconds that loading it took; 0 when nobody measured it.
        stored_bytes: Size of the whole entry on the server.
    """

    value: Value
    created_ms: int
    fresh_ms: int
    cost_ms: int
    stored_bytes: int


class Payloads:
    """Packs and opens values as a namespace's policy asks; for one thread at a time.

    Args:
        compress_over: Encoded values of more than so many bytes are compressed; None
            compresses none. Compressed entries are read either way.
        level: Of zstd, 1 (fast) to 22 (small).
        keyring: Keys to encrypt with; None does not encrypt. With keys, an entry that is
            not encrypted is undecodable: else who can write to the server could put
            plain values in the place of encrypted ones. Entries from before the keys
            were given become misses.
        max_value_bytes: Largest encoded value that is compressed, or made of a
            compressed one.

    Raises:
        UsageError: A number is out of range.
        MissingError: Compression is asked for and the extra ``compression`` not installed.
    """

    def __init__(
        self,
        *,
        compress_over: int | None = None,
        level: int = 3,
        keyring: KeyRing | None = None,
        max_value_bytes: int = 8 * 2**20,
    ) -> None:
        if max_value_bytes < 1 or (compress_over is not None and compress_over < 0):
            raise UsageError(
                f"payloads need max_value_bytes >= 1 and compress_over >= 0, "
                f"not {max_value_bytes} and {compress_over}"
            )
        if not 1 <= level <= 22:
            raise UsageError(f"the level of zstd is 1 to 22, not {level}")
        self._over = compress_over
        self._keyring = keyring
        self._max_value_bytes = max_value_bytes
        self._compressor = None if compress_over is None else _compressor(level)
        self._decompressor: ZstdDecompressor | None = None

    def pack(self, key: bytes, value: object, tags: int = 0) -> Payload:
        """Return *value*, ready to be stored at *key* with so many tags.

        Instances of pydantic models and of dataclasses, wherever in the value, become
        plain values; see `values.plain`. How large the result may be is for the caller
        to judge.

        Raises:
            UsageError: Something in the value cannot be stored.
        """
        try:
            encoding, data = encode(value)
        except UsageError:
            encoding, data = encode(plain(value))
        flags = 0
        if (
            self._compressor is not None
            and self._over is not None
            and self._over < len(data) <= self._max_value_bytes
        ):
            frame = self._compressor.compress(data)
            if len(frame) < len(data):
                data = frame
                flags = ZSTD
        if self._keyring is not None:
            flags |= AES_GCM
            data = self._keyring.encrypt(data, head(encoding, tags, flags) + key)
        return Payload(encoding, flags, data)

    def open(self, key: bytes, stored: bytes) -> Opened:
        """Return the entry at *key*, which the server has found valid.

        Its tag block is skipped, for the scripts have read it.

        Raises:
            UndecodableError: It is foreign, of another schema, cut short, changed, larger
                than it may be, moved from another key, or plain where all must be
                encrypted. Nobody can use it: drop it.
            UnreadableError: It is encrypted with a key that is not here, or compressed
                and the extra ``compression`` not installed. Others can use it: a miss,
                but not to be dropped.
        """
        try:
            front, created_ms, fresh_ms, cost_ms, tag_bytes = _unpack(stored)
        except struct.error as error:
            raise UndecodableError(f"{len(stored)} bytes are too few for a header") from error
        start = HEADER.size + tag_bytes
        # The shortest way for most hits; what it cannot decode goes the long one.
        if front >> 8 == _PLAIN_JSON and self._keyring is None:
            try:
                value = from_json(stored[start:])
            except ValueError:
                pass
            else:
                return Opened(value, created_ms, fresh_ms, cost_ms, len(stored))
        form, flags = front >> 16 & 0xFF, front >> 8 & 0xFF
        if front >> 24 != MAGIC or form >> 4 != SCHEMA or flags & ~KNOWN_FLAGS:
            raise UndecodableError(f"no entry of format {SCHEMA}")
        if start > len(stored):
            raise UndecodableError("the tag block is cut short")
        data = stored[start:]
        if flags & AES_GCM:
            data = self._decrypted(data, stored[:4] + key)
        elif self._keyring is not None:
            raise UndecodableError("the entry is not encrypted, and all have to be")
        if flags & ZSTD:
            data = self._decompressed(data)
        return Opened(decode(form & 0x0F, data), created_ms, fresh_ms, cost_ms, len(stored))

    def _decrypted(self, data: bytes, associated: bytes) -> bytes:
        if self._keyring is None:
            raise UnreadableError(f"encrypted with key {key_id_of(data)}, and there is no key ring")
        return self._keyring.decrypt(data, associated)

    def _decompressed(self, frame: bytes) -> bytes:
        try:
            import zstandard
        except ModuleNotFoundError as error:
            raise UnreadableError(
                "compressed, and the extra compression is not installed"
            ) from error
        if self._decompressor is None:
            self._decompressor = zstandard.ZstdDecompressor()
        try:
            size = zstandard.frame_content_size(frame)
            # Before anything is decompressed: a few bytes can become gigabytes. -1: it does
            # not say; 0 would be believed, whatever it holds.
            if size < 1:
                raise UndecodableError("the frame does not say the size of its content")
            if size > self._max_value_bytes:
                raise UndecodableError(
                    f"the frame holds {size} bytes, more than {self._max_value_bytes}"
                )
            return self._decompressor.decompress(frame, allow_extra_data=False)
        except zstandard.ZstdError as error:
            raise UndecodableError(f"not a zstd frame: {error}") from error


@dataclass(frozen=True)
class Wrapping:
    """What was done to an encoded value, as far as can be said without a key.

    Attributes:
        compressed: Whether it is a zstd frame.
        key_id: Id of the key that it is encrypted with; None when it is not.
        encoded_bytes: Its size before; None when it cannot be known.
    """

    compressed: bool
    key_id: int | None
    encoded_bytes: int | None

    @classmethod
    def of(cls, flags: int, data: bytes, size: int) -> Wrapping:
        """Return what *flags* and *data*, the beginning of a payload of *size* bytes, say.

        Raises:
            UndecodableError: The payload is not what the flags say.
        """
        compressed = bool(flags & ZSTD)
        if flags & AES_GCM:
            encoded = None if compressed else size - ENCRYPTION_BYTES
            return cls(compressed, key_id_of(data), encoded)
        return cls(compressed, None, _content_bytes(data) if compressed else size)


def _compressor(level: int) -> ZstdCompressor:
    try:
        import zstandard
    except ModuleNotFoundError as error:
        raise MissingError(
            "compression needs the package zstandard, which is not installed",
            hint="Install it: pip install 'valkeyctl[compression]'",
        ) from error
    return zstandard.ZstdCompressor(level=level)


def _content_bytes(frame: bytes) -> int | None:
    """Return the size that the beginning of a frame says, if it does and zstd is here."""
    try:
        import zstandard
    except ModuleNotFoundError:
        return None
    try:
        size = zstandard.frame_content_size(frame)
    except zstandard.ZstdError as error:
        raise UndecodableError(f"not a zstd frame: {error}") from error
    return None if size < 0 else size
