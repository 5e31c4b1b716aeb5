"""What was measured, round by round, and whether it is what was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.micro.medians import Median, median_of
from benchmarks.micro.tables import Table, short

ABSENT = "ABSENT"


@dataclass(frozen=True)
class Bound:
    """What a figure must keep.

    Attributes:
        limit: In the figure's unit.
        least: Whether the figure must reach it, instead of staying within it.
        always: Whether every round has to keep it, instead of the median.
    """

    limit: float
    least: bool = False
    always: bool = False

    def holds(self, value: float) -> bool:
        """Say whether *value* is on the right side."""
        return value >= self.limit if self.least else value <= self.limit

    def worst(self, values: Sequence[float]) -> float:
        """Return the value of *values*, at least one, that is furthest on the wrong side."""
        return min(values) if self.least else max(values)


@dataclass
class Figure:
    """One line of a table: a value a round.

    Attributes:
        name: What it is.
        unit: Of the values; ``x`` is a ratio.
        bound: What is asked of it; None where nothing is.
        values: A value a round; none as long as it could not be measured.
    """

    name: str
    unit: str
    bound: Bound | None = None
    values: list[float] = field(default_factory=list)

    def add(self, value: float) -> None:
        """Add the value of a round."""
        self.values.append(value)

    def verdict(self) -> str:
        """Return PASS, MISS, or ABSENT, with a question mark where it might be the other.

        That is so where the interval of the median reaches over the bound, or where there
        are too few rounds for one; of a bound that every round has to keep, where the
        median keeps it and a single round does not.
        """
        if not self.values:
            return ABSENT
        if self.bound is None:
            return ""
        middle = median_of(self.values)
        if self.bound.always:
            worst = self.bound.worst(self.values)
            if self.bound.holds(worst):
                return "PASS"
            return "MISS?" if self.bound.holds(middle.value) else "MISS"
        word = "PASS" if self.bound.holds(middle.value) else "MISS"
        return word if _sure(self.bound, middle) else f"{word}?"

    def cells(self) -> tuple[str, ...]:
        """Return name, median, spread, target and verdict as text."""
        if not self.values:
            return (self.name, "", "", self._target(), ABSENT)
        middle = median_of(self.values)
        spread = ""
        if len(self.values) > 1:
            spread = f"{short(min(self.values))} - {short(max(self.values))}"
        shown = f"{short(middle.value)} {self.unit}".rstrip()
        return (self.name, shown, spread, self._target(), self.verdict())

    def _target(self) -> str:
        if self.bound is None:
            return ""
        return f"{'>=' if self.bound.least else '<='} {self.bound.limit:g} {self.unit}".rstrip()


@dataclass
class Section:
    """The figures of one row of the benchmark.

    Attributes:
        title: Heading.
        figures: In the order shown.
        notes: What must be said below them.
    """

    title: str
    figures: list[Figure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def figure(self, name: str, unit: str, bound: Bound | None = None) -> Figure:
        """Return a new figure of this section."""
        made = Figure(name, unit, bound)
        self.figures.append(made)
        return made

    def absent(self, reason: str) -> None:
        """Say why figures have no values."""
        if reason not in self.notes:
            self.notes.append(reason)

    def table(self) -> Table:
        """Return it as a table."""
        rows = [figure.cells() for figure in self.figures]
        return Table(self.title, ("", "median", "rounds", "target", ""), rows, self.notes)


def _sure(bound: Bound, middle: Median) -> bool:
    return middle.ci95 is not None and bound.holds(middle.ci95[0]) == bound.holds(middle.ci95[1])
