"""What is logged of failures that callers do not see."""

from __future__ import annotations

from structlog.testing import capture_logs

from valkeyctl.caching.stats import Tally
from valkeyctl.caching.trouble import Trouble
from valkeyctl.errors import DeadlineError, ServerReplyError, UnreachableError


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """Return the seconds."""
        return self.now


def test_an_outage_is_two_lines() -> None:
    """Its beginning, and its end with what failed last; reads and writes apart."""
    trouble, tally = Trouble(clock=Clock()), Tally()

    with capture_logs() as lines:
        for _ in range(100):
            trouble.failed((tally,), "read", UnreachableError("gone"))
        trouble.failed((tally,), "read", DeadlineError("late"))
        trouble.failed((tally,), "write", ServerReplyError("full", reply="OOM"))
        trouble.worked("read")
        trouble.worked("read")

    assert [(line["event"], line["direction"]) for line in lines] == [
        ("cache_degraded", "read"),
        ("cache_degraded", "write"),
        ("cache_recovered", "read"),
    ]
    assert lines[-1]["after"] == "deadline"
    assert tally.errors == {"unreachable": 100, "deadline": 1, "server": 1}


def test_a_part_that_is_away_does_not_fill_the_log() -> None:
    """One node of three: calls fail and work by turns, and that is said every five seconds."""
    clock = Clock()
    trouble, tally = Trouble(clock=clock), Tally()

    with capture_logs() as lines:
        for _ in range(1200):
            clock.now += 0.01
            trouble.failed((tally,), "read", UnreachableError("gone"))
            trouble.worked("read")

    assert [line["event"] for line in lines] == ["cache_degraded", "cache_recovered"] * 3
    assert tally.errors == {"unreachable": 1200}


def test_a_second_outage_is_told_though_it_comes_soon() -> None:
    """When the five seconds are over, if it still lasts then."""
    clock = Clock()
    trouble, tally = Trouble(clock=clock), Tally()

    with capture_logs() as lines:
        trouble.failed((tally,), "read", UnreachableError("gone"))
        trouble.worked("read")
        for _ in range(70):
            clock.now += 0.1
            trouble.failed((tally,), "read", UnreachableError("gone again"))
        trouble.worked("read")

    assert [line.get("reason", "-") for line in lines] == ["gone", "-", "gone again", "-"]
