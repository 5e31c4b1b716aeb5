"""What intervals allow one to say, in words."""

from __future__ import annotations

import math

import numpy as np
import pytest

from valkeyctl.bench.statistics.intervals import Estimate, Verdict
from valkeyctl.bench.statistics.verdicts import detectable, in_words, needed_seconds, telling


@pytest.mark.parametrize(
    ("estimate", "verdict", "words"),
    [
        (Estimate(1.2, (1.1, 1.3)), "better", "+20.0%, so better (95 % interval +10.0% to +30.0%)"),
        (Estimate(7.0, (5.0, 9.5)), "better", "7 times, so better (95 % interval 5 times to 9.5 "),
        (Estimate(1.0, (0.98, 1.02)), "same", "the same within 5% (95 % interval -2.0% to +2.0%)"),
        (Estimate(1.1, (0.9, 1.3)), "inconclusive", "no difference could be shown"),
        (Estimate(1.1, None), "inconclusive", "too little was measured"),
    ],
)
def test_the_effect_is_said_in_words(estimate: Estimate, verdict: Verdict, words: str) -> None:
    """A verdict alone does not say how much."""
    assert in_words(estimate, verdict).startswith(words)


def test_no_difference_names_the_one_that_would_have_been_seen() -> None:
    """A wide interval is no proof of equality."""
    said = in_words(Estimate(1.0, (0.9, 1 / 0.9)), "inconclusive")

    assert said.endswith("; a difference above 19.0% would have been seen")
    wide = in_words(Estimate(1.0, (0.2, 5.0)), "inconclusive")
    assert wide.endswith("; a difference above 14.3 times would have been seen")


@pytest.mark.parametrize(
    ("ci95", "says_something"),
    [
        ((0.1, 10.0), True),
        ((0.1, 10.01), False),
        ((1.0, 101.0), False),
        ((0.009, 1.0), False),
        ((1.01, 1000.0), True),
        ((0.0001, 0.99), True),
        ((0.0, 2.0), False),
    ],
)
def test_an_interval_that_leaves_all_open_is_not_given(
    ci95: tuple[float, float], says_something: bool
) -> None:
    """Its bounds a hundred times apart, and no difference between them."""
    found = telling(Estimate(1.5, ci95, 5, 0.9, 4.0))

    assert found == Estimate(1.5, ci95 if says_something else None, 5 * says_something, 0.9, 4.0)
    assert telling(Estimate(1.5, None)) == Estimate(1.5, None)


@pytest.mark.parametrize(
    ("longer", "seconds", "needed"),
    [
        (1.0, 30.0, None),
        (2.0, 0.0, None),
        (1.01, 30.0, 31.0),
        (2.0, 30.0, 60.0),
        (3.31, 100.0, 340.0),
        (1.5, 3.0, 5.0),
        (1.2, 0.1, 1.0),
    ],
)
def test_a_run_too_short_for_its_noise_is_told_how_long_it_must_be(
    longer: float, seconds: float, needed: float | None
) -> None:
    """In whole seconds, rounded up to two digits."""
    found = needed_seconds(Estimate(1.0, (0.9, 1.1), longer=longer), seconds)

    assert found == needed


def test_noise_that_is_too_slow_is_said_beside_the_verdict() -> None:
    """With an interval and without; a verdict that stands does not mention it."""
    advice = "; the noise of this run is too slow for its length: run at least about 1,200 s"

    assert in_words(Estimate(1.0, (0.9, 1.1)), "inconclusive", 1200).endswith(advice)
    assert in_words(Estimate(1.0, None), "inconclusive", 1200).endswith(advice)
    assert "too slow" not in in_words(Estimate(1.2, (1.1, 1.3)), "better", 1200)


def test_what_is_detectable_is_found_nine_times_in_ten() -> None:
    """By the normal distribution, whose interval is 1.96 standard errors wide."""
    rng = np.random.default_rng(1)
    change = detectable(Estimate(1.0, (math.exp(-1.96 * 0.02), math.exp(1.96 * 0.02))))
    assert change is not None

    shown = math.log1p(change) + 0.02 * rng.standard_normal(10_000)

    assert np.mean(shown > 1.96 * 0.02) == pytest.approx(0.9, abs=0.01)
    assert detectable(Estimate(1.0, None)) is None
    assert detectable(Estimate(1.0, (0.0, 2.0))) is None
