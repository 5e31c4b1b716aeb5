"""A distribution of times in a few figures, and as a curve for the plot."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from valkeyctl.bench.statistics.intervals import QUANTILES, Floats, percentile


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


def spread(ascending: Floats) -> Spread | None:
    """Return the figures of sorted times; None without any."""
    if not len(ascending):
        return None
    quantiles = {name: percentile(ascending, q) for name, q in QUANTILES.items()}
    return Spread(
        n=len(ascending),
        mean=float(ascending.mean()),  # numpy adds in pairs: 1e-15 off at a million values
        max=float(ascending[-1]),
        **quantiles,
    )


def curve(ascending: Floats, points: int) -> tuple[tuple[float, float], ...]:
    """Return (share, latency) at shares spaced evenly in nines: 0, 90 %, 99 %, 99.9 % ..."""
    count = len(ascending)
    if not count:
        return ()
    nines = np.linspace(0, math.log10(count), points)
    shares = [0.5 / count, *(float(share) for share in 1 - 10.0 ** -nines[1:]), 1.0]
    return tuple((share, percentile(ascending, max(share, 1e-12))) for share in shares)
