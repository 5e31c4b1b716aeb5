"""Sizes and durations that no machine can mean."""

from __future__ import annotations

import pytest

from valkeyctl.units import format_size, parse_duration, parse_size


@pytest.mark.parametrize("unit", ["", "Gi"])
def test_a_size_without_end_is_no_size(unit: str) -> None:
    """Hundreds of digits are a mistake to be told, not an overflow."""
    with pytest.raises(ValueError, match="is not a size"):
        parse_size("9" * 400 + unit)


@pytest.mark.parametrize("unit", ["", "d"])
def test_a_duration_without_end_is_no_duration(unit: str) -> None:
    """Infinity would become a setting that no server takes."""
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration("9" * 400 + unit)


@pytest.mark.parametrize("size", [0, 700, 2048, 1.5 * 2**20, 3 * 2**30, 2.5 * 2**40])
def test_a_size_that_we_print_can_be_given_back(size: float) -> None:
    """What a table shows is what --min-size takes, with its space or without."""
    shown = format_size(size)

    assert parse_size(shown) == parse_size(shown.replace(" ", "")) == size
