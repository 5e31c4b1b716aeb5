"""Which rounds are the cold start, and which the steady state that figures are of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from valkeyctl.bench.figures.outcomes import Outcomes, Rows, free, latencies, outcomes
from valkeyctl.bench.figures.spread import Spread, spread
from valkeyctl.bench.samples import Samples, StageResult
from valkeyctl.bench.statistics.intervals import Floats
from valkeyctl.bench.statistics.steady import Watched, steady_from

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Phases:
    """The complete rounds of a run, cut where its steady state begins.

    Attributes:
        cold: Rounds before it, ascending; empty where none is dropped.
        steady: Rounds that all figures are of; every complete round when none was found.
        found: Whether a steady state was found; True also where none was looked for.
        how: What the test found, in words; empty where none was looked for.
    """

    cold: tuple[int, ...]
    steady: tuple[int, ...]
    found: bool = True
    how: str = ""


@dataclass(frozen=True)
class ColdStart:
    """What an arm did before its steady state, from an empty cache.

    Attributes:
        rounds: How many rounds it lasted.
        seconds: How long they took.
        ends: When the last of them ended, on the samples' clock.
        requests: Sent in them, errors included.
        errors: Without a right answer.
        outcomes: How the right answers came about.
        hit_ratio: Share of right answers that waited for no origin call of their own.
        origin_calls: Counted at the origin; None where it does not say.
        latency_ms: From the intended start to the whole answer; None without a right one.
    """

    rounds: int
    seconds: float
    ends: float
    requests: int
    errors: int
    outcomes: Outcomes
    hit_ratio: float | None
    origin_calls: int | None
    latency_ms: Spread | None


def phases_of(samples: Samples) -> Phases:
    """Return which of the complete rounds of a run are its steady state.

    Of a trace nothing is dropped: all of it is the workload.
    """
    rounds = tuple(samples.complete_rounds())
    if samples.plan.trace is not None:
        return Phases((), rounds)
    found = steady_from(list(_watched(samples, rounds)))
    first = found.first_round
    return Phases(rounds[:first], rounds[first:], found.steady, found.reason)


def _watched(samples: Samples, rounds: Sequence[int]) -> Iterator[Watched]:
    """Yield what has to settle: each arm's latency, and its hit ratio where there is one."""
    for number, arm in enumerate(samples.plan.arms):
        rows = samples.rows[(samples.rows["arm"] == number) & (samples.rows["error"] == 0)]
        rows = rows[np.isin(rows["round"], rounds)]
        places = np.searchsorted(rounds, rows["round"])
        counts = np.bincount(places, minlength=len(rounds))

        def means(values: Floats, places: Ints = places, counts: Ints = counts) -> list[float]:
            sums = np.bincount(places, weights=values, minlength=len(counts))
            # A round without a right answer shows nothing.
            with np.errstate(divide="ignore", invalid="ignore"):
                return [float(mean) for mean in sums / counts]

        yield Watched.latency(arm.name, means(latencies(rows)))
        if samples.traffic.has_identity and not arm.bypasses and outcomes(rows).told:
            yield Watched.hit_ratio(arm.name, means(free(rows).astype(np.float64)))


def cold_start(rows: Rows, stages: Sequence[StageResult], *, identified: bool) -> ColdStart | None:
    """Return the figures of an arm's cold rounds; None when there were none.

    Args:
        rows: Its samples of these rounds.
        stages: Its blocks of these rounds.
        identified: Whether equal requests can be told; without it no ratio means anything.
    """
    if not stages:
        return None
    right = rows[rows["error"] == 0]
    counted = outcomes(right)
    told = identified and counted.told and len(right) > 0
    return ColdStart(
        rounds=len(stages),
        seconds=sum(stage.end - stage.begin for stage in stages),
        ends=max(stage.end for stage in stages),
        requests=len(rows),
        errors=len(rows) - len(right),
        outcomes=counted,
        hit_ratio=float(free(right).mean()) if told else None,
        origin_calls=total([stage.origin_calls for stage in stages]),
        latency_ms=spread(np.sort(latencies(right))),
    )


def total(calls: list[int | None]) -> int | None:
    """Return the sum of the origin calls; None when a round's are not known."""
    return None if not calls or None in calls else sum(call or 0 for call in calls)
