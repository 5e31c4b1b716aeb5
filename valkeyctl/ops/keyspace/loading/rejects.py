"""Lines that were refused: the first few to show, all of them in a file to mend."""

from __future__ import annotations

import json
import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from valkeyctl.caching.records import Line
from valkeyctl.errors import FolderError

_SHOWN = 20


@dataclass(frozen=True)
class Reject:
    """A line that was refused.

    Attributes:
        line: Its number, 1-based.
        reason: Why, for a person.
    """

    line: int
    reason: str


class Rejects:
    """Collects refused lines; opened by `with`.

    What is added counts from the next `commit` on, so that a run that is resumed at the
    line after the last commit finds no line twice in the file.

    Args:
        path: A file for all of them, one JSON object a line with ``line``, ``reason`` and
            ``text``; readable by its owner alone, for values may be secret. None for no file.
        resumed: Go on with a file of before instead of starting a new one.

    Attributes:
        count: Lines committed.
        first: The first 20 of them.
    """

    def __init__(self, path: Path | None, *, resumed: bool = False) -> None:
        self.count = 0
        self.first: list[Reject] = []
        self._path = path
        self._resumed = resumed
        self._pending: list[tuple[Line, str]] = []
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        """Open the file, before any line is read, so that nothing is loaded in vain.

        Raises:
            FolderError: It cannot be written.
        """
        if self._path is not None:
            mode = os.O_APPEND if self._resumed else os.O_TRUNC
            try:
                number = os.open(self._path, os.O_WRONLY | os.O_CREAT | mode, 0o600)
                if stat.S_ISREG(os.fstat(number).st_mode):  # and no device of everybody's
                    os.fchmod(number, 0o600)  # one of before may be open to others
            except OSError as error:
                raise self._failed(error) from error
            self._file = os.fdopen(number, "wb")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is None or self._path is None:
            return
        with suppress(OSError):  # what was committed is flushed already
            self._file.close()
        with suppress(OSError):
            # A file without a line would look as if something had been refused. What is no
            # file, such as a pipe or a device, has no size either, and is not ours to remove.
            if self._path.is_file() and self._path.stat().st_size == 0:
                self._path.unlink()

    @property
    def file(self) -> Path | None:
        """Where the lines are; None without a file, or without any."""
        return self._path if self.count else None

    def add(self, line: Line, reason: str) -> None:
        """Refuse *line*, from the next commit on."""
        self._pending.append((line, reason))

    @property
    def pending(self) -> int:
        """Lines added since the last commit."""
        return len(self._pending)

    def commit(self) -> None:
        """Count what was added, and write it to the file.

        Raises:
            FolderError: The file cannot be written.
        """
        if self._file is not None:
            try:
                for line, reason in self._pending:
                    self._file.write(_as_json(line, reason))
                self._file.flush()
            except OSError as error:
                raise self._failed(error) from error
        self.count += len(self._pending)
        room = _SHOWN - len(self.first)
        self.first += [Reject(line.number, reason) for line, reason in self._pending[:room]]
        self._pending.clear()

    def _failed(self, error: OSError) -> FolderError:
        return FolderError(
            f"the rejects file {self._path} cannot be written: {error.strerror or error}",
            hint="Name a file in a folder that you may write to",
        )


def _as_json(line: Line, reason: str) -> bytes:
    text = line.raw.decode("utf-8", "backslashreplace")
    document = {"line": line.number, "reason": reason, "text": text}
    if line.too_long:
        document["cut"] = True
    return json.dumps(document, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"
