"""Stages played in this process: real sockets, real samples on disk."""

from __future__ import annotations

import gc
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.bench.load.scripted import Scripted, always, request
from valkeyctl.bench.arm import Arm
from valkeyctl.bench.load.blocks import WARMUP, Stage
from valkeyctl.bench.load.exchange import Exchange
from valkeyctl.bench.load.orders import Orders
from valkeyctl.bench.load.origin import Origin
from valkeyctl.bench.load.record import OUTCOMES, SAMPLES_FILE, Recorder
from valkeyctl.bench.load.scenarioplayer import ScenarioPlayer
from valkeyctl.bench.plan import Plan
from valkeyctl.bench.samples import DTYPE
from valkeyctl.bench.traffic.scenario import Expectation, Keys, RequestTemplate, Scenario
from valkeyctl.bench.traffic.stream import Request

SCENARIO = Scenario(
    name="two",
    about="Two kinds",
    requests=(
        RequestTemplate("get", path="/{key}"),
        RequestTemplate("post", method="POST", path="/p", body="x", expect=Expectation((200,))),
    ),
    keys=Keys(10, "uniform"),
    application="none",
)
PLAN = Plan(scenario=SCENARIO, arms=(Arm("a"), Arm("b", headers=(("X-Arm", "b"),))), users=3)
REPLY = b"HTTP/1.1 200 OK\r\nX-Cache: hit\r\nContent-Length: 2\r\n\r\nok"

MakePlayer = Callable[..., ScenarioPlayer]


class Totals:
    """What is counted beside the samples."""

    def __init__(self) -> None:
        self.counted: list[tuple[int, str, int, str | None]] = []

    def __call__(self, arm: int, request: Request, exchange: Exchange, error: str | None) -> None:
        self.counted.append((arm, request.method, exchange.size, error))


@pytest.fixture
def totals() -> Totals:
    """Somebody else's books."""
    return Totals()


@pytest.fixture
def player_of(tmp_path: Path, totals: Totals) -> Iterator[MakePlayer]:
    """Make players that are closed after the test."""
    made: list[ScenarioPlayer] = []

    def make(plan: Plan, url: str) -> ScenarioPlayer:
        orders = Orders(plan, (url,) * len(plan.arms), "", tmp_path, 0)
        made.append(ScenarioPlayer(orders, Recorder(tmp_path), totals, worker=5))
        return made[-1]

    yield make
    for player in made:
        player.close()
    gc.unfreeze()


def play(player: ScenarioPlayer, *stages: Stage) -> None:
    """Play *stages* as a conductor would."""
    player.begin([stage.size for stage in stages])
    for stage in stages:
        player.prepare(stage)
        player.play(stage)


def rows(folder: Path) -> np.ndarray[tuple[int], np.dtype[np.void]]:
    """Return what is on disk by now."""
    return np.fromfile(folder / SAMPLES_FILE, DTYPE)


def test_every_request_of_a_stage_is_a_sample_on_disk(
    player_of: MakePlayer, totals: Totals, tmp_path: Path
) -> None:
    """Of a closed loop, before anything is closed."""
    with Scripted(always(REPLY)) as server:
        player = player_of(PLAN, server.url)
        play(player, Stage(1, 0, 200))

        # Arms of one server share its connections.
        assert server.seen == 3
    kept = rows(tmp_path)
    assert sorted(kept["index"]) == list(range(200))
    assert {OUTCOMES[code] for code in kept["outcome"]} == {"hit"}
    assert set(kept["request"]) == {0, 1}
    for name, value in {"arm": 1, "round": 0, "status": 200, "size": 2, "worker": 5}.items():
        assert (kept[name] == value).all(), name
    assert (kept["start"] >= kept["intended"]).all()
    assert (kept["end"] > kept["start"]).all()
    assert len(totals.counted) == 200
    assert set(totals.counted) == {(1, "GET", 2, None), (1, "POST", 2, None)}


def test_a_stage_goes_on_for_no_longer_than_its_run_was_to_take(player_of: MakePlayer) -> None:
    """By its duration; where the number of requests was asked for, all that was due is sent."""

    def slow(connection: socket.socket) -> None:
        while request(connection):
            time.sleep(0.004)
            connection.sendall(REPLY)

    plan = replace(PLAN, rate=5000.0, max_in_flight=1, duration=0.1)
    sent = []
    for one in (plan, replace(plan, requests=120, rounds=2)):
        with Scripted(slow) as server:
            player = player_of(one, server.url)
            player.begin([20, 100])
            player.prepare(Stage(0, 0, 20))
            sent.append(player.play(Stage(0, 0, 20)).requests)

    assert sent[0] is not None
    assert 20 <= sent[0] < 80
    assert sent[1] == 120


def test_an_open_stage_tells_its_cost_and_its_lateness(
    player_of: MakePlayer, tmp_path: Path
) -> None:
    """Both are of the generator: what waits for a place in flight is not late by its doing."""
    plan = replace(PLAN, rate=20_000.0, arrivals="constant", max_in_flight=2)
    with Scripted(always(REPLY)) as server:
        player = player_of(plan, server.url)
        player.begin([200])
        span = player.prepare(Stage(0, 0, 200))
        played = player.play(Stage(0, 0, 200))

    kept = rows(tmp_path)
    late = np.sort((kept["start"] - kept["intended"])[kept["queued"] == 0]) * 1000
    assert 0 < len(late) < 200
    assert span == pytest.approx(199 / 20_000)
    assert played.end - played.begin >= 199 / 20_000
    assert played.cpu is not None
    assert 0 < played.cpu < played.end - played.begin + 0.1
    assert played.lateness_p99_ms == late[-(-99 * len(late) // 100) - 1]


def test_the_collector_is_off_while_a_stage_is_played(player_of: MakePlayer) -> None:
    """And on again after it; a full collection would stop the clock."""
    seen: list[bool] = []

    def script(connection: socket.socket) -> None:
        while request(connection):
            seen.append(gc.isenabled())
            connection.sendall(REPLY)

    with Scripted(script) as server:
        play(player_of(PLAN, server.url), Stage(0, 0, 5))

    assert seen == [False] * 5
    assert gc.isenabled()


def test_a_warm_up_ends_by_time_and_is_marked(player_of: MakePlayer, tmp_path: Path) -> None:
    """Its rate is that of the right answers."""
    with Scripted(always(REPLY)) as server:
        right = player_of(PLAN, server.url).warm_up(0, 0.05)
    player = player_of(PLAN, server.url)

    assert right > 0
    assert player.warm_up(0, 0.05) == 0
    player.close()
    kept = rows(tmp_path)
    assert (kept["round"] == WARMUP).all()
    assert (kept["error"] == 1).all()
    assert player.tally().failed == player.tally().samples == len(kept)


def test_samples_that_cannot_be_written_end_the_stage(
    player_of: MakePlayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error in a callback would otherwise be a line in a log, and a hole in the samples."""

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "no space left on device")

    with Scripted(always(REPLY)) as server:
        player = player_of(PLAN, server.url)
        monkeypatch.setattr(Recorder, "write", full)

        with pytest.raises(OSError, match="no space left"):
            play(player, Stage(0, 0, 50))


@pytest.mark.parametrize(
    ("reply", "calls"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 32\r\n\r\nvalkeyctl_origin_calls_total 7.0", 7),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nup", None),
        (b"HTTP/1.1 404 No\r\nContent-Length: 32\r\n\r\nvalkeyctl_origin_calls_total 7.0", None),
        (b"SSH-2.0\r\n", None),
    ],
)
def test_the_origin_s_calls_are_asked_of_each_arm_s_server(reply: bytes, calls: int | None) -> None:
    """Below the base URL; unknown where the server does not say."""
    seen: list[bytes] = []

    def script(connection: socket.socket) -> None:
        while asked := request(connection):
            seen.append(asked)
            connection.sendall(reply)

    with Scripted(script) as server:
        origin = Origin(PLAN.arms, (f"{server.url}/base",) * 2)
        found = [origin.calls(0), origin.calls(1)]
        origin.close()

    assert found == [calls, calls]
    assert seen[1].startswith(b"GET /base/metrics HTTP/1.1\r\n")
    assert b"X-Arm: b\r\n" in seen[1]
