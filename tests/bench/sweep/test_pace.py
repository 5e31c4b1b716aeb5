"""How long a sweep takes, before and while it goes on."""

from __future__ import annotations

import pytest

from valkeyctl.bench.load.generator import Progress
from valkeyctl.bench.plan import Plan
from valkeyctl.bench.sweep.field import parse_values, steps
from valkeyctl.bench.sweep.pace import Pace, load_seconds, seconds

FOUR = parse_values("rate", ["1", "2", "4", "8"])


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def at(done: int, total: int | None) -> Progress:
    """Return how far a run is."""
    return Progress("measuring", "cached", 1, 5, done, total, 0, 1.0)


def test_the_usual_sweep_is_said_to_take_less_than_90_seconds() -> None:
    """40 seconds of load in 8 runs, each with a warm-up and its starts."""
    planned = steps("rate", FOUR, Plan.of(scenario="api", duration=40.0))

    assert sum(load_seconds(step.plan) for step in planned) == pytest.approx(48.0)
    assert 60 < seconds(planned) < 90


def test_the_share_is_of_time() -> None:
    """It moves while applications start, and is all of it at the end."""
    clock = Clock()
    planned = steps("rate", FOUR, Plan.of(scenario="api", duration=40.0))
    pace = Pace(planned, clock)
    shares = [pace.share(at(0, None))]
    for _ in planned:
        clock.now += 3.0
        shares.append(pace.share(at(0, None)))
        clock.now += 6.0
        shares.append(pace.share(at(100, 100)))
        pace.finished()

    assert shares[0] == 0.0
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    # Half of the runs, half of the time.
    assert shares[8] == pytest.approx(0.5, abs=0.02)


def test_what_runs_took_corrects_what_is_left() -> None:
    """Starts three times as slow as expected; one run that took a minute tells nothing."""
    clock = Clock()
    planned = steps("rate", FOUR, Plan.of(scenario="api", duration=40.0))
    pace = Pace(planned, clock)
    for took in (16.0, 16.0, 60.0):
        clock.now += took
        pace.finished()

    assert pace.share(at(0, 100)) == pytest.approx(92 / (92 + 6 + 4 * 16), abs=0.01)
