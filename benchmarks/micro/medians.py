"""The median of a few rounds, and how far it can be trusted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Median:
    """The median of independent rounds.

    Attributes:
        value: The median.
        ci95: Bounds of its 95 % interval; None with fewer than six rounds.
    """

    value: float
    ci95: tuple[float, float] | None


def median_of(values: Sequence[float]) -> Median:
    """Return the median of *values*, at least one, with its interval by order statistics.

    The interval asks nothing of the values but that they are independent: the true median
    lies below the k-th smallest of n only if fewer than k of n fair coins fall on one side.
    A disturbed round moves it by one place, however slow that round was.

    Source: Conover, Practical Nonparametric Statistics, 3rd edition (1999), section 3.2.
    """
    ascending = sorted(values)
    place = _place(len(ascending))
    ci95 = (ascending[place], ascending[-1 - place]) if place is not None else None
    return Median(median(ascending), ci95)


def _place(count: int) -> int | None:
    """Return the 0-based place of the lower bound among *count* ascending values."""
    place = None
    below = 0.0
    for fewer in range(count // 2):
        below += math.comb(count, fewer) / 2**count
        if below > 0.025:
            break
        place = fewer
    return place
