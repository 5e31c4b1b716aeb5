"""One core for the server and another for the library, where the system lets us choose."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Cores:
    """Which core each part runs on; empty sets leave the choice to the system."""

    server: frozenset[int] = frozenset()
    worker: frozenset[int] = frozenset()

    def __str__(self) -> str:
        if not self.server:
            return "not pinned"
        return f"server on core {min(self.server)}, library on core {min(self.worker)}"


def choose(*, pin: bool) -> Cores:
    """Return a core for each, or none where there are too few or the system has no such call."""
    if not pin or not hasattr(os, "sched_setaffinity"):
        return Cores()
    ours = sorted(os.sched_getaffinity(0))
    if len(ours) < 2:
        return Cores()
    return Cores(frozenset(ours[:1]), frozenset(ours[1:2]))


def settle(pid: int, cores: frozenset[int]) -> None:
    """Let process *pid*, and what it starts from now on, run on *cores* only."""
    if cores:
        os.sched_setaffinity(pid, cores)
