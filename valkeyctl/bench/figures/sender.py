"""Whether the load generator kept its schedule, or was itself what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from valkeyctl.bench.figures.outcomes import Rows
from valkeyctl.bench.figures.spread import Spread
from valkeyctl.bench.load.capacity import highest_rate
from valkeyctl.bench.samples import StageResult
from valkeyctl.bench.statistics.intervals import Floats, percentile

# How late it may be where it is strained: by a millisecond, or by a tenth of the latency.
_LATE_MS = 1.0
_PART = 0.1
# From this share of what it could hold on, lateness is its own doing and no hiccup's.
_STRAINED = 0.5


@dataclass(frozen=True)
class Sender:
    """How the load generator did in one arm.

    Attributes:
        lateness_ms: p99 of how late it sent what it did not hold back itself; None in a
            closed loop, which has no schedule.
        utilisation: Share of a core that it used, the mean of several processes; None
            where it did not say.
        offered_rps: Requests sent per second of the rounds.
        asked_rps: Arrivals per second of its schedule; None in a closed loop, and where
            all of a round are due at once.
        held_rps: Highest rate that it could have held, by what a request cost it; None
            where it did not say.
        on_time_ms: Latencies counted from when requests left and not from when they were
            due; None in a closed loop, or without a right answer.
        waited_ms: p90 of how long requests waited in it for whatever reason; None in a
            closed loop.
    """

    lateness_ms: float | None
    utilisation: float | None
    offered_rps: float
    asked_rps: float | None
    held_rps: float | None
    on_time_ms: Spread | None
    waited_ms: float | None


def sender(
    rows: Rows,
    stages: Sequence[StageResult],
    workers: int,
    *,
    scheduled: bool,
    on_time_ms: Spread | None = None,
) -> Sender:
    """Return how the generator did while it sent *rows*.

    Args:
        rows: Samples of one arm.
        stages: Blocks that they are of.
        workers: Processes that sent.
        scheduled: Whether there was a schedule to keep.
        on_time_ms: Latencies from when requests left.
    """
    seconds = sum(stage.end - stage.begin for stage in stages)
    known = [stage for stage in stages if stage.cpu is not None]
    timed = sum(stage.end - stage.begin for stage in known) * max(1, workers)
    spent = sum(stage.cpu or 0.0 for stage in known)
    waits = _milliseconds(rows) if scheduled else np.empty(0)
    late = waits[rows["queued"] == 0] if scheduled else waits
    return Sender(
        lateness_ms=percentile(np.sort(late), 0.99) if len(late) else None,
        utilisation=spent / timed if timed else None,
        offered_rps=len(rows) / seconds if seconds else 0.0,
        asked_rps=_asked(rows) if scheduled else None,
        held_rps=highest_rate(
            ((stage.size, stage.cpu) for stage in stages), processes=max(1, workers)
        ),
        on_time_ms=on_time_ms if scheduled else None,
        waited_ms=percentile(np.sort(waits), 0.9) if len(waits) else None,
    )


def _milliseconds(rows: Rows) -> Floats:
    return np.asarray((rows["start"] - rows["intended"]) * 1000, dtype=np.float64)


def _asked(rows: Rows) -> float | None:
    """Return the rate of the schedule, by the gaps within its rounds; None without any."""
    if not len(rows):
        return None
    order = np.lexsort((rows["intended"], rows["round"]))
    due, number = rows["intended"][order], rows["round"][order]
    gaps = np.diff(due)[np.diff(number) == 0]
    span = float(gaps.sum())
    return len(gaps) / span if span > 0 else None


def refusal(name: str, one: Sender, latency_ms: Spread | None) -> str:
    """Return why the figures of arm *name* are the generator's own; empty when they are not.

    They are in two cases. More than half of the median latency is lateness, and more than
    1 ms: what is typical of the arm is the generator's doing. Or the schedule asks for
    more than half of what the generator has the processor time for, and one request in ten
    waited in it by as much of the p90: then it also reads answers late and finds no place
    in flight, and none of that is the target's.

    Less than that is no such case: of a busy machine, and of its hiccups, intervals and
    verdicts are told (`lateness.Bracket`).
    """
    strained = _strained(one, latency_ms)
    if not strained and not _typically_late(one, latency_ms):
        return ""
    if strained:
        text = (
            f"the load generator itself was the bottleneck in arm {name}: the schedule asks for "
            f"{one.asked_rps:,.0f} requests a second, and they waited {one.waited_ms:,.1f} ms in "
            "the generator at p90"
        )
    else:
        text = (
            f"the load generator itself was the bottleneck in arm {name}: at "
            f"{one.asked_rps or one.offered_rps:,.0f} requests a second the median latency is "
            f"{_median(latency_ms):,.1f} ms from when they were due, and "
            f"{_median(one.on_time_ms):,.1f} ms from when they left"
        )
    if one.held_rps is None:
        return text
    highest = f"the highest rate that it could have held is about {one.held_rps:,.0f} a second"
    if one.held_rps >= (one.asked_rps or one.offered_rps):
        # It had not been busy enough to be late by itself.
        highest += " on a core of its own, which something else used"
    return f"{text}; {highest}"


def _typically_late(one: Sender, latency_ms: Spread | None) -> bool:
    if latency_ms is None or one.on_time_ms is None:
        return False
    left = one.on_time_ms.p50
    return latency_ms.p50 - left > max(_LATE_MS, left)


def _strained(one: Sender, latency_ms: Spread | None) -> bool:
    if one.asked_rps is None or one.held_rps is None or one.waited_ms is None:
        return False
    p90 = latency_ms.p90 if latency_ms else 0.0
    return one.asked_rps > _STRAINED * one.held_rps and one.waited_ms > _allowed(p90)


def _allowed(latency_ms: float) -> float:
    return max(_LATE_MS, _PART * latency_ms)


def _median(spread: Spread | None) -> float:
    return spread.p50 if spread else 0.0
