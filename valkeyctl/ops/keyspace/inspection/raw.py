"""The bytes of one value, out of its envelope and uncompressed, however large it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import BufferedReader, RawIOBase
from typing import TYPE_CHECKING

from valkeyctl.caching.codec import AES_GCM, ZSTD, Envelope, UndecodableError
from valkeyctl.caching.keyring import key_id_of
from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import MissingError, PartialError, ServerReplyError, UsageError
from valkeyctl.ops.keyspace.display import show_bytes, show_text
from valkeyctl.ops.keyspace.inspection.home import Home, Sought
from valkeyctl.ops.keyspace.inspection.inspect import looking
from valkeyctl.ops.keyspace.inspection.pieces import PIECE_BYTES, ChangedError, WatchedString
from valkeyctl.ops.keyspace.scope import owner_of
from valkeyctl.units import format_size

if TYPE_CHECKING:
    from typing_extensions import Buffer

# Up to this much is held until it is known to be of one value; more is given as it comes.
_HELD_BYTES = 8 * 2**20
_ATTEMPTS = 3
_FRAME_HEADER_BYTES = 18  # at most, by the format


def read_raw(endpoint: Endpoint, key: Sought, write: Callable[[bytes], object]) -> int:
    """Give the bytes of one value to *write*, piece by piece, and return how many they were.

    An entry of ours gives its value as it is encoded (text, JSON, msgpack), without its
    envelope and uncompressed; any other string gives what it is. Constant memory.

    Args:
        endpoint: Of any topology.
        key: As for `inspect.inspect_key`.
        write: Called with each piece, in order. A value that changes while it is read is
            begun anew as long as nothing was written.

    Raises:
        NotFoundError: There is no such key.
        UsageError: It is no string, and so has no bytes of its own.
        MissingError: It is encrypted, or compressed and the extra for that not installed.
        PartialError: It changed after a part of it was written.
        ServerReplyError: It cannot be decoded, or keeps changing.
        UnreachableError, AuthError: as `Wire.call`.
    """
    home = Home.of(endpoint)
    for candidate in home.keys(key):
        with looking(home, candidate) as wire:
            kind = wire.call("TYPE", candidate)
            if kind == b"none":
                continue
            if kind != b"string":
                name = show_text(kind.decode(errors="replace")) if isinstance(kind, bytes) else "?"
                raise UsageError(
                    f"{show_bytes(candidate)} is a {name}, which has no bytes of its own",
                    hint="Leave out --raw, or take its elements: valkeyctl keys export",
                )
            size = _read(wire, candidate, write)
            if size is not None:
                return size
    raise home.missing(key)


def _read(wire: Wire, key: bytes, write: Callable[[bytes], object]) -> int | None:
    """Give the value at *key* to *write*; None when there is none."""
    for _ in range(_ATTEMPTS):
        value = WatchedString(wire, key)
        if not value.length and wire.call("EXISTS", key) == 0:
            return None
        written = 0
        held: list[bytes] | None = []
        try:
            for piece in _decoded(value, key):
                written += len(piece)
                if held is None:
                    write(piece)
                    continue
                held.append(piece)
                if written > _HELD_BYTES:
                    for early in held:
                        write(early)
                    held = None
            value.check()
        except ChangedError as error:
            if held is not None:
                continue
            raise PartialError(
                f"{show_bytes(key)} changed while it was read; the {format_size(written)} that "
                "were written are no whole value",
                hint="Run it again",
            ) from error
        for piece in held or ():
            write(piece)
        return written
    raise ServerReplyError(
        f"{show_bytes(key)} changed {_ATTEMPTS} times while it was read", hint="Try again"
    )


def _decoded(value: WatchedString, key: bytes) -> Iterator[bytes]:
    """Yield the value without its envelope, if it has one, and uncompressed."""
    pieces = value.pieces()
    begin = next(pieces, b"")
    envelope = _envelope(key, begin)
    if envelope is None:
        yield begin
        yield from pieces
        return
    if envelope.flags & AES_GCM:
        raise MissingError(
            f"the value of {show_bytes(key)} is encrypted with key {key_id_of(envelope.payload)}, "
            "which is not here",
            hint="Leave out --raw to see what its envelope says",
        )
    payload = _after(len(begin) - len(envelope.payload), begin, pieces)
    yield from _uncompressed(payload, key) if envelope.flags & ZSTD else payload


def _envelope(key: bytes, begin: bytes) -> Envelope | None:
    owner = owner_of(key)
    if owner is None or owner.control:
        return None
    try:
        return Envelope.unpack(begin)
    except UndecodableError:
        return None


def _after(start: int, begin: bytes, pieces: Iterator[bytes]) -> Iterator[bytes]:
    yield begin[start:]
    yield from pieces


def _uncompressed(frame: Iterator[bytes], key: bytes) -> Iterator[bytes]:
    try:
        import zstandard
    except ModuleNotFoundError as error:
        raise MissingError(
            f"the value of {show_bytes(key)} is compressed, and zstandard is not installed",
            hint="Install it: pip install 'valkeyctl[compression]'",
        ) from error
    broken = ServerReplyError(
        f"the value of {show_bytes(key)} cannot be decoded: it is no whole zstd frame",
        hint="Leave out --raw to see what its envelope says",
    )
    source = BufferedReader(_Reader(frame), PIECE_BYTES)
    try:
        size = zstandard.frame_content_size(source.peek(_FRAME_HEADER_BYTES))
        # A reader and no decompressobj: a few bytes can become gigabytes, in one call there.
        reader = zstandard.ZstdDecompressor().stream_reader(source)
        while piece := reader.read(PIECE_BYTES):
            size -= len(piece)
            yield piece
    except zstandard.ZstdError as error:
        raise broken from error
    if size:
        raise broken  # cut short, which the reader takes for its end


class _Reader(RawIOBase):
    """Pieces as a stream."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""

    def readable(self) -> bool:
        """Say that it is one to read from."""
        return True

    def readinto(self, buffer: Buffer, /) -> int:
        """Put what there is into *buffer*, and return how many bytes; 0 at the end."""
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = piece
        room = memoryview(buffer)
        count = min(len(room), len(self._rest))
        room[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count
