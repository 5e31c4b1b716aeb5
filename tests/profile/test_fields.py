"""Sizes and durations that no machine can mean."""

from __future__ import annotations

import pytest

from valkeyctl.units import parse_duration, parse_size


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
