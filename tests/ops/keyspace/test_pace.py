"""How hard a walk works, and how it makes room for others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import start_server
from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.ops.keyspace.pace import Canary, Impact, Pace
from valkeyctl.ops.keyspace.scan import Walker


class Clock:
    """Tells the times that a test gives it; between two of a pair lies one PING."""

    def __init__(self) -> None:
        self.now = 0.0
        self.ping = 0.1
        self._inside = False

    def __call__(self) -> float:
        if self._inside:
            self.now += self.ping
        self._inside = not self._inside
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def canary(wire: Wire, clock: Clock) -> Iterator[Canary]:
    """A canary that has found a PING to take 0.1 s when idle, and minds 0.5 s more."""
    made = Canary(wire, 0.5, clock)
    yield made
    made.close()


@pytest.mark.parametrize("impact", Impact)
def test_a_lower_impact_takes_less(impact: Impact) -> None:
    """In the length of a step and in the share of the time; only the highest watches nobody."""
    pace, most = Pace.of(impact), Pace.of(Impact.MAX)

    assert pace.target <= most.target
    assert pace.duty <= most.duty == 1
    assert (pace.slack is None) == (impact is Impact.MAX)


def test_a_canary_tells_how_much_longer_others_wait(canary: Canary, clock: Clock) -> None:
    """Beside a step, above what an idle server takes."""
    clock.ping = 0.7
    canary.send()

    assert canary.take() == pytest.approx(0.6)


def test_a_strained_server_is_given_more_and_more_rest(canary: Canary, clock: Clock) -> None:
    """Twice as much each time, and back again bit by bit."""
    clock.ping = 0.7
    strained = [canary.restraint() for _ in range(9)]
    clock.ping = 0.1
    eased = [canary.restraint() for _ in range(20)]

    assert strained == [2, 4, 8, 16, 32, 64, 64, 64, 64]
    assert eased == sorted(eased, reverse=True)
    assert eased[-1] == 1


def test_the_effect_is_what_was_felt(canary: Canary, clock: Clock) -> None:
    """Idle, 99 of 100, and the worst."""
    for wait in (*[0.2] * 199, 3.0):
        clock.ping = wait
        canary.send()
        canary.take()

    effect = canary.effect()

    assert effect.idle_ms == pytest.approx(100)
    assert effect.p99_ms == pytest.approx(200)
    assert effect.worst_ms == pytest.approx(3000)


def test_without_a_connection_to_spare_a_walk_watches_nobody(tmp_path: Path) -> None:
    """A server at its limit of clients is the last to be told to wait; the walk is whole."""
    process, full = start_server(tmp_path)
    try:
        with Walker(full, sleep=lambda _: None) as walker:
            walker.wire.pipeline(("SET", f"k:{number}", "v") for number in range(1_000))
            walker.wire.call("CONFIG", "SET", "maxclients", 1)
            keys = [key for batch in walker.walk(pace=Pace.of(Impact.LOW)) for key in batch.keys]

        assert (len(set(keys)), walker.effect) == (1_000, None)
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("impact", Impact)
def test_a_walk_at_any_impact_is_whole(endpoint: Endpoint, wire: Wire, impact: Impact) -> None:
    """It sleeps and watches, and gives each key once; its effect is known when it watched."""
    wire.pipeline(("SET", f"k:{number}", "v") for number in range(3_000))

    with Walker(endpoint, sleep=lambda _: None) as walker:
        keys = [key for batch in walker.walk(pace=Pace.of(impact)) for key in batch.keys]

    assert len(keys) == len(set(keys)) == 3_000
    assert (walker.effect is None) == (impact is Impact.MAX)
