"""Figures as JSON, in the shape that is published."""

from __future__ import annotations

from valkeyctl.bench.figures.arms import ArmFigures
from valkeyctl.bench.figures.comparison import Comparison
from valkeyctl.bench.figures.floor import Floor
from valkeyctl.bench.figures.kinds import KindFigures
from valkeyctl.bench.figures.outcomes import OutcomeTimes
from valkeyctl.bench.figures.phases import ColdStart
from valkeyctl.bench.figures.savings import Savings
from valkeyctl.bench.figures.shape import (
    ArmDocument,
    ColdStartDocument,
    ComparisonDocument,
    FloorDocument,
    KindDocument,
    MomentDocument,
    OutcomeDocument,
    SavingsDocument,
    ShareDocument,
    SpreadDocument,
)
from valkeyctl.bench.figures.spread import Spread
from valkeyctl.bench.figures.timeline import Moment
from valkeyctl.bench.statistics.intervals import Estimate


def arm_document(arm: ArmFigures) -> ArmDocument:
    """Return an arm's figures as JSON."""
    return {
        "name": arm.name,
        "requests": arm.requests,
        "errors": arm.errors,
        "first_error": arm.first_error or None,
        "hits": arm.hits,
        "misses": arm.misses,
        "collapsed": arm.collapsed,
        "stale": arm.stale,
        "bypassed": arm.bypassed,
        "hit_ratio": arm.hit_ratio,
        "origin_calls": arm.origin_calls,
        "throughput_rps": arm.throughput_rps,
        "bytes": arm.bytes,
        "latency_ms": _spread(arm.latency_ms),
        "ttft_ms": _perhaps(arm.ttft_ms),
        "inter_token_ms": _perhaps(arm.tokens.inter_token_ms),
        "tokens": {
            "input": arm.tokens.input,
            "output": arm.tokens.output,
            "output_per_s": arm.tokens.output_per_s,
        },
        "by_outcome": [_outcome(one) for one in arm.by_outcome],
        "by_request": [_kind(one) for one in arm.kinds],
        "savings": None if arm.savings is None else _savings(arm.savings),
        "cold_start": None if arm.cold is None else _cold(arm.cold),
        "generator": {
            "offered_rps": arm.sender.offered_rps,
            "utilisation": arm.sender.utilisation,
            "asked_rps": arm.sender.asked_rps,
            "held_rps": arm.sender.held_rps,
            "on_time_ms": _perhaps(arm.sender.on_time_ms),
        },
        "client_lateness_p99_ms": arm.lateness_ms,
        "held_back": arm.held_back,
        "round_medians_ms": list(arm.medians_ms),
        "over_time": [_moment(one) for one in arm.moments],
        "ci95": {name: bounds(one.ci95) for name, one in arm.estimates.items()},
    }


def comparison_document(one: Comparison) -> ComparisonDocument:
    """Return a comparison as JSON."""
    return {
        "baseline": one.baseline,
        "candidate": one.candidate,
        "metric": one.metric,
        "ratio": one.ratio,
        "ci95": bounds(one.ci95),
        "verdict": one.verdict,
        "detectable": one.detectable,
        "words": one.words,
        "blocks": one.blocks,
    }


def floor_document(one: Floor) -> FloorDocument:
    """Return what an arm that was played twice says, as JSON."""
    return {
        "first": one.first,
        "second": one.second,
        "metric": one.metric,
        "ratio": one.ratio,
        "ci95": bounds(one.ci95),
    }


def bounds(ci95: tuple[float, float] | None) -> list[float] | None:
    """Return an interval as JSON."""
    return None if ci95 is None else list(ci95)


def _outcome(one: OutcomeTimes) -> OutcomeDocument:
    return {
        "outcome": one.outcome,
        "latency_ms": _spread(one.latency_ms),
        "ttft_ms": _perhaps(one.ttft_ms),
    }


def _kind(one: KindFigures) -> KindDocument:
    return {
        "name": one.name,
        "requests": one.requests,
        "errors": one.errors,
        "hits": one.outcomes.hits,
        "misses": one.outcomes.misses,
        "collapsed": one.outcomes.collapsed,
        "stale": one.outcomes.stale,
        "bypassed": one.outcomes.bypassed,
        "hit_ratio": one.hit_ratio,
        "latency_ms": _spread(one.latency_ms),
        "ttft_ms": _perhaps(one.ttft_ms),
    }


def _savings(one: Savings) -> SavingsDocument:
    prices = one.prices
    return {
        "origin_calls": one.origin_calls,
        "origin_share": _share(one.origin_share),
        "tokens": one.tokens,
        "tokens_share": _share(one.tokens_share),
        "money": one.money,
        "money_ci95": bounds(one.money_ci95),
        "money_share": _share(one.money_share),
        "prices": None
        if prices is None
        else {"input": prices.input, "output": prices.output, "currency": prices.currency},
        "break_even_hit_ratio": one.break_even,
    }


def _cold(one: ColdStart) -> ColdStartDocument:
    return {
        "rounds": one.rounds,
        "duration_s": one.seconds,
        "requests": one.requests,
        "errors": one.errors,
        "hits": one.outcomes.hits,
        "misses": one.outcomes.misses,
        "collapsed": one.outcomes.collapsed,
        "stale": one.outcomes.stale,
        "hit_ratio": one.hit_ratio,
        "origin_calls": one.origin_calls,
        "latency_ms": _spread(one.latency_ms),
    }


def _moment(one: Moment) -> MomentDocument:
    return {
        "at_s": round(one.at, 3),
        "p50_ms": one.p50_ms,
        "p99_ms": one.p99_ms,
        "throughput_rps": one.throughput_rps,
        "hit_ratio": one.hit_ratio,
        "errors": one.errors,
    }


def _share(one: Estimate | None) -> ShareDocument | None:
    return None if one is None else {"value": one.value, "ci95": bounds(one.ci95)}


def _perhaps(spread: Spread | None) -> SpreadDocument | None:
    return None if spread is None else _spread(spread)


def _spread(spread: Spread | None) -> SpreadDocument:
    if spread is None:
        return {
            "n": 0,
            "mean": None,
            "p50": None,
            "p90": None,
            "p95": None,
            "p99": None,
            "p999": None,
            "max": None,
        }
    return {
        "n": spread.n,
        "mean": spread.mean,
        "p50": spread.p50,
        "p90": spread.p90,
        "p95": spread.p95,
        "p99": spread.p99,
        "p999": spread.p999,
        "max": spread.max,
    }
