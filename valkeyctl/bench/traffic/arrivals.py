"""When each request of an open loop is due."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import count

from valkeyctl.bench.plan import Plan


def arrivals(plan: Plan) -> Iterator[float | None]:
    """Yield the endless seconds, from the first arrival, at which *plan*'s requests are due.

    The same seed gives the same ones, whatever is asked for. In a closed loop all are None;
    a trace that is replayed has arrivals of its own.
    """
    rate = plan.rate
    if rate is None:
        while True:
            yield None
    if plan.arrivals == "constant":
        # By division, for a sum of gaps drifts away from the rate.
        for index in count():
            yield index / rate
    # Gaps of a Poisson process are exponential, and know nothing of each other.
    gap = random.Random(f"arrivals {plan.seed}").expovariate
    due = 0.0
    while True:
        yield due
        due += gap(rate)
