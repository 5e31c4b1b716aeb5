"""What a run shows, in sentences computed from its figures; bad news comes first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from valkeyctl.bench.arms import ArmFigures
from valkeyctl.bench.comparison import Comparison
from valkeyctl.bench.plan import Plan
from valkeyctl.bench.statistics import LEAST_ROUNDS
from valkeyctl.bench.traffic import Traffic

Kind = Literal["error", "warning", "result", "note"]

_ALMOST_NOTHING = 0.02
_LITTLE = 0.10
METRIC_NAMES = {
    "p50": "median latency",
    "p90": "p90 latency",
    "p95": "p95 latency",
    "p99": "p99 latency",
    "p999": "p99.9 latency",
    "mean": "mean latency",
    "throughput": "throughput",
}
_HEADLINES = ("p50", "p99", "throughput")


@dataclass(frozen=True)
class Sentence:
    """One sentence of the conclusion.

    Attributes:
        kind: ``error``: nothing may be concluded; ``warning``: read the figures with
            care; ``result``; ``note``: how to read them.
        text: The sentence.
    """

    kind: Kind
    text: str


def conclude(
    plan: Plan,
    traffic: Traffic,
    arms: Sequence[ArmFigures],
    comparisons: Sequence[Comparison],
    *,
    rounds: int,
    incomplete: str,
    miscounted: int = 0,
) -> tuple[Sentence, ...]:
    """Return what may be said, most important first.

    Args:
        plan: What was asked for.
        traffic: What was known of the stream beforehand.
        arms: Figures of the complete rounds.
        comparisons: With the baseline.
        rounds: How many rounds are complete.
        incomplete: Why the run ended early; empty when it did not.
        miscounted: Requests that Locust counted beyond the samples, below zero for fewer.
    """
    return (
        *_failures(arms),
        *_shortfalls(plan, rounds, incomplete),
        *_books(miscounted),
        *_cache_use(traffic, arms),
        *_speed(comparisons, clean=not any(arm.errors for arm in arms), rounds=rounds),
        *_overload(plan, arms),
        *_reading(plan, traffic),
    )


def _failures(arms: Sequence[ArmFigures]) -> Iterator[Sentence]:
    for arm in arms:
        if arm.errors:
            yield Sentence(
                "error",
                f"{arm.errors:,} of {arm.requests:,} requests of arm {arm.name} had no right "
                f"answer (the first: {arm.first_error}). No speed-up is claimed.",
            )


def _shortfalls(plan: Plan, rounds: int, incomplete: str) -> Iterator[Sentence]:
    if incomplete:
        yield Sentence(
            "warning",
            f"The run is incomplete ({incomplete}): {rounds} of {plan.rounds} rounds were "
            "played in every arm, and only these count.",
        )
    if rounds < LEAST_ROUNDS and len(plan.arms) > 1:
        yield Sentence(
            "warning",
            f"{rounds} {'round is' if rounds == 1 else 'rounds are'} too few to conclude from; "
            f"{LEAST_ROUNDS} are the least.",
        )


def _books(miscounted: int) -> Iterator[Sentence]:
    if miscounted:
        yield Sentence(
            "warning",
            f"Locust counted {abs(miscounted):,} requests {'more' if miscounted > 0 else 'fewer'} "
            "than there are samples: requests were lost or repeated on the way.",
        )


def _cache_use(traffic: Traffic, arms: Sequence[ArmFigures]) -> Iterator[Sentence]:
    if not traffic.has_identity:
        yield Sentence(
            "warning",
            "The trace does not say which prompts are equal, so every request was sent as a "
            "prompt of its own: no hit ratio can come from it.",
        )
        return
    plain = next((arm for arm in arms if arm.bypasses), None)
    for arm in arms:
        if arm.bypasses or arm.hit_ratio is None:
            continue
        text = (
            f"{arm.from_cache:,} of {arm.requests:,} requests of arm {arm.name} "
            f"({arm.hit_ratio * 100:.2f} %) could be answered from the cache"
        )
        if arm.hit_ratio < _ALMOST_NOTHING:
            text += ": on this traffic caching buys almost nothing."
        elif arm.hit_ratio < _LITTLE:
            text += ": on this traffic caching buys little."
        else:
            text += "."
        yield Sentence("result", text)
        if arm.origin_calls is not None and plain is not None and plain.origin_calls is not None:
            yield Sentence(
                "result",
                f"The origin was called {arm.origin_calls:,} times by arm {arm.name}, "
                f"{plain.origin_calls:,} times by arm {plain.name}.",
            )


def _speed(comparisons: Sequence[Comparison], *, clean: bool, rounds: int) -> Iterator[Sentence]:
    if not clean or rounds < LEAST_ROUNDS:
        return
    said_worse = {
        one.candidate for one in comparisons if one.metric in _HEADLINES and one.verdict == "worse"
    }
    for one in comparisons:
        # What got worse elsewhere in the distribution is not left out for being no headline.
        hidden = one.verdict == "worse" and one.candidate not in said_worse
        if one.ci95 is not None and (one.metric in _HEADLINES or hidden):
            yield Sentence("result", _words(one, one.ci95))


def _words(one: Comparison, ci95: tuple[float, float]) -> str:
    name = METRIC_NAMES[one.metric]
    bounds = f"(95 % interval {figure(ci95[0])} to {figure(ci95[1])})"
    if one.verdict == "same":
        arms = f"arms {one.candidate} and {one.baseline}"
        return f"By {name}, {arms} are the same within 5 % {bounds}."
    if one.verdict == "inconclusive":
        return f"By {name}, no difference could be shown {bounds}."
    faster, slower, ratio = one.candidate, one.baseline, one.ratio
    if one.verdict == "worse":
        faster, slower, ratio = slower, faster, 1 / ratio
        bounds = f"(95 % interval {figure(1 / ci95[1])} to {figure(1 / ci95[0])})"
    if one.metric == "throughput":
        times = f"{figure(ratio)} times as many answers a second"
        return f"Arm {faster} gives {times} as arm {slower} {bounds}."
    return f"By {name}, arm {faster} is {figure(ratio)} times as fast as arm {slower} {bounds}."


def _overload(plan: Plan, arms: Sequence[ArmFigures]) -> Iterator[Sentence]:
    for arm in arms:
        if arm.held_back * 100 > arm.requests:
            yield Sentence(
                "warning",
                f"Arm {arm.name} was offered more than it could take: {arm.held_back:,} of "
                f"{arm.requests:,} requests waited in the client, as {plan.max_in_flight} were "
                "in flight. The wait is part of the latencies.",
            )
        median = arm.latency_ms.p50 if arm.latency_ms else 0.0
        if arm.lateness_ms is not None and arm.lateness_ms > max(1.0, median / 10):
            yield Sentence(
                "warning",
                f"The load generator itself was late in arm {arm.name}: {figure(arm.lateness_ms)} "
                f"ms at p99, beside a median latency of {figure(median)} ms. The lateness is "
                "part of the latencies.",
            )


def _reading(plan: Plan, traffic: Traffic) -> Iterator[Sentence]:
    if plan.load_model == "open":
        yield Sentence(
            "note",
            "Open loop: arrivals follow the schedule whether or not answers keep up, and "
            "latency counts from the intended start. Throughput is at most the offered load, "
            "so no speed-up of it is claimed.",
        )
    else:
        yield Sentence(
            "note",
            f"Closed loop: each of {plan.users} users waits for its answer before it asks "
            "again, so a slow target is asked less often and its latencies look better than "
            "under a fixed rate.",
        )
    if plan.trace is not None and traffic.distinct is not None and traffic.has_identity:
        yield Sentence(
            "note",
            f"The trace holds {traffic.distinct:,} different prompts in {traffic.requests:,} "
            "requests; an exact-match cache without bounds answers the difference.",
        )


def figure(value: float) -> str:
    """Return *value* for a person: three digits, without an exponent."""
    if value >= 100:
        return f"{value:,.0f}"
    if value >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if value >= 1 else f"{value:.3f}"
