"""Numbers as a person reads them, the same in every form of the report."""

from __future__ import annotations

from valkeyctl.bench.figures.conclusion import figure
from valkeyctl.bench.statistics.intervals import Estimate


def count(number: int | None) -> str:
    """Return *number* with thousands apart; a dash when it is not known."""
    return "-" if number is None else f"{number:,}"


def interval_words(ci95: tuple[float, float] | None) -> str:
    """Return the bounds for a person; a dash when there are none."""
    return "-" if ci95 is None else f"{figure(ci95[0])} to {figure(ci95[1])}"


def ratio_words(share: float | None) -> str:
    """Return a share from 0 to 1 in per cent; a dash when it is not known."""
    return "-" if share is None else f"{share * 100:.2f} %"


def share_words(share: Estimate | None) -> str:
    """Return a share with its interval; a dash when it is not known."""
    if share is None:
        return "-"
    text = f"{share.value * 100:.1f} %"
    if share.ci95 is None:
        return text
    return f"{text} ({share.ci95[0] * 100:.1f} to {share.ci95[1] * 100:.1f} %)"


def time_words(milliseconds: float | None) -> str:
    """Return milliseconds for a table; a dash when there are none."""
    return "-" if milliseconds is None else figure(milliseconds)
