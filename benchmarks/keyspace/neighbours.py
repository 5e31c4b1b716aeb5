"""How much other processes were in the way of the server: what a noisy machine does to figures."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

_NS = 1e9


@dataclass(frozen=True)
class Schedule:
    """What became of a process since its start, in seconds.

    Attributes:
        waited: Its first thread was ready, and something else ran.
        beside: Its other threads ran, maybe while the first one waited.
    """

    waited: float
    beside: float

    def held_up_since(self, earlier: Schedule) -> float:
        """Return the seconds since *earlier* that other processes held it up, at least."""
        return max(0.0, self.waited - earlier.waited - (self.beside - earlier.beside))


def schedule_of(pid: int) -> Schedule | None:
    """Return the schedule of process *pid*, or None where the system, not Linux, hides it."""
    waited: float | None = None
    beside = 0.0
    for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with contextlib.suppress(OSError, ValueError):  # the thread ended just now
            ran, behind, _ = map(int, path.read_text().split())
            if path.parent.name == str(pid):
                waited = behind / _NS
            else:
                beside += ran / _NS
    return None if waited is None else Schedule(waited, beside)
