"""What blocks hide of an open loop, told from runs that are made up sample by sample."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from tests.bench.conftest import made_up
from valkeyctl.bench.arm import Arm
from valkeyctl.bench.figures.sentence import Sentence
from valkeyctl.bench.figures.unbroken import overloads, unbroken
from valkeyctl.bench.gate import Gate
from valkeyctl.bench.plan import Plan
from valkeyctl.bench.report import report
from valkeyctl.bench.samples import Samples

ROUNDS, SIZE = 40, 250


def open_run(latency: Callable[[int, int], float], *, rounds: int = ROUNDS) -> Samples:
    """A thousand requests a second in blocks of 0.25 s; *latency* of round and place in it."""
    plan = Plan.of(arms=[Arm("only")], rate=1000.0, rounds=rounds, requests=rounds * SIZE)
    samples = made_up(plan, [[[1.0] * SIZE for _ in range(rounds)]])
    rows = samples.rows.copy()
    place = np.arange(len(rows)) % SIZE
    rows["intended"] = rows["start"] = 100.0 + rows["round"] * 2.0 + place / 1000
    took = [latency(int(one["round"]), int(at)) for one, at in zip(rows, place, strict=True)]
    rows["end"] = rows["intended"] + np.array(took) / 1000
    return replace(samples, rows=rows)


def said(samples: Samples) -> list[Sentence]:
    """Return all sentences."""
    return list(unbroken(samples, overloads(samples)))


def test_a_stall_is_no_overload() -> None:
    """It delays one block, and the others say that the target keeps up."""
    assert said(open_run(lambda number, at: 700.0 - at if number == 7 and at >= 200 else 1.0)) == []


def test_slow_answers_are_no_overload() -> None:
    """Each block ends 300 ms after its last arrival, as each answer takes so long."""
    assert said(open_run(lambda _number, _at: 300.0)) == []


def test_a_queue_that_each_block_empties_is_told() -> None:
    """Half of the rate can be answered: latency grows by a second a second."""
    (sentence,) = said(open_run(lambda _, at: 1.0 + at))

    assert "Latency of arm only grew by 1.0 s in each second of a block" in sentence.text
    assert "emptied after each of 40 blocks" in sentence.text
    assert sentence.kind == "warning"
    assert sentence in report(open_run(lambda _, at: 1.0 + at)).conclusion


def test_a_run_of_one_block_hides_nothing() -> None:
    """There the queue grows as long as the run, and every wait is in the figures."""
    assert said(open_run(lambda _, at: 1.0 + at, rounds=1)) == []


def test_a_closed_loop_has_no_schedule() -> None:
    """Nothing was due that was not sent."""
    plan = Plan.of(rounds=2, requests=4)

    assert said(made_up(plan, [[[1.0, 900.0]] * 2, [[1.0, 1.0]] * 2])) == []


def test_an_overloaded_arm_passes_no_gate_on_its_latency() -> None:
    """What was kept low by the blocks may fail a gate all the same, and other figures count."""
    shown = report(open_run(lambda _, at: 1.0 + at))

    kept = Gate.parse("p50_ms<=10000").judge(shown)
    assert kept.outcome == "inconclusive"
    assert "could not keep up with its schedule" in kept.text
    assert Gate.parse("p50_ms<=1").judge(shown).outcome == "failed"
    assert Gate.parse("errors<=0").judge(shown).outcome == "passed"
    calm = report(open_run(lambda _number, _at: 1.0))
    assert Gate.parse("p50_ms<=10000").judge(calm).outcome == "passed"
