"""Ctrl-C and SIGTERM are a question first, and the second time what they were before."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from valkeyctl.ops.keyspace.removal.halt import Halt


@pytest.fixture(params=[signal.SIGINT, signal.SIGTERM])
def number(request: pytest.FixtureRequest) -> Iterator[signal.Signals]:
    """A signal, whose handler is put back afterwards."""
    which: signal.Signals = request.param
    before = signal.getsignal(which)
    yield which
    signal.signal(which, before)


def test_the_first_is_a_question_and_the_second_is_not(number: signal.Signals) -> None:
    """So that work which hangs can be ended all the same."""
    struck: list[int] = []
    signal.signal(number, lambda got, _: struck.append(got))

    with Halt() as halt:
        assert not halt.asked
        signal.raise_signal(number)
        assert (halt.asked, struck) == (True, [])
        signal.raise_signal(number)

    assert struck == [number]


def test_afterwards_all_is_as_before(number: signal.Signals) -> None:
    """Whether it was asked or not."""
    struck: list[int] = []
    signal.signal(number, lambda got, _: struck.append(got))

    with Halt():
        pass
    signal.raise_signal(number)

    assert struck == [number]


def test_what_is_ignored_stays_so(number: signal.Signals) -> None:
    """As for a process that was started in the background."""
    signal.signal(number, signal.SIG_IGN)

    with Halt() as halt:
        signal.raise_signal(number)

    assert not halt.asked
