"""Bringing the clock of another machine to ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_SPACES = Path("/proc/self/ns")


@dataclass(frozen=True)
class Offset:
    """How another process's monotonic clock stands to ours.

    Attributes:
        seconds: What is added to its time to get ours.
        error: Seconds that this may be wrong by, at most.
    """

    seconds: float = 0.0
    error: float = 0.0


def offset(asked: Sequence[tuple[float, float, float]]) -> Offset:
    """Return how a clock stands to ours, by the question whose answer came back quickest.

    Its answer was given somewhere between our asking and our hearing of it; the middle is
    wrong by half of that time at most.

    Args:
        asked: For each question: when it was asked by our clock, the time it was answered
            with, and when the answer had come by our clock; at least one.

    Source: F. Cristian, Probabilistic clock synchronization, Distributed Computing 3 (1989).
    """
    before, theirs, after = min(asked, key=lambda one: one[2] - one[0])
    return Offset((before + after) / 2 - theirs, (after - before) / 2)


def clock_name() -> str:
    """Return what processes with one monotonic clock have in common; empty when unknown.

    One boot of one machine has one clock, unless a container was given its own.
    """
    return _named("time")


def loopback_name() -> str:
    """Return what processes with one loopback interface have in common; empty when unknown."""
    return _named("net")


def _named(space: str) -> str:
    try:
        return f"{_BOOT.read_text().strip()} {(_SPACES / space).stat().st_ino}"
    except OSError:
        return ""  # not Linux: each process is taken to be on a machine of its own
