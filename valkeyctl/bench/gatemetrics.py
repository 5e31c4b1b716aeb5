"""What a gate can be about: the figures of an arm, by the names that expressions use."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from valkeyctl.bench.figures.arms import ArmFigures
from valkeyctl.bench.figures.phases import ColdStart
from valkeyctl.bench.figures.savings import Savings
from valkeyctl.bench.statistics.intervals import METRICS, QUANTILES, Estimate

Kind = Literal["speedup", "figure", "count"]
Read = Callable[[ArmFigures], Estimate | None]

_UNTOLD = "its answers do not say what came from the cache (X-Cache)"
_UNCOUNTED = "its /metrics does not count the calls to the origin"
_TOKENLESS = "its answers do not tell their tokens"
_SILENT = "too few right answers for an interval"
_UNSTREAMED = "its answers do not stream, or too few for an interval"
_NO_COLD = "no cold start was found and dropped"


@dataclass(frozen=True)
class Metric:
    """One figure that a gate can bound.

    Attributes:
        name: As expressions write it.
        kind: ``speedup``: against the baseline, with an interval; ``figure``: of the arm
            alone, with an interval; ``count``: exact, and true whatever else went wrong.
        about: One line for a table.
        missing: Why an arm may not have it.
        read: Gives it, exact ones with an interval of no width; None where the arm has
            none. Speed-ups are no arm's own, and are read from the comparisons.
        of_savings: Whether it is against the baseline.
    """

    name: str
    kind: Kind
    about: str
    missing: str
    read: Read = field(repr=False)
    of_savings: bool = False


def _exact(value: float | None) -> Estimate | None:
    return None if value is None else Estimate(value, (value, value))


def _estimated(name: str) -> Read:
    return lambda arm: arm.estimates.get(name)


def _of_savings(read: Callable[[Savings], Estimate | None]) -> Read:
    return lambda arm: None if arm.savings is None else read(arm.savings)


def _of_cold(read: Callable[[ColdStart], float | None]) -> Read:
    return lambda arm: None if arm.cold is None else _exact(read(arm.cold))


def _money(savings: Savings) -> Estimate | None:
    return None if savings.money is None else Estimate(savings.money, savings.money_ci95)


def wrong_answers(arm: ArmFigures) -> int:
    """Return how many requests of *arm* had no right answer, its cold start included."""
    return arm.wrong


def _metrics() -> Iterator[Metric]:
    for name in METRICS:
        what = "answers a second" if name == "throughput" else f"{name} latency"
        yield Metric(
            *(f"{name}_speedup", "speedup", f"how many times better than the baseline by {what}"),
            *("too few rounds or requests for an interval", _estimated(name)),
        )
    for name in (*QUANTILES, "mean"):
        about = f"{name} latency, in milliseconds"
        yield Metric(f"{name}_ms", "figure", about, _SILENT, _estimated(name))
    for name, about in (("ttft", "time to the first token"), ("itl", "time between tokens")):
        for quantile in ("p50", "p90", "p99"):
            yield Metric(
                *(f"{name}_{quantile}_ms", "figure", f"{quantile} {about}, in milliseconds"),
                *(_UNSTREAMED, _estimated(f"{name}_{quantile}")),
            )
    yield Metric(
        *("throughput_rps", "figure", "right answers a second", _SILENT, _estimated("throughput"))
    )
    yield Metric(
        *("hit_ratio", "figure", "share that waited for no origin call of its own, 0 to 1"),
        *(_UNTOLD, _estimated("hit_ratio")),
    )
    yield from _savings()
    yield from _counts()


def _savings() -> Iterator[Metric]:
    for name, about, missing, read in (
        (
            "origin_calls_saved_ratio",
            "share of the baseline's origin calls that were not made, 0 to 1",
            _UNCOUNTED,
            _of_savings(lambda savings: savings.origin_share),
        ),
        (
            "tokens_saved_ratio",
            "share of all tokens that came from the cache, 0 to 1",
            _TOKENLESS,
            _of_savings(lambda savings: savings.tokens_share),
        ),
        (
            "money_saved_ratio",
            "share of the price of all tokens, 0 to 1",
            _TOKENLESS,
            _of_savings(lambda savings: savings.money_share),
        ),
        ("money_saved", "price of the tokens that were saved", _TOKENLESS, _of_savings(_money)),
    ):
        yield Metric(name, "figure", about, missing, read, of_savings=True)


def _counts() -> Iterator[Metric]:
    rows: tuple[tuple[str, str, str, Read], ...] = (
        (
            "errors",
            "requests without a right answer, the cold start's too",
            "",
            lambda arm: _exact(wrong_answers(arm)),
        ),
        ("requests", "requests sent", "", lambda arm: _exact(arm.requests)),
        ("hits", "answers from the cache", _UNTOLD, lambda arm: _exact(arm.hits)),
        ("misses", "answers of the origin", _UNTOLD, lambda arm: _exact(arm.misses)),
        (
            "collapsed",
            "answers of another request's origin call",
            _UNTOLD,
            lambda arm: _exact(arm.collapsed),
        ),
        (
            "origin_calls",
            "calls to the origin, counted there",
            _UNCOUNTED,
            lambda arm: _exact(arm.origin_calls),
        ),
        (
            "lateness_p99_ms",
            "p99 of the load generator's own lateness, in milliseconds",
            "nothing was sent on a schedule",
            lambda arm: _exact(arm.lateness_ms),
        ),
        ("cold_rounds", "rounds of the cold start", _NO_COLD, _of_cold(lambda cold: cold.rounds)),
        ("cold_seconds", "its length, in seconds", _NO_COLD, _of_cold(lambda cold: cold.seconds)),
        (
            "cold_hit_ratio",
            "its hit ratio, 0 to 1",
            _NO_COLD,
            _of_cold(lambda cold: cold.hit_ratio),
        ),
        (
            "cold_origin_calls",
            "its calls to the origin",
            _NO_COLD,
            _of_cold(lambda cold: cold.origin_calls),
        ),
    )
    for name, about, missing, read in rows:
        yield Metric(name, "count", about, missing, read)
    for name, about, missing, read in (
        (
            "origin_calls_saved",
            "origin calls that the baseline made and this arm did not",
            _UNCOUNTED,
            _of_savings(lambda savings: _exact(savings.origin_calls)),
        ),
        (
            "tokens_saved",
            "tokens that came from the cache",
            _TOKENLESS,
            _of_savings(lambda savings: _exact(savings.tokens)),
        ),
    ):
        yield Metric(name, "count", about, missing, read, of_savings=True)


GATE_METRICS = {metric.name: metric for metric in _metrics()}
