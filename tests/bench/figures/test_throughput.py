"""Throughput of open loops whose truth is known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tests.bench.conftest import made_up
from valkeyctl.bench.arm import Arm
from valkeyctl.bench.figures.outcomes import Rows
from valkeyctl.bench.figures.throughput import answering_seconds
from valkeyctl.bench.plan import Plan
from valkeyctl.bench.samples import DTYPE, StageResult

Latencies = Callable[[np.random.Generator, np.ndarray], np.ndarray]
RATE, SIZE, ROUNDS = 500.0, 125, 40


def one_at_a_time(service: float) -> Latencies:
    """Return latencies of a server that answers one request after another."""

    def latencies(_: np.random.Generator, due: np.ndarray) -> np.ndarray:
        free, ends = 0.0, []
        for moment in due:
            free = max(free, moment) + service
            ends.append(free)
        return np.asarray(np.array(ends) - due)

    return latencies


def steady(rng: np.random.Generator, due: np.ndarray) -> np.ndarray:
    return rng.normal(0.02, 0.002, len(due))


def slow_tail(rng: np.random.Generator, due: np.ndarray) -> np.ndarray:
    """One request in fifty takes three seconds; a block takes a quarter of one."""
    return np.where(rng.random(len(due)) < 0.02, 3.0, 0.01)


def two_kinds(rng: np.random.Generator, due: np.ndarray) -> np.ndarray:
    """Hits in a millisecond, misses in two seconds."""
    return np.where(rng.random(len(due)) < 0.5, 2.0, 0.001)


def all_slow(_: np.random.Generator, due: np.ndarray) -> np.ndarray:
    return np.full(len(due), 5.0)


def faster_and_faster(_: np.random.Generator, due: np.ndarray) -> np.ndarray:
    """Connections that are cold at the beginning of each block."""
    return np.asarray(0.1 - 0.3 * (due - due[0]))


def played(latencies: Latencies, *, rounds: int = ROUNDS) -> tuple[Rows, list[StageResult]]:
    """Return the samples and the blocks of Poisson arrivals at `RATE`."""
    rng = np.random.default_rng(5)
    blocks, stages, clock = [], [], 100.0
    for number in range(rounds):
        due = clock + np.cumsum(rng.exponential(1 / RATE, SIZE))
        rows = np.zeros(SIZE, DTYPE)
        rows["round"], rows["intended"], rows["start"] = number, due, due
        rows["end"] = due + latencies(rng, due)
        blocks.append(rows)
        stages.append(StageResult(0, number, SIZE, clock, float(rows["end"].max()), None))
        clock = stages[-1].end
    return np.concatenate(blocks), stages


@pytest.mark.parametrize(
    ("latencies", "truth"),
    [
        (steady, RATE),
        (slow_tail, RATE),
        (two_kinds, RATE),
        (all_slow, RATE),
        (faster_and_faster, RATE),
        (one_at_a_time(1 / 250), 250.0),
        (one_at_a_time(1 / 50), 50.0),
        (one_at_a_time(1 / 5000), RATE),
    ],
)
def test_an_open_loop_has_what_was_asked_or_what_the_target_could(
    latencies: Latencies, truth: float
) -> None:
    """However long the last answers of a block took; within 5 % of the truth."""
    rows, stages = played(latencies)

    seconds = answering_seconds(rows, range(ROUNDS), stages, scheduled=True)

    assert len(rows) / sum(seconds) == pytest.approx(truth, rel=0.05)


def test_a_single_round_says_it_too() -> None:
    """Without another one to tell chance by."""
    rows, stages = played(one_at_a_time(1 / 250), rounds=1)

    (seconds,) = answering_seconds(rows, [0], stages, scheduled=True)

    assert len(rows) / seconds == pytest.approx(250, rel=0.1)


def test_what_is_all_due_at_once_has_the_time_of_its_block() -> None:
    """There is no schedule to fall behind; the same where a round has one request."""
    rows, stages = played(steady, rounds=2)
    rows["intended"][rows["round"] == 0] = 100.0
    rows = rows[: SIZE + 1]

    seconds = answering_seconds(rows, [0, 1], stages, scheduled=True)

    assert seconds == [stage.end - stage.begin for stage in stages]


def test_errors_are_no_answers_and_take_their_time_of_the_schedule() -> None:
    """A target that refuses half of the requests has half of the throughput."""
    rows, stages = played(steady)
    rows["error"][::2] = 1

    seconds = answering_seconds(rows, range(ROUNDS), stages, scheduled=True)

    assert (rows["error"] == 0).sum() / sum(seconds) == pytest.approx(RATE / 2, rel=0.05)


def test_a_closed_loop_is_busy_to_the_end_of_its_block() -> None:
    """As its next request waits for an answer, nothing is only waited for."""
    samples = made_up(Plan.of(users=1, arms=[Arm("a")]), [[[10.0] * 20] * 2])

    seconds = answering_seconds(samples.rows, [0, 1], samples.stages, scheduled=False)

    assert seconds == pytest.approx([0.2, 0.2])
