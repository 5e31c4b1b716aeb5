"""Workers that this machine has no room for."""

from __future__ import annotations

import pytest

from valkeyctl.bench.load.room import check_room
from valkeyctl.bench.plan import Plan
from valkeyctl.errors import UsageError


def test_more_workers_than_the_machine_can_run_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is a process of 80 MB; those elsewhere are their machines' business."""
    monkeypatch.setattr("os.cpu_count", lambda: 4)

    check_room(Plan.of(users=200, workers=16))
    check_room(Plan.of(users=200, workers=1, remote_workers=150))
    with pytest.raises(UsageError, match=r"17 workers are too many for the 4 cores .*; 16 are"):
        check_room(Plan.of(users=200, workers=17))


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"rate": 1e9}, "rate is 1000000000"),
        ({"rate": 1e6, "duration": 60.0}, "60,000,000 samples, and 20,000,000 are the most"),
        ({"rate": 1000.0, "duration": 1e6}, "1,000,000,000 samples"),
        ({"requests": 2**40, "users": 1}, "samples, and 20,000,000 are the most"),
        ({"users": 1_000_000}, "users is 1000000"),
        ({"users": 1, "deadline": 0.0}, "deadline is 0"),
    ],
)
def test_what_no_machine_can_hold_is_refused(values: dict[str, float], text: str) -> None:
    """Before anything starts."""
    with pytest.raises(UsageError, match=text):
        Plan.of(**values)  # type: ignore[arg-type]
