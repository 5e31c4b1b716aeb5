"""Where entries to load come from: a file or a stream, compressed or not, in lines.

Lines are found by the block, for a loop around every line would cost more than all that
is done with it; each has its number all the same, and none can take all memory.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from valkeyctl.errors import FolderError, MissingError, UsageError

# What is made of more is not in the processor's cache any more when it is sent.
_BLOCK_BYTES = 128 * 1024
_GZIP_MAGIC = b"\x1f\x8b"
_GZIP = 31  # zlib's word for "with the header of gzip"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# What is decompressed at once: these few bytes can become 32 MiB, and do in no honest file.
_ZSTD_PIECE_BYTES = 1024
_ZSTD_WINDOW_BYTES = 32 * 2**20
# Beginnings of files that hold keys, but not as lines, and who reads those.
_FOREIGN = {
    b"REDIS": "a dump of a server; start a server on it, and export its keys",
    b"VALKEY": "a dump of a server; start a server on it, and export its keys",
    b"PK\x03\x04": "an archive; unpack it",
    b"PAR1": "a Parquet file; turn it into lines of JSON",
}


@dataclass(frozen=True)
class Slice:
    """Neighbouring lines.

    Attributes:
        first: Number of the first of them, 1-based.
        count: How many they are.
        text: All of them with their line feeds, which only the last line of a file may lack.
        read: Bytes of the source that are read with the last of them.
        cut: Bytes that the only line is longer than what is given of it; 0: it is whole.
    """

    first: int
    count: int
    text: bytes
    read: int
    cut: int = 0

    @property
    def last(self) -> int:
        """Number of the last of them."""
        return self.first + self.count - 1

    @property
    def lines(self) -> list[bytes]:
        """Each of them without its line feed."""
        lines = self.text.split(b"\n")
        return lines[: self.count]

    def after(self, number: int) -> Slice:
        """Return those of them that come after the line *number*."""
        over = min(max(number + 1 - self.first, 0), self.count)
        if not over:
            return self
        rest = b"\n".join(self.lines[over:])
        cut = self.cut if rest else 0
        return Slice(self.first + over, self.count - over, rest, self.read, cut)


class Source:
    """Opened by `with`; read once, from its beginning to its end.

    Args:
        origin: A file, or an open stream of bytes, which stays open.

    Attributes:
        name: What messages call it.
        size: Bytes of the whole; None when it cannot be known, as of a pipe.
        taken: Bytes read of it so far, as they lie there.
        compressed: Whether what is read is decompressed.
    """

    def __init__(self, origin: BinaryIO | Path) -> None:
        self.name = str(origin) if isinstance(origin, Path) else "the input"
        self.size: int | None = None
        self.taken = 0
        self.compressed = False
        self._origin = origin
        self._stream: BinaryIO | None = None
        self._bytes: Iterator[bytes] = iter(())
        self._rest = b""

    def __enter__(self) -> Self:
        """Open it, and look what it is.

        Raises:
            MissingError: There is no such file, or it is compressed by zstd and the extra
                ``compression`` is not installed.
            FolderError: It cannot be read.
            UsageError: It holds no lines.
        """
        if isinstance(self._origin, Path):
            self._stream = self._opened(self._origin)
        else:
            self._stream = self._origin
        try:
            self._look()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; a stream is its owner's."""
        if self._stream is not None and isinstance(self._origin, Path):
            self._stream.close()
        self._stream = None

    def read(self, size: int = _BLOCK_BYTES, /) -> bytes:
        """Return the next bytes, at most so many; none at the end.

        Raises:
            FolderError: It cannot be read on, or is damaged.
        """
        self.peek()
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken

    def peek(self) -> bytes:
        """Return the next bytes, which `read` gives again; none at the end.

        Raises:
            FolderError: As `read`.
        """
        while not self._rest and (block := next(self._bytes, None)) is not None:
            self._rest = block
        return self._rest

    def unread(self, block: bytes) -> None:
        """Give back the last bytes that were read."""
        self._rest = block + self._rest

    def _look(self) -> None:
        blocks = self._blocks()
        beginning = next(blocks, b"")
        whole = itertools.chain((beginning,), blocks)
        if beginning.startswith(_ZSTD_MAGIC):
            self._bytes = self._guarded(_from_zstd(whole))
        elif beginning.startswith(_GZIP_MAGIC):
            self._bytes = self._guarded(_from_gzip(whole))
        else:
            self._bytes = whole
        self.compressed = beginning.startswith((_ZSTD_MAGIC, _GZIP_MAGIC))
        text = self.peek()
        for magic, what in _FOREIGN.items():
            if text.startswith(magic):
                raise UsageError(f"{self.name} is no file of lines but {what}")
        if b"\0" in text[:4096]:
            raise UsageError(
                f"{self.name} is no file of lines: it has NUL bytes",
                hint="Give lines of JSON or CSV in UTF-8, or an export of valkeyctl",
            )

    def _opened(self, path: Path) -> BinaryIO:
        try:
            stream = path.open("rb", buffering=0)
            # A pipe, or a file of /proc, says 0.
            self.size = path.stat().st_size or None
        except FileNotFoundError as error:
            raise MissingError(
                f"there is no file {path}", hint="Check the path; - reads standard input"
            ) from error
        except OSError as error:
            raise self._unreadable(error) from error
        return stream

    def _unreadable(self, error: OSError) -> FolderError:
        return FolderError(
            f"{self.name} cannot be read: {error.strerror or error}",
            hint="Check that it is a file and that you may read it",
        )

    def _blocks(self) -> Iterator[bytes]:
        """Yield what is read of the file, as it lies there."""
        stream = self._stream
        # Of a pipe, what is there: the next line may be long in coming.
        read: Callable[[int], bytes] = getattr(stream, "read1", None) or stream.read  # type: ignore[union-attr]
        while True:
            try:
                block = read(_BLOCK_BYTES)
            except OSError as error:
                raise self._unreadable(error) from error
            if not block:
                return
            self.taken += len(block)
            yield block

    def _guarded(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        try:
            yield from pieces
        except (_DamagedError, zlib.error) as error:
            raise FolderError(
                f"{self.name} is damaged or cut off: {error}", hint="Get the file again"
            ) from error


def slices(source: Source, *, most: int, longest: int) -> Iterator[Slice]:
    """Yield the lines of *source*, some at once.

    Args:
        source: Read to its end.
        most: Lines in one slice.
        longest: Bytes of a line, above which only so many of it are given.

    Raises:
        FolderError: It cannot be read on, or is damaged.
    """
    number = 1
    read = 0
    for text, dropped in _texts(source, longest):
        if number == 1:
            read += len(text) - len(text.removeprefix(_BYTE_ORDER_MARK))
            text = text.removeprefix(_BYTE_ORDER_MARK)  # noqa: PLW2901 - it is no content
        count = text.count(b"\n") + (not text.endswith(b"\n"))
        if count <= most and len(text) <= longest:
            read += len(text)
            place = source.taken if source.compressed else read
            yield Slice(number, count, text, place)
        else:
            for part in _parts(text, number, most, longest):
                read += len(part.text) + part.cut
                place = source.taken if source.compressed else read
                yield replace(part, read=place)
        number += count
        read += dropped


def _texts(source: Source, longest: int) -> Iterator[tuple[bytes, int]]:
    """Yield whole lines, or the beginning of one too long with the bytes dropped of it."""
    pending: list[bytes] = []
    waiting = 0
    while block := source.read():
        end = block.rfind(b"\n") + 1
        if end:
            pending.append(block[:end])
            text = b"".join(pending)
            pending = [block[end:]] if end < len(block) else []
            waiting = len(block) - end
            del block  # while the text is dealt with, its pieces would be a second of it
            yield text, 0
            continue
        pending.append(block)
        waiting += len(block)
        if waiting > longest + _BLOCK_BYTES:
            yield b"".join(pending), _dropped(source)
            pending, waiting = [], 0
    if pending:
        yield b"".join(pending), 0


def _dropped(source: Source) -> int:
    """Read past what is left of a line; return its bytes, line feed included."""
    dropped = 0
    while block := source.read():
        end = block.find(b"\n") + 1
        if end:
            source.unread(block[end:])
            return dropped + end
        dropped += len(block)
    return dropped


def _parts(text: bytes, first: int, most: int, longest: int) -> Iterator[Slice]:
    lines = _split(text)
    if max(map(len, lines)) <= longest:
        for start in range(0, len(lines), most):
            part = lines[start : start + most]
            yield Slice(first + start, len(part), b"".join(part), 0)
        return
    for number, line in enumerate(lines, first):
        over = len(line) - longest - line.endswith(b"\n")
        yield Slice(number, 1, line[:longest] if over > 0 else line, 0, max(over, 0))


def _split(text: bytes) -> list[bytes]:
    """Return the lines of *text* with their line feeds; nothing else ends a line."""
    lines = [line + b"\n" for line in text.split(b"\n")]
    lines[-1] = lines[-1][:-1]
    return lines if lines[-1] else lines[:-1]


class _DamagedError(Exception):
    """The compressed bytes are not whole."""


def _from_gzip(blocks: Iterator[bytes]) -> Iterator[bytes]:
    member = zlib.decompressobj(wbits=_GZIP)
    begun = False
    for block in blocks:
        left = block
        while left:
            begun = True
            yield member.decompress(left, _BLOCK_BYTES)
            left = member.unconsumed_tail
            if member.eof:
                # Another member may follow, and zeros may fill up a tape's block.
                left = member.unused_data.lstrip(b"\0")
                member = zlib.decompressobj(wbits=_GZIP)
                begun = False
    yield member.flush()
    if begun and not member.eof:
        raise _DamagedError("the gzip stream has no end")


def _from_zstd(blocks: Iterator[bytes]) -> Iterator[bytes]:
    try:
        import zstandard
    except ModuleNotFoundError as error:
        raise MissingError(
            "the input is compressed by zstd, and the package zstandard is not installed",
            hint="Install it: pip install 'valkeyctl[compression]'",
        ) from error
    opener = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES)
    # Not its stream reader, which takes a file that was cut off for a whole one.
    frame = opener.decompressobj()
    begun = False
    try:
        for block in blocks:
            for start in range(0, len(block), _ZSTD_PIECE_BYTES):
                left = block[start : start + _ZSTD_PIECE_BYTES]
                while left:
                    begun = True
                    yield frame.decompress(left)
                    left = b""
                    if frame.eof:
                        left = frame.unused_data
                        frame = opener.decompressobj()
                        begun = False
    except zstandard.ZstdError as error:
        raise _DamagedError(str(error)) from error
    if begun:
        raise _DamagedError("the zstd stream has no end")
