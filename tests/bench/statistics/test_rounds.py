"""How many rounds a run gets when nobody says."""

from __future__ import annotations

import pytest

from valkeyctl.bench.statistics.intervals import LEAST_ROUNDS
from valkeyctl.bench.statistics.rounds import rounds_for


@pytest.mark.parametrize(
    ("duration", "arms", "requests", "rounds"),
    [
        (60, 2, None, 120),
        (30, 2, None, 60),
        (30, 3, None, 40),
        (4, 2, None, 20),
        (1, 2, None, LEAST_ROUNDS),
        (3600, 2, None, 200),
        (60, 2, 300, 30),
        (60, 2, 20, LEAST_ROUNDS),
        (60, 2, 3, 3),
        (60, 2, 0, 1),
    ],
)
def test_rounds_follow_from_the_duration(
    duration: float, arms: int, requests: int | None, rounds: int
) -> None:
    """Quarters of a second, within what intervals need and what requests allow."""
    assert rounds_for(duration, arms, requests) == rounds
