"""Where more stops paying."""

from __future__ import annotations

from valkeyctl.bench.sweep.knee import knee, points_words


def test_the_knee_is_where_no_doubling_gains_as_much_any_more() -> None:
    """The smallest such size."""
    points = [(1.0, 0.1), (2.0, 0.3), (4.0, 0.5), (8.0, 0.505), (16.0, 0.507)]

    assert knee(points, 0.01) == 4.0


def test_a_plateau_before_a_climb_is_no_knee() -> None:
    """A loop that does not fit: nothing is gained until all of it does."""
    points = [(1.0, 0.1), (2.0, 0.1), (4.0, 0.1), (8.0, 0.9), (16.0, 0.9), (32.0, 0.9)]

    assert knee(points, 0.01) == 8.0


def test_a_curve_that_still_climbs_has_no_knee() -> None:
    """What lies beyond its end, it does not show."""
    assert knee([(1.0, 0.1), (2.0, 0.2), (4.0, 0.4)], 0.01) is None


def test_between_two_sizes_the_curve_is_taken_as_straight() -> None:
    """Twice 3 is 6, halfway between 4 and 8."""
    points = [(1.0, 0.0), (3.0, 0.50), (4.0, 0.50), (8.0, 0.52), (16.0, 0.52)]

    assert knee(points, 0.011) == 4.0 or knee(points, 0.011) == 8.0
    assert knee(points, 0.021) == 3.0


def test_one_point_is_one() -> None:
    """In words."""
    assert (points_words(0.01), points_words(0.005)) == ("1 point", "0.5 points")
