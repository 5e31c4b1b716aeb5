"""What is said of two arms whose run was too short for its noise."""

from __future__ import annotations

import math

import pytest

from tests.bench.conftest import made_up
from valkeyctl.bench.figures.comparison import Comparison
from valkeyctl.bench.figures.document import comparison_document
from valkeyctl.bench.plan import Plan
from valkeyctl.bench.report import Report, report


def of(found: Report, metric: str) -> Comparison:
    """Return the comparison by *metric* of a run of two arms."""
    return next(one for one in found.comparisons if one.metric == metric)


def test_noise_that_is_too_slow_is_said_with_the_length_that_is_needed() -> None:
    """One wave of one arm alone, as long as the run, is one piece of evidence."""
    even = [[5.0] * 9] * 40
    wave = [[5.0 * math.exp(0.2 * math.sin(place / 6.4))] * 9 for place in range(40)]
    found = report(made_up(Plan.of(rounds=40), [wave, even]))

    one = of(found, "mean")

    lasted = sum(
        float(arm.throughput_rps and arm.requests / arm.throughput_rps) for arm in found.arms
    )
    assert one.verdict == "inconclusive"
    assert one.needed is not None
    assert one.needed > 5 * lasted
    advice = (
        f"the noise of this run is too slow for its length: run at least about {one.needed:,.0f} s"
    )
    assert one.words.endswith(advice)
    assert any(advice in said.text for said in found.conclusion)


def test_a_verdict_that_stands_asks_for_no_longer_run() -> None:
    """The same wave beside a tenfold difference changes nothing."""
    slow = [[50.0] * 9] * 40
    wave = [[5.0 * math.exp(0.2 * math.sin(place / 6.4))] * 9 for place in range(40)]

    one = of(report(made_up(Plan.of(rounds=40), [wave, slow])), "mean")

    assert (one.verdict, one.needed) == ("better", None)


def test_an_interval_that_says_nothing_is_left_out_of_the_report() -> None:
    """Six rounds that contradict each other by a factor of 10,000."""
    even = [[5.0] * 9] * 6
    wild = [[5.0 * 100.0 ** (-1) ** place] * 9 for place in range(6)]
    found = report(made_up(Plan.of(rounds=6), [wild, even]))

    one = of(found, "p50")

    assert (one.ci95, one.verdict, one.detectable) == (None, "inconclusive", None)
    assert one.words == "too little was measured to tell a difference"
    said = [each.text for each in found.conclusion]
    assert (
        "By median latency, too little was measured to tell arms cached and uncached apart." in said
    )
    assert comparison_document(one)["ci95"] is None


@pytest.mark.parametrize("times", [0.5, 2.0])
def test_what_can_be_told_keeps_its_interval(times: float) -> None:
    """A plain difference has bounds and a verdict, whichever arm is the faster."""
    first = [[5.0 + 0.01 * place] * 9 for place in range(6)]
    second = [[times * 5.0 + 0.01 * place] * 9 for place in range(6)]

    one = of(report(made_up(Plan.of(rounds=6), [first, second])), "mean")

    assert one.ci95 is not None
    assert one.verdict == ("better" if times > 1 else "worse")
