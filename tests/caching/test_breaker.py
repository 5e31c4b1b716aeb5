"""The breaker's states, on a clock that the test moves."""

from __future__ import annotations

import pytest

from valkeyctl.caching.breaker import Breaker
from valkeyctl.errors import BreakerOpenError, UsageError


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock at rest."""
    return Clock()


def state(breaker: Breaker) -> str:
    """Return where *breaker* stands, as a plain str that mypy does not narrow."""
    return breaker.state


def opened(clock: Clock, *, probes: int = 1) -> Breaker:
    """Return a breaker that two failures in a row have opened."""
    breaker = Breaker(failures=2, cooldown=10, probes=probes, clock=clock)
    for _ in range(2):
        breaker.failed(breaker.admit())
    return breaker


def test_failures_in_a_row_open_it(clock: Clock) -> None:
    """The last failure of the row is the one that opens."""
    breaker = Breaker(failures=2, cooldown=10, clock=clock)
    breaker.failed(breaker.admit())
    assert state(breaker) == "closed"

    breaker.failed(breaker.admit())

    assert state(breaker) == "open"
    with pytest.raises(BreakerOpenError, match=r"last 2 failed.*10\.0 s"):
        breaker.admit()


def test_a_success_in_between_starts_the_row_anew(clock: Clock) -> None:
    """Single failures never open it, however many over time."""
    breaker = Breaker(failures=2, clock=clock)

    for _ in range(10):
        breaker.failed(breaker.admit())
        breaker.succeeded(breaker.admit())

    assert state(breaker) == "closed"


def test_after_the_cooldown_a_bounded_number_probes(clock: Clock) -> None:
    """Half-open lets two in and refuses the third."""
    breaker = opened(clock, probes=2)
    clock.now += 10

    breaker.admit()
    breaker.admit()

    assert state(breaker) == "half-open"
    with pytest.raises(BreakerOpenError, match="probes"):
        breaker.admit()


def test_a_probe_that_succeeds_closes_it(clock: Clock) -> None:
    """One answer is enough, and the row starts at zero."""
    breaker = opened(clock)
    clock.now += 10

    breaker.succeeded(breaker.admit())
    breaker.failed(breaker.admit())

    assert state(breaker) == "closed"


def test_a_probe_that_fails_opens_it_for_another_cooldown(clock: Clock) -> None:
    """One failed probe is enough; the cooldown counts from it."""
    breaker = opened(clock)
    clock.now += 10
    permit = breaker.admit()
    clock.now += 1

    breaker.failed(permit)

    clock.now += 9
    with pytest.raises(BreakerOpenError):
        breaker.admit()


def test_a_cancelled_probe_makes_room_for_the_next(clock: Clock) -> None:
    """A probe without a result must not keep the breaker half-open for ever."""
    breaker = opened(clock)
    clock.now += 10

    breaker.released(breaker.admit())
    breaker.succeeded(breaker.admit())

    assert state(breaker) == "closed"


def test_results_of_another_time_say_nothing(clock: Clock) -> None:
    """A call admitted before it opened neither closes it nor counts as a probe."""
    breaker = Breaker(failures=1, cooldown=10, clock=clock)
    early, late = breaker.admit(), breaker.admit()
    breaker.failed(early)

    breaker.succeeded(late)

    assert state(breaker) == "open"
    clock.now += 10
    probe = breaker.admit()
    breaker.failed(late)
    breaker.released(late)
    assert state(breaker) == "half-open"
    breaker.succeeded(probe)
    assert state(breaker) == "closed"


def test_tripping_again_starts_the_cooldown_again(clock: Clock) -> None:
    """While somebody else finds the server gone, callers are not sent to probe."""
    breaker = opened(clock)
    clock.now += 9
    breaker.trip()
    clock.now += 9

    with pytest.raises(BreakerOpenError):
        breaker.admit()

    breaker.reset()
    assert state(breaker) == "closed"


@pytest.mark.parametrize("options", [{"failures": 0}, {"probes": 0}, {"cooldown": -1}])
def test_numbers_out_of_range_are_refused(options: dict[str, int]) -> None:
    """A breaker that never opens, or never closes, is not made."""
    with pytest.raises(UsageError):
        Breaker(**options)  # type: ignore[arg-type]
