"""Which key each request asks for, in memory that does not grow with the number of keys."""

from __future__ import annotations

import random
from collections.abc import Callable
from math import exp, expm1, log, log1p

from valkeyctl.bench.traffic.scenario import Keys


class KeyPicker:
    """Draws keys by the popularity that a scenario gives them.

    Key 0 is the most popular one. The keys of a trace are not drawn; see `stream`.
    """

    def __init__(self, keys: Keys) -> None:
        self._count = keys.count
        self._once = keys.once
        self._popular = _drawer(keys)

    def draw(self, rng: random.Random, index: int) -> int:
        """Return the key of request *index*: below the count, or one that is asked once."""
        if self._once and rng.random() < self._once:
            return self._count + index
        return self._popular(rng.random)


def _drawer(keys: Keys) -> Callable[[Callable[[], float]], int]:
    """Return a function from a source of chance in [0, 1) to a key below the count."""
    count = keys.count
    if keys.popularity == "hot-set":
        hot = min(count, max(1, round(keys.hot_keys * count)))
        if hot < count:
            return _hot_set(hot, count - hot, keys.hot_requests)
    elif keys.popularity == "zipf" and count > 1:
        return _zipf(count, keys.exponent)
    return lambda chance: int(chance() * count)


def _hot_set(hot: int, cold: int, share: float) -> Callable[[Callable[[], float]], int]:
    def draw(chance: Callable[[], float]) -> int:
        if chance() < share:
            return int(chance() * hot)
        return hot + int(chance() * cold)

    return draw


def _zipf(count: int, exponent: float) -> Callable[[Callable[[], float]], int]:
    """Return a function that draws rank - 1 in proportion to 1 / rank**exponent, exactly.

    Source: Hoermann & Derflinger, Rejection-inversion to generate variates from monotone
    discrete distributions (ACM TOMACS 6, 1996); no table, whatever the count.
    """
    slope = 1 - exponent

    # The integral of the density x**-exponent, from 1 to x; written so that an exponent
    # of 1, and those beside it, lose no digits.
    def area(x: float) -> float:
        size = log(x)
        scaled = slope * size
        return size if abs(scaled) < 1e-12 else expm1(scaled) / slope

    def place(covered: float) -> float:
        scaled = covered * slope
        if abs(scaled) < 1e-12:
            return exp(covered)
        # Rounding may carry it past the end, where the logarithm has no value.
        return exp(log1p(max(-1 + 1e-15, scaled)) / slope)

    first = area(1.5) - 1
    width = first - area(count + 0.5)
    last = first - width
    sure = 2 - place(area(2.5) - 2**-exponent)

    def draw(chance: Callable[[], float]) -> int:
        while True:
            covered = last + chance() * width
            x = place(covered)
            rank = int(x + 0.5)
            rank = 1 if rank < 1 else min(rank, count)
            if rank - x <= sure or covered >= area(rank + 0.5) - rank**-exponent:
                return rank - 1

    return draw
