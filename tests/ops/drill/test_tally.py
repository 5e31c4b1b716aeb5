"""What a probe remembers: gaps and errors."""

from __future__ import annotations

import pytest

from valkeyctl.errors import (
    BreakerOpenError,
    DeadlineError,
    ServerReplyError,
    UnreachableError,
    ValkeyctlError,
)
from valkeyctl.ops.drill.tally import Tally, kind_of, merged, worst


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def answered(*moments: float) -> Tally:
    """Return a tally of calls that were answered at *moments*."""
    clock = Clock()
    tally = Tally(clock)
    for clock.now in moments:
        tally.answer()
    return tally


def test_the_gap_is_the_longest_time_between_two_answers() -> None:
    """And it says when it began."""
    gap = answered(1.0, 1.1, 4.1, 4.2).gap(1.0, 4.3)

    assert gap.seconds == pytest.approx(3.0)
    assert gap.began == 1.1


def test_a_gap_that_is_still_open_counts() -> None:
    """Nobody knows how much longer it would have become, but it was that long."""
    assert answered(1.0).gap(0.5, 9.0).seconds == 8.0
    assert answered().gap(2.0, 9.0).seconds == 7.0


def test_answers_outside_of_the_time_asked_for_do_not_count() -> None:
    """What was answered before the fault says nothing of it."""
    assert answered(0.1, 5.0, 20.0).gap(1.0, 10.0).seconds == 5.0


def test_the_worst_of_several_shards_is_told() -> None:
    """Five shards that serve do not make up for the one that does not."""
    gaps = [answered(1.0, 2.0).gap(0.0, 3.0), answered(1.0).gap(0.0, 9.0)]

    found = worst(gaps)

    assert found is not None
    assert found.seconds == 8.0
    assert worst([]) is None


def test_errors_are_counted_by_kind_with_the_first_as_an_example() -> None:
    """Over all probes, the most frequent first."""
    one, other = Tally(), Tally()
    one.error(ServerReplyError("first", reply="OOM"))
    one.error(ServerReplyError("second", reply="OOM"))
    other.error(UnreachableError("away"))

    found = [(error.kind, error.count, error.example) for error in merged([one, other])]

    assert found == [("oom", 2, "first"), ("unreachable", 1, "away")]
    assert (one.failures, one.answers) == (2, 0)


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (DeadlineError("late"), "no_answer"),
        (BreakerOpenError("open"), "breaker_open"),
        (UnreachableError("away"), "unreachable"),
        (ServerReplyError("no", reply="READONLY"), "readonly"),
        (ServerReplyError("no"), "error"),
    ],
)
def test_a_failure_is_counted_by_what_a_client_can_tell(failure: ValkeyctlError, kind: str) -> None:
    """A breaker that is open is no server that is away, though both are unreachable."""
    assert kind_of(failure) == kind


def test_the_first_answer_and_the_first_error_after_a_moment() -> None:
    """Of these the timeline is made."""
    clock = Clock()
    tally = Tally(clock)
    for clock.now in (1.0, 5.0):
        tally.answer()
    clock.now = 3.0
    tally.error(UnreachableError("away"))

    assert tally.first_error(2.0) == 3.0
    assert tally.first_answer(3.0) == 5.0
    assert tally.first_answer(5.0) is None
