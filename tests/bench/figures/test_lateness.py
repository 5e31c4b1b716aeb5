"""How late the load generator was, and what may still be said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.bench.conftest import Rounds, made_up
from valkeyctl.bench.compare import compare
from valkeyctl.bench.figures.comparison import Comparison
from valkeyctl.bench.figures.lateness import matters, punctual, spanning
from valkeyctl.bench.figures.spread import spread
from valkeyctl.bench.plan import Plan
from valkeyctl.bench.report import Report, report
from valkeyctl.bench.samples import Samples
from valkeyctl.bench.statistics.intervals import Estimate

ROUNDS, SIZE = 10, 100
FAST: Rounds = [[1.0 + 0.001 * n + 0.002 * (r % 2) for n in range(SIZE)] for r in range(ROUNDS)]
SLOW: Rounds = [[9.0 + 0.001 * n + 0.02 * (r % 2) for n in range(SIZE)] for r in range(ROUNDS)]


def run(fast: Rounds = FAST, slow: Rounds = SLOW) -> Samples:
    return made_up(Plan.of(rate=50.0, rounds=ROUNDS), [fast, slow])


def late(samples: Samples, arm: int, seconds: float, places: slice) -> Samples:
    """Have the requests at *places* of each round of *arm* leave so late."""
    rows = samples.rows
    for number in range(ROUNDS):
        mine = np.flatnonzero((rows["arm"] == arm) & (rows["round"] == number))[places]
        rows["start"][mine] += seconds
        rows["end"][mine] += seconds
    return samples


def compared(shown: Report, metric: str) -> Comparison:
    return next(one for one in shown.comparisons if one.metric == metric)


def said(shown: Report) -> str:
    return " ".join(one.text for one in shown.conclusion)


def test_lateness_of_the_tail_refuses_nothing_and_moves_only_the_tail() -> None:
    """Three of a hundred left 100 ms late: p99 is unknown, the median is what it was."""
    shown = report(late(run(), 0, 0.1, slice(-3, None)))

    assert shown.refused == ""
    assert compared(shown, "p50").verdict == "better"
    p99 = compared(shown, "p99")
    assert p99.ratio < 0.1
    assert p99.ci95 is not None
    assert p99.ci95[0] < 0.1
    assert p99.ci95[1] > 8
    assert p99.verdict == "inconclusive"
    assert "p99 latency 1.10 ms and not 101" in said(shown)
    assert "The intervals and verdicts hold both ways" in said(shown)


def test_lateness_that_decides_nothing_changes_no_verdict() -> None:
    """Late by 2 ms at the tail of a difference of eight: better both ways."""
    shown = report(late(run(), 0, 0.002, slice(-5, None)))

    p99 = compared(shown, "p99")
    assert p99.verdict == "better"
    assert p99.ci95 is not None
    assert p99.ci95[0] < 3.1
    assert p99.ci95[1] > 8


def test_an_absolute_figure_holds_both_ways_too() -> None:
    """A gate on p99 is not failed by the generator, nor passed in spite of it."""
    arm = report(late(run(), 0, 0.1, slice(-3, None))).arm("cached")

    assert arm.estimates["p99"].value > 100
    assert arm.estimates["p99"].ci95 == pytest.approx((1.1, 101.1), abs=0.05)
    assert arm.estimates["p50"].ci95 == pytest.approx((1.05, 1.05), abs=0.02)
    assert arm.sender.on_time_ms is not None
    assert arm.sender.on_time_ms.p99 == pytest.approx(1.10, abs=0.01)


def test_a_first_token_holds_both_ways_too() -> None:
    """It counts from the same start."""
    samples = run()
    samples.rows["first"] = samples.rows["end"]
    samples.rows["events"] = 1
    samples = late(samples, 0, 0.1, slice(-3, None))
    samples.rows["first"] = samples.rows["end"]

    assert report(samples).arm("cached").estimates["ttft_p99"].ci95 == pytest.approx(
        (1.1, 101.1), abs=0.05
    )


def test_a_generator_on_time_changes_no_interval() -> None:
    """Nor does one that is late by less than a hundredth."""
    plain = report(run())
    nearly = report(late(run(), 0, 0.000005, slice(None)))

    assert compared(nearly, "p50").ci95 == pytest.approx(compared(plain, "p50").ci95, rel=0.01)
    assert "generator was late" not in said(nearly)


def test_a_median_that_is_late_refuses_the_run() -> None:
    """Six of ten left 2 ms late, and the others were on time: typical, so refused."""
    refused = report(late(run(), 0, 0.002, slice(0, 60))).refused
    few = report(late(run(), 0, 0.002, slice(0, 40))).refused
    little = report(late(run(), 0, 0.0009, slice(0, 60))).refused
    slow = report(late(run(), 1, 0.008, slice(0, 60))).refused
    slower = report(late(run(), 1, 0.01, slice(0, 60))).refused

    assert "in arm cached: at" in refused
    assert "the median latency is 3.0 ms from when they were due, and 1.1 ms" in refused
    assert (few, little, slow) == ("", "", "")
    assert "the median latency is 19.0 ms from when they were due, and 9.1 ms" in slower


def strained(samples: Samples, held: float, *, queued: int = 1) -> Samples:
    """Have three in ten wait 5 ms for a place in flight, and set what a request costs."""
    samples.rows["queued"][::3] = queued
    samples.rows["intended"][::3] -= 0.005
    stages = tuple(replace(one, cpu=0.8 * one.size / held) for one in samples.stages)
    return replace(samples, stages=stages)


def test_a_schedule_beyond_its_strength_is_refused_even_where_all_waited_for_a_place() -> None:
    """Places are full because it reads answers late; that is not blamed on the target."""
    asked = report(run()).arm("cached").sender.asked_rps
    assert asked is not None

    beyond = report(strained(run(), asked * 0.7))
    near = report(strained(run(), asked * 1.6))
    able = report(strained(run(), asked * 5))

    assert "the schedule asks for" in beyond.refused
    assert "they waited 5.0 ms in the generator at p90" in beyond.refused
    assert beyond.refused.endswith(f"could have held is about {asked * 0.7:,.0f} a second")
    assert near.refused.endswith("on a core of its own, which something else used")
    assert able.refused == ""
    assert "waited in the client" not in said(beyond)
    assert "waited in the client" in said(able)


def test_the_rate_of_a_schedule_is_that_within_its_rounds() -> None:
    """The pauses between rounds, when other arms play, are none of it."""
    samples = run()
    rows = samples.rows
    rows["intended"] = rows["round"] * 1000.0 + np.tile(np.arange(SIZE) * 0.02, 2 * ROUNDS)
    rows["start"], rows["end"] = rows["intended"], rows["intended"] + 0.001

    shown = report(samples)
    rows["intended"] = rows["round"] * 1000.0
    at_once = report(samples)

    assert shown.arm("cached").sender.asked_rps == pytest.approx(50.0)
    assert at_once.arm("cached").sender.asked_rps is None


def test_what_waited_for_a_place_stays_due_when_it_was() -> None:
    """Only the generator's own lateness is taken away."""
    rows = run().rows
    rows["start"] += 0.5
    rows["queued"][::2] = 1

    left = punctual(rows)

    assert (left["intended"][::2] == rows["intended"][::2]).all()
    assert (left["intended"][1::2] == rows["start"][1::2]).all()
    assert (rows["intended"] != rows["start"]).all()


def test_an_interval_that_spans_two_is_none_where_one_is() -> None:
    """What is unknown one way is unknown."""
    one, other = Estimate(2.0, (1.5, 2.5), 9, 0.1), Estimate(3.0, (2.0, 4.0), 5, 0.3)

    assert spanning(one, other) == Estimate(2.0, (1.5, 4.0), 5, 0.3)
    assert spanning(other, one) == Estimate(3.0, (1.5, 4.0), 5, 0.3)
    assert spanning(one, Estimate(3.0, None)).ci95 is None
    assert spanning(Estimate(3.0, None), one).ci95 is None


def test_a_hundredth_matters_and_less_does_not() -> None:
    """In any percentile, and in the mean."""
    left = spread(np.arange(1.0, 2001.0))

    assert not matters(left, left)
    assert not matters(spread(np.arange(1.0, 2001.0) * 1.009), left)
    assert matters(spread(np.arange(1.0, 2001.0) * 1.011), left)
    assert matters(spread(np.array([*np.arange(1.0, 1998.0), 2100.0, 2100, 2100])), left)
    assert not matters(None, left)


def test_a_busy_generator_that_nobody_waited_for_is_not_refused() -> None:
    """It had the strength, as it turned out."""
    samples = run()
    samples.rows["intended"] -= 0.0005
    stages = tuple(replace(one, cpu=0.79 * (one.end - one.begin)) for one in samples.stages)

    shown = report(replace(samples, stages=stages))

    sender = shown.arm("cached").sender
    assert sender.asked_rps is not None
    assert sender.held_rps is not None
    assert sender.asked_rps > 0.9 * sender.held_rps
    assert sender.waited_ms == pytest.approx(0.5)
    assert shown.refused == ""


def test_lateness_is_of_what_had_not_to_wait_for_a_place() -> None:
    """The wait of the others is counted, and is not its own."""
    sender = report(strained(run(), 1e6)).arm("cached").sender

    assert sender.lateness_ms == pytest.approx(0.0, abs=1e-6)
    assert sender.waited_ms == pytest.approx(5.0)


def test_runs_are_compared_both_ways_too() -> None:
    """A run whose tail left late is neither worse than yesterday's nor the same."""
    yesterday = replace(run(), folder=Path("yesterday"))
    today = replace(late(run(), 0, 0.1, slice(-3, None)), folder=Path("today"))

    (p99,) = (
        one
        for one in compare(yesterday, today).comparisons
        if (one.arm, one.metric) == ("cached", "p99")
    )

    assert p99.ratio < 0.1
    assert p99.ci95 is not None
    assert p99.ci95[1] == pytest.approx(1.0, abs=0.02)
    assert p99.verdict == "inconclusive"
