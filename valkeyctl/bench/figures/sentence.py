"""What every sentence of a report is made of: its kind, the names of metrics, numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["error", "warning", "result", "note"]
METRIC_NAMES = {
    "p50": "median latency",
    "p90": "p90 latency",
    "p95": "p95 latency",
    "p99": "p99 latency",
    "p999": "p99.9 latency",
    "mean": "mean latency",
    "throughput": "throughput",
}


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


def short_name(metric: str) -> str:
    """Return *metric* for a narrow column: p99.9 and not p999."""
    return METRIC_NAMES[metric].removesuffix(" latency") if metric == "p999" else metric


def figure(value: float) -> str:
    """Return *value* for a person: three digits, without an exponent."""
    if value >= 100:
        return f"{value:,.0f}"
    if value >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if value >= 1 else f"{value:.3f}"
