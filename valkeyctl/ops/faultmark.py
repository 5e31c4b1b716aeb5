"""A fault that is in force, written down so that another command can undo it."""

from __future__ import annotations

import contextlib
import json
import os
import time
from dataclasses import asdict, dataclass

import psutil

from valkeyctl.errors import RefusedError
from valkeyctl.ops.statefolder import StateFolder
from valkeyctl.runtime.files import private_folder, write_private

_SKEW = 1.0  # seconds by which the kernel's and our reading of one moment may differ


@dataclass(frozen=True)
class Mark:
    """What was done to a deployment and is to be undone.

    Attributes:
        drill: Which one: ``kill``, ``hang``, ``partition`` or ``full-memory``.
        unit: What it was done to.
        run: The word in the keys of the drill.
        app: First part of these keys.
        fills: How many keys it may have written to fill the memory.
        pid: Of the command that did it.
        began_at: When, in seconds since the epoch.
    """

    drill: str
    unit: str
    run: str
    app: str
    fills: int = 0
    pid: int = 0
    began_at: float = 0.0


def set_mark(state: StateFolder, name: str, mark: Mark) -> None:
    """Write *mark* down; must come before the fault that it tells of.

    Raises:
        FolderError: It cannot be written.
    """
    file = state.drill_mark(name)
    private_folder(file.parent)
    fields = {**asdict(mark), "pid": os.getpid(), "began_at": time.time()}
    write_private(file, json.dumps(fields, indent=2) + "\n")


def read_mark(state: StateFolder, name: str) -> Mark | None:
    """Return the fault that is, or was left, in force on *name*; None without one."""
    try:
        return Mark(**json.loads(state.drill_mark(name).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError):
        # Half a word is enough to know that something was done: everything is undone.
        return Mark(drill="drill", unit="", run="", app="")


def clear_mark(state: StateFolder, name: str) -> None:
    """Forget the fault; to be called when it is undone."""
    state.drill_mark(name).unlink(missing_ok=True)


def require_nothing_left(name: str, state: StateFolder, *, locked: bool = True) -> None:
    """Refuse a second fault on top of one: its mark would take the place of the first one's.

    Args:
        name: Of the deployment.
        state: Our own files.
        locked: Whether the caller holds its lock. Else a drill whose command still works
            is no reason: the lock will say so.

    Raises:
        RefusedError: A drill has left its fault in force.
    """
    mark = read_mark(state, name)
    if mark is not None and (locked or not _at_work(mark)):
        raise RefusedError(
            f"an earlier drill of {name} has left a fault in force",
            hint=f"Undo it first: valkeyctl drill undo -p {name}",
        )


def mark_warning(state: StateFolder, name: str) -> str:
    """Return what an operator of *name* must know of a drill; empty without one."""
    mark = read_mark(state, name)
    if mark is None:
        return ""
    what = f"a drill ({mark.drill})" + (f" of {mark.unit}" if mark.unit else "")
    if _at_work(mark):
        return f"{what} runs at this moment (pid {mark.pid})"
    return f"{what} was not undone; undo it: valkeyctl drill undo -p {name}"


def _at_work(mark: Mark) -> bool:
    """Say whether the command that made *mark* still runs."""
    with contextlib.suppress(psutil.Error, ValueError, TypeError):
        # The number of one that was killed may be another process's by now.
        return bool(mark.pid) and psutil.Process(mark.pid).create_time() <= mark.began_at + _SKEW
    return False
