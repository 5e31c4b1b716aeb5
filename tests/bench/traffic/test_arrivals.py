"""Arrivals of the open loop: right in their mean, their spread and their independence."""

from __future__ import annotations

from itertools import islice, pairwise
from math import exp

import pytest

from valkeyctl.bench.arm import Arm
from valkeyctl.bench.plan import Plan
from valkeyctl.bench.traffic.arrivals import arrivals


def gaps(plan: Plan, count: int = 40_000) -> list[float]:
    """Return the seconds between arrivals."""
    dues = [due or 0.0 for due in islice(arrivals(plan), count + 1)]
    return [later - earlier for earlier, later in pairwise(dues)]


def test_a_closed_loop_has_no_arrivals() -> None:
    """Its users say when."""
    assert list(islice(arrivals(Plan.of()), 3)) == [None, None, None]


def test_constant_arrivals_do_not_drift() -> None:
    """The millionth is due where the rate says, not where a million sums lead to."""
    found = arrivals(Plan.of(rate=300.0, arrivals="constant"))

    assert next(islice(found, 900_000, None)) == 3000.0
    assert next(found) == pytest.approx(3000 + 1 / 300, abs=1e-12)


def test_poisson_gaps_are_exponential() -> None:
    """Kolmogorov and Smirnov's distance from 1 - exp(-rate t) stays within chance."""
    rate = 250.0

    found = sorted(gaps(Plan.of(rate=rate, arrivals="poisson")))

    count = len(found)
    distance = max(
        max(place / count - share, share - (place - 1) / count)
        for place, gap in enumerate(found, start=1)
        for share in [1 - exp(-rate * gap)]
    )
    # 1.95 / sqrt(n) is passed by one seed in a thousand.
    assert distance < 1.95 / count**0.5


def test_poisson_gaps_know_nothing_of_each_other() -> None:
    """Neighbours are not correlated, and arrivals in a second vary as much as their mean."""
    rate = 100.0
    plan = Plan.of(rate=rate, arrivals="poisson")

    found = gaps(plan)

    mean = sum(found) / len(found)
    spread = sum((gap - mean) ** 2 for gap in found)
    together = sum((a - mean) * (b - mean) for a, b in pairwise(found))
    assert abs(together / spread) < 4 / len(found) ** 0.5
    counts: dict[int, int] = {}
    for due in islice(arrivals(plan), 40_000):
        counts[int(due or 0.0)] = counts.get(int(due or 0.0), 0) + 1
    whole = [counts.get(second, 0) for second in range(399)]
    average = sum(whole) / len(whole)
    variance = sum((one - average) ** 2 for one in whole) / len(whole)
    assert variance / average == pytest.approx(1, abs=4 * (2 / 399) ** 0.5)


def test_the_seed_alone_decides_the_arrivals() -> None:
    """Whatever is asked for and whatever is compared, the schedule is the same."""

    def first(**wish: object) -> list[float]:
        return gaps(Plan.of(rate=100.0, arrivals="poisson", **wish), 50)  # type: ignore[arg-type]

    assert first() == first(scenario="api", arms=[Arm("a"), Arm("b"), Arm("c")])
    assert first() != first(seed=2)
