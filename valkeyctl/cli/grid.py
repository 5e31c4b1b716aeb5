"""A plain table: upper-case heads, aligned columns, two blanks between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from valkeyctl.cli.console import Console


def print_grid(console: Console, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print *rows* below *heads*; the last column is not padded."""
    lines = [[head.upper() for head in heads], *rows]
    widths = [max(len(line[at]) for line in lines) for at in range(len(heads))]
    for line in lines:
        cells = (f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True))
        console.print("  ".join(cells).rstrip(), markup=False, soft_wrap=True)
