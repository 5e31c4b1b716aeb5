"""A rate is kept evenly, without a burst after a pause."""

from __future__ import annotations

from valkeyctl.ops.keyspace.loading.throttle import Throttle


class Clock:
    """Moves by sleeping."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def test_so_many_pass_in_a_second() -> None:
    """The first at once, the others as their turn comes."""
    clock = Clock()
    throttle = Throttle(100, clock=clock, sleep=clock.sleep)

    for _ in range(21):
        throttle.turn(throttle.step)

    assert throttle.step == 5
    assert round(clock.now - 100, 6) == 1.0
    assert max(clock.slept) < 0.051


def test_a_pause_is_not_made_up_for() -> None:
    """What was not used is gone."""
    clock = Clock()
    throttle = Throttle(10, clock=clock, sleep=clock.sleep)
    throttle.turn(1)
    clock.now += 60

    throttle.turn(1)
    throttle.turn(1)

    assert [round(seconds, 6) for seconds in clock.slept] == [0.1]


def test_without_a_rate_nothing_waits() -> None:
    """And any number may be asked for at once."""
    clock = Clock()
    throttle = Throttle(None, clock=clock, sleep=clock.sleep)

    throttle.turn(10**9)

    assert (clock.slept, throttle.step, throttle.limited) == ([], 0, False)
