"""Tables that fit a terminal of 80 columns, and the same for a page of the docs."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH = 80


@dataclass(frozen=True)
class Table:
    """A heading, rows of text, and what must be said below them.

    Attributes:
        title: Heading.
        columns: Names of the columns; the first is left aligned, the others right.
        rows: As many cells as there are columns.
        notes: Sentences below.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()

    def text(self) -> str:
        """Return it for a terminal."""
        lines = [self.title, "-" * len(self.title)]
        widths = [
            max(len(row[place]) for row in (self.columns, *self.rows))
            for place in range(len(self.columns))
        ]
        for row in (self.columns, *self.rows):
            first, *others = (cell for cell in row)
            cells = [first.ljust(widths[0])]
            cells += [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
            lines.append("  ".join(cells).rstrip())
        for note in self.notes:
            lines += textwrap.wrap(note, WIDTH)
        return "\n".join(lines)

    def markdown(self) -> str:
        """Return it for a page."""
        rule = ["---", *("---:" for _ in self.columns[1:])]
        lines = [f"### {self.title}", ""]
        lines += [f"| {' | '.join(row)} |" for row in (self.columns, rule, *self.rows)]
        for note in self.notes:
            lines += ["", note]
        return "\n".join(lines)


def short(number: float) -> str:
    """Return *number* with at least three digits that count, and no more than needed."""
    decimals = 0 if number >= 100 else 1 if number >= 10 else 2
    return f"{number:,.{decimals}f}"
