"""A lock on the data of a unit, held by the work on it itself, not by who ordered it.

Whoever is killed in the middle of putting other data in place leaves a script that goes
on. It has inherited this lock, so nobody starts a server from data that is about to be
replaced, and no second script works on the same data.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from valkeyctl.errors import ToolError

_PATIENCE = 120.0
_PAUSE = 0.01


@contextlib.contextmanager
def data_lock(folder: Path, *, patience: float = _PATIENCE) -> Iterator[int]:
    """Hold the lock of *folder*, and give the handle that keeps it for who inherits it.

    Args:
        folder: Of the unit, on this machine; it needs to be there.
        patience: Seconds to wait for another one's work.

    Raises:
        ToolError: Another one's work does not end.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        until = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > until:
                    raise ToolError(
                        f"a restore that was killed still works on the data of {folder.name}, "
                        f"after {patience:g} s",
                        hint=f"See what has its folder open: fuser -v {folder}",
                    ) from error
            time.sleep(_PAUSE)
        yield handle
    finally:
        os.close(handle)


def await_data(folder: Path) -> None:
    """Return when nobody works on the data of the unit in *folder*, which may not be there.

    Raises:
        ToolError: As `data_lock`.
    """
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), data_lock(folder):
        pass
