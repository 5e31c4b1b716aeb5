"""The order of a run, with a player that only notes what it was asked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from valkeyctl.bench.arm import Arm, Node
from valkeyctl.bench.load.blocks import WARMUP, Stage
from valkeyctl.bench.load.conductor import Conductor
from valkeyctl.bench.load.orders import Orders
from valkeyctl.bench.load.player import Played, Tally
from valkeyctl.bench.plan import Plan

ARMS = (Arm("a"), Arm("b"))


class NotingPlayer:
    """Plays each stage in a second by its own clock."""

    def __init__(
        self, *, right: bool = True, scheduled: float | None = None, held: float | None = None
    ) -> None:
        self.asked: list[object] = []
        self._right = right
        self._scheduled = scheduled
        self._held = held
        self._samples = 0
        self._clock = 0.0

    def tally(self) -> Tally:
        return Tally(self._samples, 0 if self._right else self._samples)

    def warm_up(self, arm: int, seconds: float) -> float:
        self.asked.append(("warm-up", arm, seconds))
        self._samples += 10
        return 100.0 if self._right else 0.0

    def held(self) -> float | None:
        return self._held

    def begin(self, sizes: Sequence[int]) -> None:
        self.asked.append(list(sizes))

    def prepare(self, stage: Stage) -> float | None:
        self.asked.append(("prepare", stage.arm, stage.round))
        return self._scheduled

    def play(self, stage: Stage) -> Played:
        self.asked.append(("play", stage.arm, stage.round))
        self._clock += 1.0
        return Played(self._clock - 1, self._clock, cpu=0.25, lateness_p99_ms=None)

    def close(self) -> None:
        self.asked.append("close")


class Counter:
    """An origin that counts ten calls more whenever it is asked."""

    def __init__(self, player: NotingPlayer) -> None:
        self._player = player
        self.calls = 0

    def __call__(self, arm: int) -> int | None:
        self._player.asked.append(("origin", arm))
        self.calls += 10
        return self.calls


def conduct(
    folder: Path, plan: Plan, player: NotingPlayer
) -> tuple[bool, list[dict[str, Node]], list[dict[str, Node]]]:
    """Return how it ended, what was told, and the lines of the stages."""
    told: list[dict[str, Node]] = []

    def tell(**message: Node) -> None:
        told.append(message)

    orders = Orders(plan, ("http://a", "http://b"), "", folder, 0)
    done = Conductor(orders, player, Counter(player), tell).conduct()
    log = folder / "stages.jsonl"
    lines = log.read_text().splitlines() if log.exists() else []
    return done, told, [json.loads(line) for line in lines]


def test_a_run_from_warm_up_to_its_last_stage(tmp_path: Path) -> None:
    """Counters are read outside of the clocked stage, and nothing else comes between."""
    player = NotingPlayer()
    plan = Plan.of(arms=ARMS, requests=20, rounds=2, warmup=1.0)

    done, told, lines = conduct(tmp_path, plan, player)

    def stage(arm: int, number: int) -> list[object]:
        around = ("origin", arm)
        return [("prepare", arm, number), around, ("play", arm, number), around]

    assert done
    assert player.asked == [
        ("warm-up", 0, 0.5), ("warm-up", 1, 0.5), [10, 10],
        *stage(0, 0), *stage(1, 0), *stage(1, 1), *stage(0, 1),
    ]  # fmt: skip
    assert [line["origin_calls"] for line in lines] == [10] * 4
    assert lines[0] == {
        "arm": 0, "round": 0, "size": 10, "begin": 0.0, "end": 1.0, "origin_calls": 10,
        "cpu": 0.25, "lateness_p99_ms": None,
    }  # fmt: skip
    assert [message["event"] for message in told] == ["stage", "stage", "sizes", *["stage"] * 4]


def test_the_parent_learns_how_long_a_stage_will_take(tmp_path: Path) -> None:
    """By its schedule, else by what the arm's requests took last."""
    plan = Plan.of(arms=ARMS, requests=20, rounds=2, warmup=1.0)

    _, told, _ = conduct(tmp_path, plan, NotingPlayer())
    _, scheduled, _ = conduct(tmp_path, plan, NotingPlayer(scheduled=0.75))

    seconds = [message["seconds"] for message in told if message["event"] == "stage"]
    # Two warm-ups, two stages at the pilot's 100 a second, two at a second for ten.
    assert seconds == [0.5, 0.5, 0.1, 0.1, 1.0, 1.0]
    assert [m["seconds"] for m in scheduled if m["event"] == "stage"][2:] == [0.75] * 4
    assert told[0]["round"] == WARMUP


def test_a_warm_up_without_a_right_answer_ends_the_run(tmp_path: Path) -> None:
    """Before a single stage."""
    done, told, lines = conduct(tmp_path, Plan.of(arms=ARMS), NotingPlayer(right=False))

    assert not done
    assert lines == []
    assert [message["round"] for message in told] == [WARMUP, WARMUP]


def test_a_run_is_cut_to_what_can_be_played(tmp_path: Path) -> None:
    """And says so: 1,000 a second of 5,000 for twice 2 s, two arms."""
    plan = Plan.of(rate=5000.0, duration=2.0, rounds=5, warmup=0.1, arms=ARMS)
    player = NotingPlayer(held=1000.0)

    done, told, lines = conduct(tmp_path, plan, player)

    assert done
    assert sum(int(str(line["size"])) for line in lines) == 2 * 2000
    (text,) = [str(one["text"]) for one in told if one["event"] == "shortened"]
    assert "2,000 of 5,000 requests of each arm" in text


def test_a_run_that_takes_too_long_ends_with_the_rounds_it_has(tmp_path: Path) -> None:
    """Not in the middle of one, and not before a minute or four times what was asked for."""
    plan = Plan.of(users=4, duration=20.0, rounds=10, warmup=0.1, arms=ARMS)
    player = NotingPlayer()
    told: list[dict[str, Node]] = []
    moments = iter([1000.0, 1079.0, 1081.0])
    orders = Orders(plan, ("http://a", "http://b"), "", tmp_path, 0)

    done = Conductor(
        orders,
        player,
        lambda _: None,
        lambda **message: told.append(message),
        clock=lambda: next(moments),
    ).conduct()

    lines = (tmp_path / "stages.jsonl").read_text().splitlines()
    (text,) = [str(one["text"]) for one in told if one["event"] == "shortened"]
    assert done
    assert [json.loads(line)["round"] for line in lines] == [0, 0, 1, 1]
    assert text == ("The run had taken 81 s where 20 s were asked for, so it ended after round 2.")


def test_a_run_of_so_many_requests_takes_as_long_as_it_takes(tmp_path: Path) -> None:
    """Nobody has said how long it may."""
    plan = Plan.of(users=4, requests=20, rounds=2, warmup=0.1, arms=ARMS)
    moments = iter([0.0, 1e6, 2e6])
    orders = Orders(plan, ("http://a", "http://b"), "", tmp_path, 0)

    Conductor(
        orders, NotingPlayer(), lambda _: None, lambda **_: None, clock=lambda: next(moments)
    ).conduct()

    assert len((tmp_path / "stages.jsonl").read_text().splitlines()) == 4


def test_a_server_that_counts_from_zero_again_tells_nothing(tmp_path: Path) -> None:
    """It was started anew within the stage: its calls are unknown, not negative."""
    player = NotingPlayer()
    plan = Plan.of(arms=ARMS, requests=2, rounds=1, warmup=0.0)
    counts = iter([50, 3, None, 4])
    orders = Orders(plan, ("http://a", "http://b"), "", tmp_path, 0)

    Conductor(orders, player, lambda _: next(counts), lambda **_: None).conduct()

    lines = (tmp_path / "stages.jsonl").read_text().splitlines()
    assert [json.loads(line)["origin_calls"] for line in lines] == [None, None]


def test_a_closed_loop_plays_as_much_as_the_pilot_says_it_can(tmp_path: Path) -> None:
    """100 a second in both arms: 5 rounds of 2 s in 10 s, 100 requests each in every arm."""
    player = NotingPlayer()

    conduct(tmp_path, Plan.of(arms=ARMS, duration=10.0, rounds=5, users=4), player)

    assert [100] * 5 in player.asked


def test_a_slow_pilot_has_fewer_rounds_played(tmp_path: Path) -> None:
    """Where nobody asked for a number of rounds; the sizes tell how many there are."""
    plan = Plan.of(arms=ARMS, duration=8.0, users=50, warmup=1.0)
    player = NotingPlayer()
    told: list[dict[str, Node]] = []

    def tell(**message: Node) -> None:
        told.append(message)

    orders = Orders(plan, ("http://a", "http://b"), "", tmp_path, 1)
    Conductor(orders, player, lambda _: None, tell).conduct()

    (sizes,) = [one["sizes"] for one in told if one["event"] == "sizes"]
    assert isinstance(sizes, list)
    assert (plan.rounds, len(sizes)) == (20, 5)
