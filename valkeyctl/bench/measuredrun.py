"""A finished run with its figures, and resamples of its own rounds to compare it by."""

from __future__ import annotations

import numpy as np

from valkeyctl.bench.figures.arms import ArmFigures, Measured, measure
from valkeyctl.bench.figures.phases import phases_of
from valkeyctl.bench.figures.sender import refusal
from valkeyctl.bench.plan import Plan
from valkeyctl.bench.samples import Samples
from valkeyctl.bench.statistics.intervals import Bootstrap, Estimate
from valkeyctl.errors import NotFoundError


def unfinished_errors(samples: Samples, arm: int | None = None) -> int:
    """Return how many requests failed in rounds that not every arm finished.

    No figure holds them, and they are often how a run ended.

    Args:
        samples: The run.
        arm: Index of the arm; None counts them all.
    """
    rows = samples.rows[(samples.rows["round"] >= 0) & (samples.rows["error"] > 0)]
    if arm is not None:
        rows = rows[rows["arm"] == arm]
    return int((~np.isin(rows["round"], samples.complete_rounds())).sum())


class MeasuredRun:
    """One of several runs that are set side by side.

    Args:
        samples: What it measured.
        number: Its place among them; runs of one number would be resampled alike.

    Raises:
        NotFoundError: It has no complete round.
    """

    def __init__(self, samples: Samples, number: int) -> None:
        if not samples.complete_rounds():
            raise NotFoundError(
                f"{samples.folder}: no round was finished in every arm, so nothing can be compared",
                hint="Measure it again, with a longer --duration or fewer --rounds",
            )
        self.samples = samples
        phases = phases_of(samples)
        # Seeds must differ: equal runs of equal seeds would be resampled alike, as pairs.
        self.sampler = Bootstrap(len(phases.steady), samples.plan.seed + number)
        self.measured: dict[str, Measured] = {
            one.arm.name: one for one in measure(samples, self.sampler, phases)
        }

    @property
    def plan(self) -> Plan:
        """What was asked for."""
        return self.samples.plan

    @property
    def folder(self) -> str:
        """Where it is kept."""
        return str(self.samples.folder)

    @property
    def refused(self) -> str:
        """Why its figures are the load generator's own; empty when they are not."""
        for one in self.measured.values():
            if why := refusal(one.arm.name, one.arm.sender, one.arm.latency_ms):
                return f"{self.folder}: {why}"
        return ""

    def figures(self, arm: str) -> ArmFigures:
        """Return what *arm* did; a KeyError when there is none."""
        return self.measured[arm].arm

    def failed(self, arm: str) -> int:
        """Return how many requests of *arm* had no right answer, in whatever round."""
        number = [one.name for one in self.plan.arms].index(arm)
        return self.measured[arm].arm.wrong + unfinished_errors(self.samples, number)

    def answered(self, arm: str) -> bool:
        """Say whether *arm* is there and had a right answer."""
        return arm in self.measured and len(self.measured[arm].series.pooled) > 0

    def times_better(self, later: MeasuredRun, arm: str, metric: str) -> Estimate:
        """Return how many times better *later* is by *metric* of *arm*; no rounds are pairs."""
        return self.measured[arm].bracket.unpaired_ratio(
            later.measured[arm].bracket, self.sampler, later.sampler, metric
        )

    def apart(self, first: str, second: str, metric: str) -> Estimate:
        """Return how many times better arm *second* is than *first*, played in turns."""
        one, other = self.measured[first].bracket, self.measured[second].bracket
        return one.ratio(other, self.sampler, metric)
