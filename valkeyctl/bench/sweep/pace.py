"""How long a sweep takes, before it begins and while it goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from statistics import median_low

from valkeyctl.bench.load.generator import Progress
from valkeyctl.bench.plan import Plan
from valkeyctl.bench.sweep.field import Step

# Of a run, beside its load: until the first request, for each application that is started,
# and for the report. On two cores; the runs of the sweep itself correct them.
_START = 2.5
_START_OF_AN_APPLICATION = 0.5
_REPORT = 0.5


def load_seconds(plan: Plan) -> float:
    """Return how long the load of a run takes, its warm-up included."""
    return plan.warmup + plan.duration


def seconds(planned: Sequence[Step]) -> float:
    """Return how long a sweep takes, about."""
    return sum(load_seconds(step.plan) + _beside(step.plan) for step in planned)


def _beside(plan: Plan) -> float:
    # Arms past the cache share an application with another.
    applications = max(1, sum(not arm.bypasses for arm in plan.arms))
    return _START + _START_OF_AN_APPLICATION * applications + _REPORT


class Pace:
    """Says which share of a sweep's time is over.

    By time, not by runs: starting applications is work, too, and a bar that stands still
    meanwhile tells a wrong time left.

    Args:
        planned: The runs, in their order.
        clock: In seconds.
    """

    def __init__(
        self, planned: Sequence[Step], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._loads = [load_seconds(step.plan) for step in planned]
        self._beside = [_beside(step.plan) for step in planned]
        self._number = 0
        self._over = 0.0
        self._seen: list[float] = []
        self._began = clock()

    def finished(self) -> None:
        """Note that the run under way has ended, and what it took beside its load."""
        took = self._clock() - self._began
        self._over += took
        # Of the machine as it is now: what comes will take about as long.
        self._seen.append(max(0.5, took - self._loads[self._number]))
        self._number += 1
        left = len(self._loads) - self._number
        # The median, as one that was overloaded takes many times as long as the others.
        self._beside[self._number :] = [median_low(self._seen)] * left
        self._began = self._clock()

    def share(self, now: Progress) -> float:
        """Return the share of the sweep that is over, in [0, 1]."""
        elapsed = self._clock() - self._began
        load = self._loads[self._number]
        beside = self._beside[self._number]
        if now.total:
            left = load * (1 - min(1.0, now.done / now.total))
        else:
            left = load + max(0.0, beside - elapsed) * (_START / (_START + _REPORT))
        left += sum(self._loads[self._number + 1 :]) + sum(self._beside[self._number + 1 :])
        over = self._over + elapsed
        return over / (over + left) if over + left else 0.0
