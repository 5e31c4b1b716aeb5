"""Figures over time: nothing is lost, and a million samples make no longer line."""

from __future__ import annotations

import numpy as np
import pytest

from tests.bench.conftest import made_up
from valkeyctl.bench.figures.timeline import Moment, began, timeline
from valkeyctl.bench.plan import Plan
from valkeyctl.bench.samples import Samples


def moments(samples: Samples) -> tuple[Moment, ...]:
    return timeline(samples, 0, samples.rows[samples.rows["arm"] == 0], told=True)


def run(rounds: int, size: int, failed: int = -1) -> Samples:
    block = [[10.0] * size] * rounds
    says = [lambda index: "hit" if index % 2 else "miss", lambda _: "bypass"]
    return made_up(
        Plan.of(rounds=rounds, requests=rounds * size),
        [block, block],
        outcomes=says,
        failed=lambda arm, index: arm == 0 and index == failed,
    )


def test_few_rounds_are_cut_into_parts() -> None:
    """Six rounds of eight seconds: the line shows what happened inside of them."""
    samples = run(rounds=6, size=800)

    found = moments(samples)

    assert len(found) == 96
    assert [one.at for one in found] == sorted(one.at for one in found)
    assert found[0].p50_ms == pytest.approx(10.0)
    rates = [one.throughput_rps for one in found]
    assert np.mean(rates) == pytest.approx(100.0, rel=0.01)
    assert sum(rates) * 48 / 96 == pytest.approx(4800, rel=0.01)


def test_many_rounds_are_joined() -> None:
    """300 rounds make at most 96 moments, and none is left out."""
    samples = run(rounds=300, size=20)

    found = moments(samples)

    assert len(found) == 75
    assert {one.hit_ratio for one in found} == {0.5}
    seconds = sum(stage.end - stage.begin for stage in samples.stages if stage.arm == 0)
    assert sum(one.throughput_rps for one in found) * seconds / 75 == pytest.approx(6000)


def test_few_samples_make_few_moments() -> None:
    """A p99 of ten requests is one request."""
    assert len(moments(run(rounds=40, size=20))) == 14


def test_an_error_is_shown_when_it_was_due() -> None:
    """And no latency comes from it."""
    found = moments(run(rounds=6, size=800, failed=2800))

    assert [one.errors for one in found].count(1) == 1
    assert sum(one.errors for one in found) == 1
    place = next(number for number, one in enumerate(found) if one.errors)
    assert place == pytest.approx(2800 / 4800 * 96, abs=1)


def test_a_target_that_does_not_say_has_no_hit_ratio() -> None:
    """None, not zero."""
    samples = run(rounds=6, size=20)

    found = timeline(samples, 0, samples.rows[samples.rows["arm"] == 0], told=False)

    assert {one.hit_ratio for one in found} == {None}


def test_time_counts_from_the_first_round() -> None:
    """Whatever the samples' clock began with."""
    assert began(run(rounds=6, size=2)) == 100.0
    assert moments(run(rounds=6, size=20))[0].at < 1
