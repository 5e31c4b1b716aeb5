"""Hits, misses and the others, counted and timed apart."""

from __future__ import annotations

import numpy as np
import pytest

from tests.bench.conftest import made_up
from valkeyctl.bench.figures.outcomes import by_outcome, free, outcomes
from valkeyctl.bench.plan import Plan
from valkeyctl.bench.report import report
from valkeyctl.bench.samples import Samples

PLAN = Plan.of(rounds=6)
SAYS = ("hit", "miss", "collapsed", "stale", "miss")


def mixed() -> Samples:
    """Return a run whose answers come about in all ways in turn, each with its own time."""
    times = [[1.0, 20.0, 11.0, 2.0, 20.0] * 4] * 6
    slow = [[20.0] * 20] * 6
    says = [lambda index: SAYS[index % 5], lambda _: "bypass"]
    return made_up(PLAN, [times, slow], outcomes=says)


def test_ways_are_counted_apart() -> None:
    """Of 120 answers, each of three ways gave a fifth, and the origin two fifths."""
    rows = mixed().rows
    counted = outcomes(rows[rows["arm"] == 0])

    assert (counted.hits, counted.collapsed, counted.stale) == (24, 24, 24)
    assert (counted.misses, counted.bypassed) == (48, 0)
    assert (counted.free, counted.known) == (72, 120)
    assert free(rows[rows["arm"] == 0]).sum() == 72


def test_a_target_that_says_nothing_has_unknown_counts() -> None:
    """Unknown is None, not zero."""
    samples = mixed()
    samples.rows["outcome"] = 0

    counted = outcomes(samples.rows)

    assert not counted.told
    assert (counted.hits, counted.misses, counted.free) == (None, None, 0)


def test_times_of_hits_and_misses_are_apart() -> None:
    """No hit lends its speed to a miss."""
    rows = mixed().rows
    found = {one.outcome: one for one in by_outcome(rows[rows["arm"] == 0])}

    assert list(found) == ["hit", "miss", "collapsed", "stale"]
    assert found["hit"].latency_ms.max == pytest.approx(1.0)
    assert found["miss"].latency_ms.p50 == pytest.approx(20.0)
    assert (found["hit"].latency_ms.n, found["miss"].latency_ms.n) == (24, 48)
    assert found["hit"].ttft_ms is None


def test_times_to_the_first_token_are_apart_too() -> None:
    """Where answers stream."""
    samples = mixed()
    samples.rows["first"] = samples.rows["intended"] + (
        samples.rows["end"] - samples.rows["intended"]
    ) * np.float64(0.5)

    arm = report(samples).arm("cached")

    found = {one.outcome: one.ttft_ms for one in arm.by_outcome}
    assert found["hit"] is not None
    assert found["hit"].p50 == pytest.approx(0.5)
    assert arm.ttft_ms is not None
    assert arm.ttft_ms.n == 120


def test_a_stale_answer_waited_for_no_origin_call() -> None:
    """So it counts for the hit ratio, as a collapsed one does."""
    assert report(mixed()).arm("cached").hit_ratio == pytest.approx(0.6)
