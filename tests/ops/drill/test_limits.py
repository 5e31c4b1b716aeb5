"""Drills that cannot be as they were asked for."""

from __future__ import annotations

import pytest

from valkeyctl.errors import UsageError
from valkeyctl.ops.drill.limits import LONGEST, require_confirmers, require_time


@pytest.mark.parametrize(
    ("drill", "hold", "timeout", "message"),
    [
        ("hang", 10.0, 3.0, "the fault lasts 10 s, and the drill gives up 3 s after"),
        ("full-memory", 5.0, 5.0, "gives up 5 s after"),
        ("hang", 0.0, 60.0, "a hang for 0 s is none"),
        ("partition", 0.0, 60.0, "a partition for 0 s is none"),
        ("kill", None, 0.0, "--timeout is 0 s"),
        ("kill", None, LONGEST + 1, "20m at most"),
    ],
)
def test_times_that_do_not_fit_are_refused(
    drill: str, hold: float | None, timeout: float, message: str
) -> None:
    """Else a plan would promise what the drill does not do."""
    with pytest.raises(UsageError, match=message):
        require_time(drill, hold, timeout)


def test_a_kill_takes_no_time() -> None:
    """Left to its restart policy: that is what 0 s means there."""
    require_time("kill", 0.0, 60.0)


@pytest.mark.parametrize(
    ("wanted", "replicas", "message"),
    [(1, 0, "has no replicas that could"), (3, 2, "has 2 replicas: 3 can never confirm")],
)
def test_more_confirmations_than_replicas_are_refused(
    wanted: int, replicas: int, message: str
) -> None:
    """No write would ever count as confirmed, and none as lost."""
    with pytest.raises(UsageError, match=message):
        require_confirmers("prod", wanted, replicas)


def test_as_many_confirmations_as_replicas_may_be_asked_for() -> None:
    """And none of a server without any."""
    require_confirmers("prod", 2, 2)
    require_confirmers("prod", 0, 0)
