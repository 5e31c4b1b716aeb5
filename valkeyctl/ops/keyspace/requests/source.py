"""Lines as they come, from a file, a pipe or a program, while answers are waited for."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TypeGuard

from valkeyctl.caching.records import Line
from valkeyctl.errors import FolderError, MissingError, UsageError

_PIECE_BYTES = 64 * 1024
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@contextmanager
def opened(source: BinaryIO | Path, rejects_file: Path | None) -> Iterator[BinaryIO]:
    """Open *source* while the context lasts; a stream stays the caller's.

    Raises:
        MissingError: There is no such file.
        FolderError: It cannot be read.
        UsageError: The rejects would overwrite it.
    """
    if not isinstance(source, Path):
        yield source
        return
    try:
        stream = source.open("rb", buffering=0)
    except FileNotFoundError as error:
        raise MissingError(
            f"there is no file {source}", hint="Check the path; - reads standard input"
        ) from error
    except OSError as error:
        raise _unreadable(source, error) from error
    with stream:
        if rejects_file is not None and rejects_file.exists() and rejects_file.samefile(source):
            raise UsageError(
                f"the rejects would overwrite {source}, which is being read",
                hint="Name another file for the rejects",
            )
        yield stream


async def lines(source: BinaryIO | Iterable[bytes], *, longest: int) -> AsyncIterator[Line]:
    """Yield the lines of *source*, each at most *longest* bytes in memory.

    A pipe whose writer is slow keeps nothing else from going on: answers are read
    meanwhile. Of a longer line only the beginning is kept.

    Args:
        source: A stream of bytes, or the lines themselves.
        longest: Bytes of a line, its end not counted.

    Raises:
        FolderError: It cannot be read.
    """
    if not is_stream(source):
        for number, raw in enumerate(source, start=1):
            yield Line(number, raw, len(raw) + 1)
        return
    cutter = _Cutter(longest)
    try:
        async for piece in _pieces(source):
            for line in cutter.cut(piece):
                yield line
    except OSError as error:
        raise _unreadable(getattr(source, "name", "the input"), error) from error
    for line in cutter.end():
        yield line


def is_stream(source: object) -> TypeGuard[BinaryIO]:
    """Say whether *source* is an open stream, and not the lines themselves."""
    return hasattr(source, "read")


async def _pieces(stream: BinaryIO) -> AsyncIterator[bytes]:
    try:
        number = stream.fileno()
    except OSError:  # no file of the system's, such as bytes in memory
        while piece := stream.read(_PIECE_BYTES):
            yield piece
        return
    while True:
        await _readable(number)
        piece = os.read(number, _PIECE_BYTES)
        if not piece:
            return
        yield piece


async def _readable(number: int) -> None:
    """Return when something can be read of the open file *number*."""
    loop = asyncio.get_running_loop()
    came = asyncio.Event()
    try:
        loop.add_reader(number, came.set)
    except PermissionError:  # epoll's word for a file on a disk, which never keeps us waiting
        return
    try:
        await came.wait()
    finally:
        loop.remove_reader(number)


class _Cutter:
    """Cuts pieces into lines."""

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._number = 0
        self._begun = bytearray()
        self._size = 0

    def cut(self, piece: bytes) -> Iterator[Line]:
        """Yield the lines that *piece* ends."""
        *ended, rest = piece.split(b"\n")
        for part in ended:
            self._take(part)
            self._size += 1
            yield self._line()
        self._take(rest)

    def end(self) -> Iterator[Line]:
        """Yield the last line, if nothing ends it."""
        if self._size:
            yield self._line()

    def _take(self, part: bytes) -> None:
        self._size += len(part)
        # One byte more than there may be tells that the line is too long.
        room = self._longest + 1 - len(self._begun)
        self._begun += part[:room]

    def _line(self) -> Line:
        self._number += 1
        raw = bytes(self._begun)
        if self._number == 1:
            raw = raw.removeprefix(_BYTE_ORDER_MARK)
        too_long = len(raw) > self._longest
        line = Line(self._number, raw[: self._longest].rstrip(b"\r"), self._size, too_long)
        self._begun.clear()
        self._size = 0
        return line


def _unreadable(source: object, error: OSError) -> FolderError:
    return FolderError(
        f"{source} cannot be read: {error.strerror or error}",
        hint="Check that it is a file and that you may read it",
    )
