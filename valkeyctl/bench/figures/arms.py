"""What each arm of a run did: counts, latencies and the rounds that intervals rest on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from valkeyctl.bench.figures.kinds import KindFigures, by_kind
from valkeyctl.bench.figures.lateness import Bracket, matters, punctual, spanning
from valkeyctl.bench.figures.outcomes import (
    Outcomes,
    OutcomeTimes,
    Rows,
    by_outcome,
    first_tokens,
    free,
    latencies,
    outcomes,
)
from valkeyctl.bench.figures.phases import ColdStart, Phases, cold_start, total
from valkeyctl.bench.figures.savings import Savings, Spent, break_even, save, spent
from valkeyctl.bench.figures.sender import Sender, sender
from valkeyctl.bench.figures.spread import Spread, curve, spread
from valkeyctl.bench.figures.streamed import streamed_estimates
from valkeyctl.bench.figures.throughput import answering_seconds
from valkeyctl.bench.figures.timeline import Moment, timeline
from valkeyctl.bench.figures.tokens import Tokens, tokens
from valkeyctl.bench.samples import Samples
from valkeyctl.bench.statistics.intervals import (
    QUANTILES,
    Bootstrap,
    Estimate,
    Series,
    percentile,
)

_CURVE_POINTS, _ALL_CURVES = 160, 1600


@dataclass(frozen=True)
class ArmFigures:
    """One arm's figures, over the steady rounds that every arm finished.

    Attributes:
        name: As in the plan.
        bypasses: Whether it asks the gateway to leave the cache alone.
        requests: Sent, errors included.
        errors: Without a right answer.
        first_error: Text of the first one, the cold start's included; empty without any.
        outcomes: How the right answers came about.
        hit_ratio: (hits + collapsed + stale) / right answers: the share that waited for
            no origin call of its own. None where the target does not say, and where the
            traffic does not say which prompts are equal.
        origin_calls: Counted at the origin.
        throughput_rps: Right answers per second; see `throughput.answering_seconds`.
        bytes: Of the bodies of right answers.
        latency_ms: From the intended start to the whole answer; None without a right one.
        ttft_ms: The same to the first token; None where answers do not stream.
        by_outcome: The times of hits, misses and the others apart.
        tokens: What the answers tell of theirs.
        kinds: The same figures for each kind of request.
        savings: Against the baseline; None for the baseline itself.
        cold: What it did before its steady state; None when nothing was dropped.
        sender: How the load generator did.
        held_back: Requests that waited in the client for a place among those in flight.
        medians_ms: Median latency of each round; None for a round without a right answer.
        curve: (share of the requests, latency that it did not exceed), for the plot.
        moments: What it did over time, the cold start included.
        estimates: Interval of each metric, by name; latencies in milliseconds. They hold
            both from when requests were due and from when they left.
    """

    name: str
    bypasses: bool
    requests: int
    errors: int
    first_error: str
    outcomes: Outcomes
    hit_ratio: float | None
    origin_calls: int | None
    throughput_rps: float
    bytes: int
    latency_ms: Spread | None
    ttft_ms: Spread | None
    by_outcome: tuple[OutcomeTimes, ...] = field(repr=False)
    tokens: Tokens
    kinds: tuple[KindFigures, ...] = field(repr=False)
    savings: Savings | None
    cold: ColdStart | None
    sender: Sender
    held_back: int
    medians_ms: tuple[float | None, ...] = field(repr=False)
    curve: tuple[tuple[float, float], ...] = field(repr=False)
    moments: tuple[Moment, ...] = field(repr=False)
    estimates: Mapping[str, Estimate] = field(repr=False)

    @property
    def wrong(self) -> int:
        """Requests without a right answer, those of the cold start included."""
        return self.errors + (self.cold.errors if self.cold else 0)

    @property
    def sent(self) -> int:
        """Requests, those of the cold start included."""
        return self.requests + (self.cold.requests if self.cold else 0)

    @property
    def past_cache(self) -> bool:
        """Whether no answer came by the cache: its requests ask for that, or all answers say so."""
        right = self.requests - self.errors
        return self.bypasses or (right > 0 and self.outcomes.bypassed == right)

    @property
    def hits(self) -> int | None:
        """Answered from the cache; None where the target does not say."""
        return self.outcomes.hits

    @property
    def misses(self) -> int | None:
        """Answered by the origin after a look into the cache, likewise."""
        return self.outcomes.misses

    @property
    def collapsed(self) -> int | None:
        """Answered by the origin call of another request under way, likewise."""
        return self.outcomes.collapsed

    @property
    def stale(self) -> int | None:
        """Answered from the cache by an entry whose time was over, likewise."""
        return self.outcomes.stale

    @property
    def bypassed(self) -> int | None:
        """Answered by the origin without a look into the cache, likewise."""
        return self.outcomes.bypassed

    @property
    def from_cache(self) -> int:
        """Answers that waited for no origin call of their own; 0 where it is not said."""
        return self.outcomes.free

    @property
    def lateness_ms(self) -> float | None:
        """p99 of the load generator's own lateness; None in a closed loop."""
        return self.sender.lateness_ms


@dataclass(frozen=True)
class Measured:
    """An arm with the series that its intervals, and those of comparisons, come from."""

    arm: ArmFigures
    bracket: Bracket = field(repr=False)
    calls: tuple[int | None, ...] = ()
    spent: tuple[Spent, ...] = field(default=(), repr=False)

    @property
    def series(self) -> Series:
        """Its rounds, by latencies from when requests were due."""
        return self.bracket.due


def measure(
    samples: Samples, bootstrap: Bootstrap, phases: Phases | None = None
) -> tuple[Measured, ...]:
    """Return the figures of every arm, in the plan's order.

    Args:
        samples: The run.
        bootstrap: Resamples of as many rounds as figures are of.
        phases: Which rounds those are; None takes every complete round.
    """
    phases = phases or Phases((), tuple(samples.complete_rounds()))
    measured = [
        _measure(samples, number, phases, bootstrap) for number in range(len(samples.plan.arms))
    ]
    baseline = next(one for one in measured if one.arm.name == samples.plan.baseline)
    return tuple(
        one if one is baseline else _with_savings(one, baseline, samples, bootstrap)
        for one in measured
    )


def _measure(samples: Samples, number: int, phases: Phases, bootstrap: Bootstrap) -> Measured:
    plan = samples.plan
    rounds = list(phases.steady)
    stages = {stage.round: stage for stage in samples.stages if stage.arm == number}
    # One arm at a time: all of a million samples beside all of a copy would be too much.
    mine = samples.rows[(samples.rows["arm"] == number) & (samples.rows["round"] >= 0)]
    rows = mine[np.isin(mine["round"], rounds)]
    right = rows[rows["error"] == 0]
    played = [stages[one] for one in rounds]
    opened = plan.load_model == "open"
    took = answering_seconds(rows, rounds, played, scheduled=opened)
    bracket, on_time = _bracket(right, rounds, took, scheduled=opened)
    series = bracket.due
    counted = outcomes(right)
    identified = counted.told and samples.traffic.has_identity
    calls = [stage.origin_calls for stage in played]
    seconds = float(series.seconds.sum())
    metrics = [*QUANTILES, "mean", "throughput", *(["hit_ratio"] if identified else [])]
    estimates = {name: bracket.of(bootstrap, name) for name in metrics} if len(right) else {}
    estimates |= _streamed(right, rounds, bootstrap, late=bracket.left is not None)
    cold = mine[np.isin(mine["round"], phases.cold)]
    failed = [*cold["error"][cold["error"] > 0][:1], *rows["error"][rows["error"] > 0][:1]]
    workers = plan.workers + plan.remote_workers
    arm = ArmFigures(
        name=plan.arms[number].name,
        bypasses=plan.arms[number].bypasses,
        requests=len(rows),
        errors=len(rows) - len(right),
        first_error=samples.errors[int(failed[0]) - 1] if failed else "",
        outcomes=counted,
        hit_ratio=estimates["hit_ratio"].value if "hit_ratio" in estimates else None,
        origin_calls=total(calls),
        throughput_rps=len(right) / seconds if seconds else 0.0,
        bytes=int(right["size"].sum(dtype=np.int64)),
        latency_ms=spread(series.pooled),
        ttft_ms=spread(first_tokens(right)),
        by_outcome=by_outcome(right),
        tokens=tokens(right, seconds),
        kinds=by_kind(rows, [one.name for one in plan.scenario.requests], identified=identified),
        savings=None,
        cold=cold_start(cold, [stages[one] for one in phases.cold], identified=identified),
        sender=sender(rows, played, workers, scheduled=opened, on_time_ms=on_time),
        held_back=int(rows["queued"].sum(dtype=np.int64)),
        medians_ms=tuple(percentile(v, 0.5) if len(v) else None for v in series.rounds),
        curve=curve(series.pooled, min(_CURVE_POINTS, max(20, _ALL_CURVES // len(plan.arms)))),
        moments=timeline(samples, number, mine, told=identified),
        estimates=estimates,
    )
    return Measured(arm, bracket, tuple(calls), tuple(spent(right, rounds, plan.prices)))


def _bracket(
    right: Rows, rounds: Sequence[int], seconds: Sequence[float], *, scheduled: bool
) -> tuple[Bracket, Spread | None]:
    """Return the latencies of *right* answers, and what they would be of a punctual sender."""
    due = series_of(right, rounds, seconds)
    if not scheduled:
        return Bracket(due), None
    left = series_of(punctual(right), rounds, seconds)
    on_time = spread(left.pooled)
    return Bracket(due, left if matters(spread(due.pooled), on_time) else None), on_time


def _streamed(
    right: Rows, rounds: Sequence[int], bootstrap: Bootstrap, *, late: bool
) -> Mapping[str, Estimate]:
    found = streamed_estimates(right, rounds, bootstrap)
    if not late:
        return found
    left = streamed_estimates(punctual(right), rounds, bootstrap)
    return {name: spanning(one, left[name]) for name, one in found.items()}


def series_of(right: Rows, rounds: Sequence[int], seconds: Sequence[float]) -> Series:
    """Return the latencies of *right* answers round by round, and their hits.

    Args:
        right: Samples of one arm, without errors.
        rounds: Which rounds, ascending.
        seconds: In which the answers of each came.
    """
    places = np.searchsorted(rounds, right["round"])
    order = np.argsort(places, kind="stable")
    edges = np.searchsorted(places[order], np.arange(len(rounds) + 1))
    milliseconds, cached = latencies(right)[order], free(right)[order]
    parts = [slice(edges[one], edges[one + 1]) for one in range(len(rounds))]
    return Series(
        [milliseconds[part] for part in parts],
        seconds,
        [(int(cached[part].sum()), part.stop - part.start) for part in parts],
    )


def _with_savings(
    one: Measured, baseline: Measured, samples: Samples, bootstrap: Bootstrap
) -> Measured:
    means = {
        times.outcome: (times.latency_ms.n, times.latency_ms.mean) for times in one.arm.by_outcome
    }
    theirs = baseline.arm.latency_ms
    savings = save(
        list(one.spent),
        list(one.calls),
        list(baseline.calls),
        samples.plan.prices,
        bootstrap,
        break_even(
            means.get("hit", (0, 0.0)),
            means.get("miss", (0, 0.0)),
            # Only an arm past the cache says what an answer takes without it.
            (theirs.n, theirs.mean) if theirs and baseline.arm.bypasses else (0, 0.0),
        ),
        times=one.arm.requests / baseline.arm.requests if baseline.arm.requests else 1.0,
    )
    return replace(one, arm=replace(one.arm, savings=savings))
