"""How late the generator was, and what it could have held."""

from __future__ import annotations

from array import array

import pytest

from valkeyctl.bench.load.capacity import highest_rate, lateness_p99_ms


def test_the_p99_is_a_lateness_that_was_seen() -> None:
    """By the nearest rank, of 1,000 and of a few."""
    values = array("d", [number / 1000 for number in range(1000, 0, -1)])

    assert lateness_p99_ms(values) == pytest.approx(990)
    assert lateness_p99_ms([0.2, 0.1]) == pytest.approx(200)
    assert lateness_p99_ms([]) is None


def test_the_highest_rate_follows_from_the_cost_of_a_request() -> None:
    """At 50 us of a core a request, 80 % of a core is 16,000 a second."""
    assert highest_rate([(10_000, 0.5), (10_000, 0.5), (5, None)]) == pytest.approx(16_000)
    assert highest_rate([(20_000, 1.0)], processes=2) == pytest.approx(32_000)
    assert highest_rate([(5, None)]) is None
    assert highest_rate([]) is None
