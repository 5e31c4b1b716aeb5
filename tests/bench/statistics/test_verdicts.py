"""What intervals allow one to say, in words."""

from __future__ import annotations

import math

import numpy as np
import pytest

from valkeyctl.bench.statistics.intervals import Estimate, Verdict
from valkeyctl.bench.statistics.verdicts import detectable, in_words


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


def test_what_is_detectable_is_found_nine_times_in_ten() -> None:
    """By the normal distribution, whose interval is 1.96 standard errors wide."""
    rng = np.random.default_rng(1)
    change = detectable(Estimate(1.0, (math.exp(-1.96 * 0.02), math.exp(1.96 * 0.02))))
    assert change is not None

    shown = math.log1p(change) + 0.02 * rng.standard_normal(10_000)

    assert np.mean(shown > 1.96 * 0.02) == pytest.approx(0.9, abs=0.01)
    assert detectable(Estimate(1.0, None)) is None
