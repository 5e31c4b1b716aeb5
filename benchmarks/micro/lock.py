"""One measurement at a time on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TextIO

LOCK = Path(tempfile.gettempdir(), "measure.lock")
"""Whoever measures on this machine holds it, so that two runs do not time each other."""

_PAUSE = 0.02


@contextlib.asynccontextmanager
async def measuring() -> AsyncIterator[None]:
    """Hold the lock inside the block; waits for whoever has it."""
    file = _opened()
    if file is None:
        yield
        return
    with file:
        await locked(file)
        yield


@contextlib.contextmanager
def measuring_alone() -> Iterator[None]:
    """Hold the lock inside the block, like `measuring`, in a program without an event loop."""
    file = _opened()
    if file is None:
        yield
        return
    with file:
        while not _taken(file):
            time.sleep(_PAUSE)  # flock would wait by itself, but not be interrupted
        yield


async def locked(file: TextIO) -> None:
    """Lock *file* until it is closed; looks again and again, so that it can be cancelled."""
    while True:
        if _taken(file):
            return
        await asyncio.sleep(_PAUSE)


def _taken(file: TextIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _opened() -> TextIO | None:
    """Return the file, or None where it is another user's: then there is no agreement to keep."""
    try:
        return LOCK.open("a")
    except OSError:
        return None
