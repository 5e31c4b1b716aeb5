"""What each arm of a run did: counts, latencies and the rounds that intervals rest on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from valkeyctl.bench.record import OUTCOMES
from valkeyctl.bench.samples import Samples
from valkeyctl.bench.statistics import QUANTILES, Bootstrap, Estimate, Floats, Series, percentile

_HIT, _MISS = OUTCOMES.index("hit"), OUTCOMES.index("miss")
_COLLAPSED, _BYPASS = OUTCOMES.index("collapsed"), OUTCOMES.index("bypass")
_CURVE_POINTS = 200


@dataclass(frozen=True)
class Spread:
    """A distribution of times, in milliseconds; every figure but the mean was observed.

    Attributes:
        n: How many times it is made of.
        mean: Their arithmetic mean.
        p50: And so on: nearest-rank quantiles. With n below 1,000, p999 is the maximum.
    """

    n: int
    mean: float
    p50: float
    p90: float
    p95: float
    p99: float
    p999: float
    max: float


@dataclass(frozen=True)
class ArmFigures:
    """One arm's figures, over the rounds that every arm finished.

    Attributes:
        name: As in the plan.
        bypasses: Whether it asks the gateway to leave the cache alone.
        requests: Sent, errors included.
        errors: Without a right answer.
        first_error: Text of the first one; empty without any.
        hits: Answered from the cache; None where the target does not say, as for the
            four below.
        misses: Answered by the origin after a look into the cache.
        collapsed: Answered by the origin call of another request under way.
        bypassed: Answered by the origin without a look into the cache.
        hit_ratio: (hits + collapsed) / right answers: the share that cost the origin
            nothing. None also where the traffic does not say which prompts are equal.
        origin_calls: Counted at the origin.
        throughput_rps: Right answers per second of its rounds.
        latency_ms: From the intended start to the whole answer; None without a right one.
        ttft_ms: The same to the first token; None where answers do not stream.
        lateness_ms: p99 of how late the client sent what it did not hold back itself;
            None in a closed loop, which has no schedule.
        held_back: Requests that waited in the client for a place among those in flight.
        medians_ms: Median latency of each round; None for a round without a right answer.
        curve: (share of the requests, latency that it did not exceed), for the plot.
        estimates: Interval of each metric, by name; latencies in milliseconds.
    """

    name: str
    bypasses: bool
    requests: int
    errors: int
    first_error: str
    hits: int | None
    misses: int | None
    collapsed: int | None
    bypassed: int | None
    hit_ratio: float | None
    origin_calls: int | None
    throughput_rps: float
    latency_ms: Spread | None
    ttft_ms: Spread | None
    lateness_ms: float | None
    held_back: int
    medians_ms: tuple[float | None, ...] = field(repr=False)
    curve: tuple[tuple[float, float], ...] = field(repr=False)
    estimates: Mapping[str, Estimate] = field(repr=False)

    @property
    def from_cache(self) -> int:
        """Requests that cost the origin nothing; 0 where the target does not say."""
        return (self.hits or 0) + (self.collapsed or 0)


@dataclass(frozen=True)
class Measured:
    """An arm with the series that its intervals, and those of comparisons, come from."""

    arm: ArmFigures
    series: Series = field(repr=False)


def measure(samples: Samples, bootstrap: Bootstrap) -> tuple[Measured, ...]:
    """Return the figures of every arm, in the plan's order, over the complete rounds."""
    rounds = samples.complete_rounds()
    rows = samples.rows[np.isin(samples.rows["round"], rounds)]
    return tuple(
        _measure(samples, number, rows[rows["arm"] == number], rounds, bootstrap)
        for number in range(len(samples.plan.arms))
    )


def _measure(
    samples: Samples,
    number: int,
    rows: npt.NDArray[np.void],
    rounds: list[int],
    bootstrap: Bootstrap,
) -> Measured:
    stages = {stage.round: stage for stage in samples.stages if stage.arm == number}
    right = rows[rows["error"] == 0]
    series = _series(right, rounds, [stages[r].end - stages[r].begin for r in rounds])
    counts = np.bincount(right["outcome"], minlength=len(OUTCOMES))
    told = bool(counts[[_HIT, _MISS, _COLLAPSED, _BYPASS]].any())
    identified = told and samples.traffic.has_identity
    calls = [stages[r].origin_calls for r in rounds]
    seconds = float(series.seconds.sum())
    failed = rows[rows["error"] > 0]
    metrics = [*QUANTILES, "mean", "throughput", *(["hit_ratio"] if identified else [])]
    estimates = {name: bootstrap.of(series, name) for name in metrics} if len(right) else {}
    arm = ArmFigures(
        name=samples.plan.arms[number].name,
        bypasses=samples.plan.arms[number].bypasses,
        requests=len(rows),
        errors=len(failed),
        first_error=samples.errors[int(failed["error"][0]) - 1] if len(failed) else "",
        hits=int(counts[_HIT]) if told else None,
        misses=int(counts[_MISS]) if told else None,
        collapsed=int(counts[_COLLAPSED]) if told else None,
        bypassed=int(counts[_BYPASS]) if told else None,
        hit_ratio=estimates["hit_ratio"].value if "hit_ratio" in estimates else None,
        origin_calls=None if not calls or None in calls else sum(call or 0 for call in calls),
        throughput_rps=len(right) / seconds if seconds else 0.0,
        latency_ms=_spread(series.pooled),
        ttft_ms=_spread(_first_tokens(right)),
        lateness_ms=_lateness(rows) if samples.plan.load_model == "open" else None,
        held_back=int(rows["queued"].sum()),
        medians_ms=tuple(percentile(v, 0.5) if len(v) else None for v in series.rounds),
        curve=_curve(series.pooled),
        estimates=estimates,
    )
    return Measured(arm, series)


def _series(right: npt.NDArray[np.void], rounds: list[int], seconds: list[float]) -> Series:
    milliseconds = (right["end"] - right["intended"]) * 1000
    cached = np.isin(right["outcome"], (_HIT, _COLLAPSED))
    places = [right["round"] == number for number in rounds]
    return Series(
        [milliseconds[place] for place in places],
        seconds,
        [(int(cached[place].sum()), int(place.sum())) for place in places],
    )


def _first_tokens(right: npt.NDArray[np.void]) -> Floats:
    streamed = right[~np.isnan(right["first"])]
    return np.sort((streamed["first"] - streamed["intended"]) * 1000)


def _lateness(rows: npt.NDArray[np.void]) -> float | None:
    free = rows[rows["queued"] == 0]
    if not len(free):
        return None
    return percentile(np.sort((free["start"] - free["intended"]) * 1000), 0.99)


def _spread(ascending: Floats) -> Spread | None:
    if not len(ascending):
        return None
    quantiles = {name: percentile(ascending, q) for name, q in QUANTILES.items()}
    mean = math.fsum(ascending) / len(ascending)
    return Spread(n=len(ascending), mean=mean, max=float(ascending[-1]), **quantiles)


def _curve(ascending: Floats) -> tuple[tuple[float, float], ...]:
    """Return (share, latency) at shares spaced evenly in nines: 0, 90 %, 99 %, 99.9 % ..."""
    count = len(ascending)
    if not count:
        return ()
    nines = np.linspace(0, math.log10(count), _CURVE_POINTS)
    shares = [0.5 / count, *(float(share) for share in 1 - 10.0 ** -nines[1:]), 1.0]
    return tuple((share, percentile(ascending, max(share, 1e-12))) for share in shares)
