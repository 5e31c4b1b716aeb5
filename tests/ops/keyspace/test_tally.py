"""Sums over keys: quantiles close to the truth, memory that does not grow."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from valkeyctl.ops.keyspace.tally import Tally


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=200))
def test_quantiles_are_within_their_promise(pttls: list[int]) -> None:
    """Ends are exact, quantiles within 1.1 % of the nearest rank."""
    tally = Tally()

    for pttl in pttls:
        tally.add(1, pttl)

    spread = tally.ttl()
    ordered = sorted(pttls)
    assert spread is not None
    assert (spread.min, spread.max) == (ordered[0] / 1000, ordered[-1] / 1000)
    for q, found in ((0.5, spread.p50), (0.9, spread.p90), (0.99, spread.p99)):
        truth = max(1, ordered[math.ceil(q * len(ordered)) - 1]) / 1000
        assert abs(found - truth) <= 0.011 * truth + 0.001


def test_keys_that_never_expire_have_no_life() -> None:
    """They are counted apart and leave the quantiles alone."""
    tally = Tally()
    tally.add(10, -1)

    assert (tally.keys, tally.memory, tally.without_expiry, tally.ttl()) == (1, 10, 1, None)
