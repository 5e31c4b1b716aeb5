"""The figures of each kind of request that a scenario sends."""

from __future__ import annotations

import pytest

from tests.bench.conftest import made_up
from valkeyctl.bench.figures.kinds import by_kind
from valkeyctl.bench.plan import Plan
from valkeyctl.bench.samples import Samples


def mixed() -> Samples:
    """Return 30 requests of three kinds in turn: 1, 2 and 3 ms, the last kind's first failed."""
    samples = made_up(
        Plan.of(rounds=1),
        [[[1.0, 2.0, 3.0] * 10], [[9.0] * 30]],
        outcomes=[lambda index: "hit" if index % 2 else "miss", lambda _: "bypass"],
        failed=lambda arm, index: arm == 0 and index == 2,
    )
    samples.rows["request"] = samples.rows["index"] % 3
    return samples


def test_each_kind_has_its_own_requests_errors_and_times() -> None:
    """In the scenario's order."""
    samples = mixed()

    first, second, third = by_kind(
        samples.rows[samples.rows["arm"] == 0], ["a", "b", "c"], identified=True
    )

    assert [one.name for one in (first, second, third)] == ["a", "b", "c"]
    assert [(one.requests, one.errors) for one in (first, second, third)] == [
        (10, 0),
        (10, 0),
        (10, 1),
    ]
    assert (second.outcomes.hits, second.outcomes.misses, second.hit_ratio) == (5, 5, 0.5)
    assert (third.outcomes.hits, third.outcomes.misses) == (5, 4)
    assert third.hit_ratio == pytest.approx(5 / 9)
    assert third.latency_ms is not None
    assert third.latency_ms.n == 9
    assert third.latency_ms.p50 == pytest.approx(3.0)


def test_without_identity_no_kind_has_a_hit_ratio() -> None:
    """The counts are what the target said, and mean nothing."""
    (only,) = by_kind(mixed().rows[:30], ["a"], identified=False)

    assert only.hit_ratio is None
    assert only.outcomes.hits == 15
    assert only.requests == 30  # all of them, whatever kind a locustfile has given them


def test_a_kind_that_was_not_sent_is_empty() -> None:
    """No zero division, and no latency."""
    (_, _, _, none) = by_kind(mixed().rows[:30], ["a", "b", "c", "d"], identified=True)

    assert (none.requests, none.errors, none.hit_ratio, none.latency_ms) == (0, 0, None, None)
