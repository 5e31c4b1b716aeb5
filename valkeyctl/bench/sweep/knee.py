"""Where more memory stops paying."""

from __future__ import annotations

from collections.abc import Sequence

DEFAULT_GAIN = 0.01


def knee(points: Sequence[tuple[float, float]], gain: float = DEFAULT_GAIN) -> float | None:
    """Return the smallest size from which on no doubling gains as much as *gain*.

    One rule, chosen because it answers what is asked when memory is bought; rules that
    look for the point furthest from a chord (Kneedle among them) move with the range
    that happens to be drawn.

    Args:
        points: (size, hit ratio), sizes ascending, ratios not falling.
        gain: Share of all accesses that a doubling has to add, in (0, 1).

    Returns:
        One of the sizes; None when the curve still climbs so steeply at its end that no
        doubling within it shows the contrary.
    """
    found: float | None = None
    for size, ratio in reversed(points):
        if 2 * size > points[-1][0]:
            continue
        if _at(points, 2 * size) - ratio >= gain:
            return found
        found = size
    return found


def _at(points: Sequence[tuple[float, float]], size: float) -> float:
    """Return the ratio at *size*, on the straight line between the points around it."""
    before = points[0]
    for point in points:
        if point[0] >= size:
            if point[0] == before[0]:
                return point[1]
            share = (size - before[0]) / (point[0] - before[0])
            return before[1] + share * (point[1] - before[1])
        before = point
    return before[1]


def points_words(gain: float) -> str:
    """Return *gain* in points of hit ratio, for a person."""
    return f"{100 * gain:g} {'point' if gain == 0.01 else 'points'}"
