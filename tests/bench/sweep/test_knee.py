"""Where more stops paying."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from valkeyctl.bench.sweep.knee import knee, points_words

Points = list[tuple[float, float]]
DOUBLINGS = [2.0**power for power in range(11)]


def drawn(shape: Callable[[float], float], sizes: list[float] = DOUBLINGS) -> Points:
    """Return *shape* at each of *sizes*."""
    return [(size, shape(size)) for size in sizes]


@st.composite
def curves(draw: st.DrawFn) -> Points:
    """Return curves of any shape, sizes at any distance."""
    count = draw(st.integers(2, 8))
    steps = draw(st.lists(st.floats(0.05, 3.0), min_size=count, max_size=count))
    ratios = draw(st.lists(st.floats(0.0, 1.0), min_size=count, max_size=count))
    size, found = 1.0, []
    for step, ratio in zip(steps, ratios, strict=True):
        size *= 2**step
        found.append((size, ratio))
    return found


def between(points: Points, size: float) -> float:
    """Return the highest that the curve has reached by *size*, straight over its logarithm."""
    best = points[0][1]
    for (low, _), (high, after) in pairwise(points):
        higher = max(best, after)
        if size <= high:
            return best + (higher - best) * math.log(size / low) / math.log(high / low)
        best = higher
    return best


@settings(deadline=None, max_examples=50)
@given(curves(), st.sampled_from([0.001, 0.01, 0.1]))
def test_no_doubling_from_the_knee_on_gains_as_much(points: Points, gain: float) -> None:
    """Looked at from two hundred places, whatever the shape."""
    found = knee(points, gain)

    if found is not None:
        end = points[-1][0]
        assert 2 * found <= end * (1 + 1e-9)
        for place in range(201):
            size = found * (end / found) ** (place / 200)
            doubled = min(2 * size, end)
            assert between(points, doubled) - between(points, size) < gain + 1e-9


@settings(deadline=None, max_examples=50)
@given(curves(), st.sampled_from([0.001, 0.01, 0.1]))
def test_from_every_smaller_size_some_doubling_does(points: Points, gain: float) -> None:
    """So the knee is the smallest; and where there is none, all of the end is steep."""
    found = knee(points, gain)
    halfway = points[-1][0] / 2

    for size, _ in points:
        if size > halfway or (found is not None and size >= found):
            break
        # A straight piece gains most at one of its ends: where a doubling begins, or ends.
        ends = [start for one, _ in points for start in (one, one / 2) if start >= size]
        gains = [
            between(points, min(2 * start, points[-1][0])) - between(points, start)
            for start in ends
        ]
        assert max(gains) >= gain - 1e-9


@settings(deadline=None, max_examples=50)
@given(curves(), st.floats(0.5, 1000.0), st.floats(0.1, 10.0))
def test_units_change_nothing(points: Points, size: float, ratio: float) -> None:
    """MiB or bytes, shares or points."""
    found = knee(points, 0.01)
    scaled = [(one * size, gained * ratio) for one, gained in points]

    again = knee(scaled, 0.01 * ratio)

    place = [one for one, _ in points].index(found) if found is not None else None
    place_again = [one for one, _ in scaled].index(again) if again is not None else None
    assert place == place_again


def test_a_concave_curve_bends_where_its_gain_falls_below() -> None:
    """1 - e^(-x/16) gains 9.8, 2.0 and 0.03 points from 32, 64 and 128 on."""
    points = drawn(lambda size: 1 - math.exp(-size / 16))

    assert knee(points, 0.15) == 32.0
    assert knee(points, 0.05) == 64.0
    assert knee(points, 0.01) == 128.0


def test_a_curve_straight_over_doublings_has_no_knee() -> None:
    """Each of them pays the same, to the last."""
    assert knee(drawn(lambda size: math.log2(size) / 10), 0.01) is None
    assert knee(drawn(lambda size: math.log2(size) / 10), 0.11) == 1.0


def test_a_convex_curve_has_no_knee() -> None:
    """It pays more and more."""
    assert knee(drawn(lambda size: (size / 1024) ** 2), 0.01) is None


def test_a_flat_curve_bends_at_its_beginning() -> None:
    """Nothing pays, so the smallest is enough."""
    assert knee(drawn(lambda _size: 0.3), 0.01) == 1.0


def test_a_step_is_the_knee() -> None:
    """A loop that does not fit: nothing is gained until all of it does."""
    assert knee(drawn(lambda size: 0.9 if size >= 64 else 0.1), 0.01) == 64.0


def test_a_step_at_the_end_leaves_no_knee() -> None:
    """Also when it is less than a doubling away: the flat part before it is none."""
    assert knee([(1.0, 0.5), (4.0, 0.5), (7.0, 0.9)], 0.01) is None


def test_two_sizes_far_apart_are_many_doublings() -> None:
    """45 points over 6.6 doublings are 7 for each, not half a point."""
    assert knee([(1.0, 0.50), (100.0, 0.95)], 0.01) is None
    assert knee([(1.0, 0.50), (100.0, 0.95)], 0.07) == 1.0


def test_a_dip_is_no_gain() -> None:
    """Measured ratios fall by chance; to be as good as before is not to pay."""
    assert knee([(1.0, 0.5), (2.0, 0.9), (4.0, 0.87), (8.0, 0.9), (16.0, 0.9)], 0.01) == 2.0


@pytest.mark.parametrize("points", [[], [(4.0, 0.5)]])
def test_a_point_alone_has_no_knee(points: Points) -> None:
    """There is nothing to compare it with."""
    assert knee(points, 0.01) is None


def test_one_point_is_one() -> None:
    """In words."""
    assert (points_words(0.01), points_words(0.005)) == ("1 point", "0.5 points")
