"""Bounds that a drill must keep, for CI."""

from __future__ import annotations

import pytest

from tests.ops.drill.reports import report
from valkeyctl.errors import UsageError
from valkeyctl.ops.drill.gate import Gate


@pytest.mark.parametrize("text", ["write_gap_s<=8", " lost < 1 ", "stale_reads>=0"])
def test_a_gate_that_is_kept_says_nothing(text: str) -> None:
    """The report has a gap of 6.25 s, and nothing lost."""
    assert Gate.parse(text).broken(report()) == ""


def test_a_broken_gate_names_the_figure() -> None:
    """And what it is held against."""
    broken = Gate.parse("write_gap_s<=2").broken(report())

    assert broken == "the gate write_gap_s<=2 is broken: it is 6.25"


def test_a_figure_that_is_missing_breaks_the_gate() -> None:
    """A deployment that never became healthy has no time to healthy."""
    broken = Gate.parse("time_to_healthy_s<=60").broken(report(time_to_healthy_s=None))

    assert "has no such figure" in broken


@pytest.mark.parametrize("text", ["write_gap_s", "gap<=1", "write_gap_s=8", "write_gap_s<=x", ""])
def test_a_gate_that_cannot_be_read_lists_what_can_be_written(text: str) -> None:
    """A typing error must not pass for a bound that is kept."""
    with pytest.raises(UsageError) as caught:
        Gate.parse(text)

    assert "write_gap_s, read_gap_s" in (caught.value.hint or "")


def test_a_gate_on_confirmed_writes_needs_replicas_that_confirm() -> None:
    """Else it could never be broken."""
    gate = Gate.parse("lost_confirmed<=0")

    gate.check(confirms=True)
    with pytest.raises(UsageError, match="replicas confirm"):
        gate.check(confirms=False)
