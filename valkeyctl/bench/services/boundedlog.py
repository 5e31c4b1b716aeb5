"""The log of a child, which may write for ever and does not fill the disk."""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path

# What comes first tells why a child ended; what comes last, too. Of the rest nobody reads more.
HEAD = 256 * 1024
TAIL = 1024 * 1024
_LOOK = 0.2
_NOTE = b"\n[... %20d bytes are left out here ...]\n"


class BoundedLog:
    """A file that a child writes to, of which only the beginning and the end are kept.

    It is looked at a few times a second, and cut when it is longer than `HEAD` and twice
    `TAIL`. No pipe lies between: one would break when we are killed, and every line that a
    child logs would then be an error in the middle of its work.

    Args:
        file: Replaced where it exists.

    Attributes:
        theirs: Open file for the child.

    Raises:
        OSError: The file cannot be written, or there are too many open files.
        RuntimeError: There is no room for a thread.
    """

    def __init__(self, file: Path) -> None:
        with contextlib.ExitStack() as undo:
            # Appending: what is written after a cut goes behind it.
            self.theirs = os.open(
                file, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_APPEND, mode=0o644
            )
            undo.callback(os.close, self.theirs)
            self._ours = os.open(file, os.O_RDWR)
            undo.callback(os.close, self._ours)
            self._dropped = self._start = 0
            self._over = threading.Event()
            # A daemon: one that nobody ended must not keep the whole program.
            self._thread = threading.Thread(target=self._keep, name=f"log-{file.stem}", daemon=True)
            self._thread.start()
            self._open = undo.pop_all()

    def end(self) -> None:
        """Cut it a last time, and close it; ending again changes nothing."""
        if self._over.is_set():
            return
        self._over.set()
        self._thread.join()
        with self._open, contextlib.suppress(OSError):
            self.cut()

    def cut(self) -> None:
        """Leave out what is neither the beginning nor the end, where that is much."""
        size = os.fstat(self._ours).st_size
        if size <= HEAD + 2 * TAIL:
            return
        tail = os.pread(self._ours, TAIL, size - TAIL)
        # From a whole line on, where one begins soon.
        tail = tail[tail.find(b"\n", 0, TAIL // 2) + 1 :]
        start = HEAD + len(_NOTE % 0)
        os.pwrite(self._ours, tail, start)
        # Now and not before: what the child has written meanwhile is lost as well.
        size = os.fstat(self._ours).st_size
        os.ftruncate(self._ours, start + len(tail))
        self._dropped += size - (self._start or HEAD) - len(tail)
        self._start = start
        os.pwrite(self._ours, _NOTE % self._dropped, HEAD)

    def _keep(self) -> None:
        while not self._over.wait(_LOOK):
            # Such as a full disk: the next look may have more luck.
            with contextlib.suppress(OSError):
                self.cut()
