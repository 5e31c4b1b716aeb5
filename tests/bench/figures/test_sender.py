"""A run whose load generator was the bottleneck is refused."""

from __future__ import annotations

from dataclasses import replace

from tests.bench.conftest import made_up
from valkeyctl.bench.plan import Plan
from valkeyctl.bench.report import report
from valkeyctl.bench.samples import Samples

FAST, SLOW = [[1.0] * 40] * 6, [[9.0] * 40] * 6


def late(seconds: float, *, cpu: float | None = None, queued: int = 0) -> Samples:
    """Return an open loop whose requests left so late."""
    samples = made_up(Plan.of(rate=50.0, rounds=6), [FAST, SLOW])
    samples.rows["intended"] -= seconds
    samples.rows["queued"] = queued
    stages = tuple(
        replace(one, cpu=None if cpu is None else cpu * (one.end - one.begin))
        for one in samples.stages
    )
    return replace(samples, stages=stages)


def test_a_late_generator_refuses_the_run() -> None:
    """The first sentence names the rate that it could have held; no verdict stands."""
    found = report(late(0.005, cpu=1.0))

    assert found.refused.startswith("the load generator itself was the bottleneck in arm cached")
    assert found.conclusion[0].kind == "error"
    assert "the highest rate that it could have held is about 800 a second" in found.refused
    assert found.conclusion[0].text.endswith("Nothing is concluded.")
    assert {one.verdict for one in found.comparisons} == {"inconclusive"}
    assert "times as fast" not in " ".join(one.text for one in found.conclusion)
    assert found.to_json()["refused"] == found.refused


def test_a_generator_without_its_core_is_told_apart() -> None:
    """It was late though it had little to do: something else used its core."""
    assert "which something else used" in report(late(0.005, cpu=0.1)).refused


def test_a_generator_that_kept_its_schedule_is_not_refused() -> None:
    """Half a millisecond is no bottleneck."""
    found = report(late(0.0005))

    assert found.refused == ""
    assert found.arm("cached").sender.lateness_ms is not None
    assert found.to_json()["refused"] is None


def test_waiting_for_a_place_in_flight_is_not_lateness() -> None:
    """That is the target's doing."""
    found = report(late(0.005, queued=1))

    assert found.refused == ""
    assert found.arm("cached").lateness_ms is None


def test_a_closed_loop_has_no_schedule_to_be_late_for() -> None:
    """But a busy generator may be what limits it."""
    samples = made_up(Plan.of(rounds=6), [FAST, SLOW])
    stages = tuple(replace(one, cpu=0.97 * (one.end - one.begin)) for one in samples.stages)

    found = report(replace(samples, stages=stages))

    assert found.refused == ""
    assert "The load generator was busy 97 % of the time in arm cached" in " ".join(
        one.text for one in found.conclusion
    )
