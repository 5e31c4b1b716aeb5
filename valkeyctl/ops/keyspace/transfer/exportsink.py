"""Where an export goes: a stream, or a file that appears when it is whole."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Protocol, Self

from valkeyctl.errors import FolderError, MissingError

_LEVEL = 3


class _Squeezer(Protocol):
    """Compresses what passes through it; zstandard's, whose stub does not name it for us."""

    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self) -> bytes: ...


class ExportSink:
    """Takes the lines of an export; opened by `with`.

    A file is written beside its place under another name, readable by its owner alone,
    for values may be secret. It takes its place when the `with` ends without a failure;
    otherwise it is removed, and what was at the place before stays.

    Args:
        target: A file, or an open stream of bytes, which stays open.
        zstd: Whether to compress; None does for a file whose name ends in ``.zst``.

    Attributes:
        file: The file; None for a stream.
        bytes: Written so far, before they were compressed.
        lines: Written so far.
    """

    def __init__(self, target: BinaryIO | Path, *, zstd: bool | None = None) -> None:
        self.file = target if isinstance(target, Path) else None
        self.bytes = 0
        self.lines = 0
        self._stream = None if isinstance(target, Path) else target
        self._zstd = bool(self.file and self.file.suffix == ".zst") if zstd is None else zstd
        self._squeezer: _Squeezer | None = None
        self._place: Path | None = None
        self._part: Path | None = None

    def __enter__(self) -> Self:
        """Begin the file.

        Raises:
            FolderError: It cannot be written.
            MissingError: It shall be compressed, and the extra is not installed.
        """
        if self._zstd:
            self._squeezer = _squeezer()
        if self.file is not None:
            self._stream = self._begin(self.file)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        stream = self._stream
        if stream is None:
            return
        try:
            if error is None:
                if self._squeezer is not None:
                    self._send(self._squeezer.flush())
                self._finish(stream)
        finally:
            if self.file is not None:
                with suppress(OSError):  # all of it is on the disk, or it is no use anyway
                    stream.close()
            if self._part is not None:
                self._part.unlink(missing_ok=True)

    def write(self, lines: Iterable[bytes]) -> None:
        """Write whole lines.

        Raises:
            FolderError: The file cannot be written.
            OSError: The stream cannot.
        """
        held = list(lines)
        data = b"".join(held)
        self.bytes += len(data)
        self.lines += len(held)
        self._send(data if self._squeezer is None else self._squeezer.compress(data))

    def _send(self, data: bytes) -> None:
        if not data or self._stream is None:
            return
        try:
            self._stream.write(data)
        except OSError as error:
            if self.file is None:
                raise
            raise self._failed(error) from error

    def _begin(self, file: Path) -> BinaryIO:
        try:
            place = file.resolve()
            if place.exists() and not place.is_file():
                return place.open("wb")  # a device or a pipe; a folder says so itself
            part = place.with_name(f".{place.name[:200]}.{secrets.token_hex(4)}.part")
            number = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise self._failed(error) from error
        self._place, self._part = place, part
        return os.fdopen(number, "wb")

    def _finish(self, stream: BinaryIO) -> None:
        try:
            stream.flush()
            if self._part is not None and self._place is not None:
                # Else the name could outlive a loss of power, and what it names not.
                os.fsync(stream.fileno())
                self._part.replace(self._place)
                self._part = None
        except OSError as error:
            if self.file is None:
                raise
            raise self._failed(error) from error

    def _failed(self, error: OSError) -> FolderError:
        return FolderError(
            f"the export cannot be written to {self.file}: {error.strerror or error}",
            hint="Name a file in a folder that you may write to, with room for it",
        )


def _squeezer() -> _Squeezer:
    try:
        import zstandard
    except ModuleNotFoundError as error:
        raise MissingError(
            "a compressed export needs the package zstandard, which is not installed",
            hint="Install it: pip install 'valkeyctl[compression]'; or export uncompressed",
        ) from error
    return zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True).compressobj()
