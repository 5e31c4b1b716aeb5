"""How many times better one arm is than another, and whether that can be said at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from valkeyctl.bench.arms import Measured
from valkeyctl.bench.plan import LoadModel
from valkeyctl.bench.statistics import METRICS, Bootstrap, Verdict, judge


@dataclass(frozen=True)
class Comparison:
    """One metric of one arm against the baseline.

    Attributes:
        baseline: Name of the arm that is compared with.
        candidate: Name of the arm that is judged.
        metric: ``p50`` to ``p999``, ``mean`` (of latency) or ``throughput``.
        ratio: How many times better the candidate is; below 1 it is worse.
        ci95: Bounds of its 95 % interval; None where the samples support none.
        verdict: What may be said; ``inconclusive`` also when there were errors.
    """

    baseline: str
    candidate: str
    metric: str
    ratio: float
    ci95: tuple[float, float] | None
    verdict: Verdict


def compare_arms(
    measured: Sequence[Measured], baseline: str, load_model: LoadModel, bootstrap: Bootstrap
) -> tuple[Comparison, ...]:
    """Return every arm's comparison with *baseline*, metric by metric.

    Throughput is left out of an open loop, where it is the load that was offered. With an
    error in one of two arms every verdict on them is ``inconclusive``: an answer that
    failed fast is not a fast answer.
    """
    first = next(one for one in measured if one.arm.name == baseline)
    metrics = [name for name in METRICS if load_model == "closed" or name != "throughput"]
    found = []
    for other in measured:
        if other is first or not (len(first.series.pooled) and len(other.series.pooled)):
            continue
        clean = not (first.arm.errors or other.arm.errors)
        for metric in metrics:
            ratio = bootstrap.ratio(first.series, other.series, metric)
            found.append(
                Comparison(
                    baseline,
                    other.arm.name,
                    metric,
                    ratio.value,
                    ratio.ci95,
                    judge(ratio, bootstrap.rounds) if clean else "inconclusive",
                )
            )
    return tuple(found)
