"""How many times better one arm is than another, and whether that can be said at all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from valkeyctl.bench.figures.arms import Measured
from valkeyctl.bench.plan import LoadModel
from valkeyctl.bench.statistics.intervals import METRICS, Bootstrap, Estimate, Verdict, judge
from valkeyctl.bench.statistics.verdicts import detectable, in_words, needed_seconds, telling

_FAILED = "requests failed, so no difference is claimed"


@dataclass(frozen=True)
class Comparison:
    """One metric of one arm against the baseline.

    Attributes:
        baseline: Name of the arm that is compared with.
        candidate: Name of the arm that is judged.
        metric: ``p50`` to ``p999``, ``mean`` (of latency) or ``throughput``.
        ratio: How many times better the candidate is; below 1 it is worse.
        ci95: Bounds of its 95 % interval, which holds whether latency counts from when
            requests were due or from when they left; None where the samples support none,
            or one that says nothing (`verdicts.telling`).
        verdict: What may be said; ``inconclusive`` also when there were errors. ``same``
            means within `intervals.SAME_MARGIN`.
        detectable: Smallest change that nine of ten such runs would have shown; 0.03 is
            3 %. None without an interval.
        words: The effect as a clause, for a person.
        blocks: How many blocks of rounds the interval rests on.
        needed: Seconds that the run would have to last for its noise; None where it is
            long enough, or its verdict does not depend on it.
    """

    baseline: str
    candidate: str
    metric: str
    ratio: float
    ci95: tuple[float, float] | None
    verdict: Verdict
    detectable: float | None = None
    words: str = ""
    blocks: int = 0
    needed: float | None = None


def comparable(ratio: Estimate) -> bool:
    """Say whether *ratio* is one: nothing is so many times as long as a latency of 0."""
    return 0 < ratio.value < math.inf


def compare_arms(
    measured: Sequence[Measured], baseline: str, load_model: LoadModel, bootstrap: Bootstrap
) -> tuple[Comparison, ...]:
    """Return every arm's comparison with *baseline*, metric by metric.

    Throughput is left out of an open loop, where it is the load that was offered. With an
    error in one of two arms every verdict on them is ``inconclusive``: an answer that
    failed fast is not a fast answer. A metric that is 0 in one of them is left out.
    """
    first = next(one for one in measured if one.arm.name == baseline)
    seconds = sum(float(one.series.seconds.sum()) for one in measured)
    metrics = [name for name in METRICS if load_model == "closed" or name != "throughput"]
    found = []
    for other in measured:
        if other is first or not (len(first.series.pooled) and len(other.series.pooled)):
            continue
        clean = not (first.arm.wrong or other.arm.wrong)
        for metric in metrics:
            ratio = telling(first.bracket.ratio(other.bracket, bootstrap, metric))
            if not comparable(ratio):
                continue
            verdict = judge(ratio, bootstrap.rounds) if clean else "inconclusive"
            needed = needed_seconds(ratio, seconds) if verdict == "inconclusive" else None
            found.append(
                Comparison(
                    baseline,
                    other.arm.name,
                    metric,
                    ratio.value,
                    ratio.ci95,
                    verdict,
                    detectable(ratio),
                    in_words(ratio, verdict, needed) if clean else _FAILED,
                    ratio.blocks,
                    needed,
                )
            )
    return tuple(found)
