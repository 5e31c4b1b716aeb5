"""The cold start is a part of its own; the figures are those of the steady state."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.bench.conftest import made_up
from valkeyctl.bench.figures.phases import phases_of
from valkeyctl.bench.plan import Plan
from valkeyctl.bench.report import report
from valkeyctl.bench.samples import Samples

ROUNDS, COLD = 24, 4


def warming(plan: Plan) -> Samples:
    """Return a run whose cache is empty for four rounds; each has 40 requests an arm."""
    wobble = [0.02 * ((number * 7) % 5) for number in range(ROUNDS)]
    times = [[(9.0 if n < COLD else 1.0) + wobble[n]] * 40 for n in range(ROUNDS)]
    plain = [[9.5 + wobble[n]] * 40 for n in range(ROUNDS)]
    says = [lambda index: "miss" if index < COLD * 40 else "hit", lambda _: "bypass"]
    return made_up(plan, [times, plain], outcomes=says)


def test_the_cold_start_is_not_in_the_figures() -> None:
    """160 misses at 9 ms, and then only hits at 1 ms."""
    found = report(warming(Plan.of(rounds=ROUNDS)))

    cached = found.arm("cached")
    assert found.phases.cold == (0, 1, 2, 3)
    assert (found.rounds, cached.requests, cached.hit_ratio) == (20, 800, 1.0)
    assert cached.latency_ms is not None
    assert cached.latency_ms.max < 2
    assert cached.cold is not None
    assert (cached.cold.rounds, cached.cold.requests) == (4, 160)
    assert (cached.cold.hit_ratio, cached.cold.origin_calls) == (0.0, 160)
    assert cached.cold.latency_ms is not None
    assert cached.cold.latency_ms.p50 == pytest.approx(9.0, abs=0.1)


def test_the_cold_start_is_said_and_shown_over_time() -> None:
    """A reader sees both, before and after."""
    found = report(warming(Plan.of(rounds=ROUNDS)))

    said = " ".join(one.text for one in found.conclusion)
    assert "The cold start from an empty cache, 4 rounds," in said
    assert "a hit ratio of 0.0 % in it, and of 100.0 % after it" in said
    assert found.arm("cached").moments[0].hit_ratio == 0.0


def test_nothing_of_a_trace_is_dropped() -> None:
    """The trace is the workload, its cold start too."""
    samples = warming(Plan.of(rounds=ROUNDS))

    found = phases_of(replace(samples, plan=Plan.of(trace=Path("t.jsonl"), rounds=ROUNDS)))

    assert (found.cold, len(found.steady), found.found) == ((), ROUNDS, True)


def test_a_run_that_never_settles_says_so_first() -> None:
    """Its figures are of all rounds."""
    wobble = [1 + 0.1 * (number * 7 % 5) for number in range(40)]
    falling = [[(20.0 - 0.2 * number) * wobble[number]] * 20 for number in range(40)]
    level = [[9.0 * wobble[number]] * 20 for number in range(40)]

    found = report(made_up(Plan.of(rounds=40), [falling, level]))

    assert not found.phases.found
    assert found.rounds == 40
    assert found.conclusion[0].text.startswith("Not steady: ")
    assert found.arm("cached").cold is None


def test_few_rounds_are_all_kept() -> None:
    """Six are too few to look for a beginning in."""
    found = phases_of(made_up(Plan.of(rounds=6), [[[1.0] * 9] * 6, [[2.0] * 9] * 6]))

    assert (found.cold, found.steady, found.found) == ((), (0, 1, 2, 3, 4, 5), True)
