"""Where more stops paying."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

DEFAULT_GAIN = 0.01
# Of ratios and rates, so that a gain of exactly what was asked for counts as one.
_ROUNDING = 1e-12


def knee(points: Sequence[tuple[float, float]], gain: float = DEFAULT_GAIN) -> float | None:
    """Return the smallest size from which on no doubling gains as much as *gain*.

    One rule, chosen because it answers what is asked when memory is bought; rules that
    look for the point furthest from a chord (Kneedle among them) move with the range
    that happens to be drawn.

    Between two points the curve is taken as straight over the logarithm of the size, so
    that what four doublings gain together is a quarter of it for each. A curve that dips
    is looked at as if it stayed where it was: no doubling pays that only makes a dip good.

    Args:
        points: (size, gained), sizes above 0 and ascending.
        gain: What a doubling has to add, above 0, in the unit of what is gained.

    Returns:
        One of the sizes; None when the curve still climbs so steeply towards its end that
        no doubling within it shows the contrary.
    """
    if not points:
        return None
    climbing = _never_falling(points)
    first, last = climbing[0][0], climbing[-1][0]
    given = {size for size, _ in climbing}
    # What a doubling gains changes its course where it begins or ends at a point; the last
    # one of all ends at the last point.
    starts = {start for size in given for start in (size, size / 2) if first <= start <= last / 2}
    found: float | None = None
    for start in sorted(starts, reverse=True):
        if _at(climbing, 2 * start) - _at(climbing, start) >= gain * (1 - _ROUNDING):
            break
        if start in given:
            found = start
    return found


def _never_falling(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    best = -math.inf
    climbing = []
    for size, gained in points:
        best = max(best, gained)
        climbing.append((size, best))
    return climbing


def _at(points: Sequence[tuple[float, float]], size: float) -> float:
    """Return what *size*, which lies within *points*, gains."""
    for (low, before), (high, after) in pairwise(points):
        if low <= size <= high:
            share = math.log(size / low) / math.log(high / low)
            return before + share * (after - before)
    return points[-1][1]


def points_words(gain: float) -> str:
    """Return *gain* in points of hit ratio, for a person."""
    return f"{100 * gain:g} {'point' if gain == 0.01 else 'points'}"
