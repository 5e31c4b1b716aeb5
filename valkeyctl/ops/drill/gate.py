"""``--gate``: a bound that the report of a drill must keep."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass

from valkeyctl.errors import UsageError
from valkeyctl.ops.drill.report import DrillReport

_FIGURES: dict[str, Callable[[DrillReport], float | None]] = {
    "write_gap_s": lambda report: report.write_gap_s,
    "read_gap_s": lambda report: report.read_gap_s,
    "client_write_gap_s": lambda report: report.client_write_gap_s,
    "client_read_gap_s": lambda report: report.client_read_gap_s,
    "time_to_healthy_s": lambda report: report.time_to_healthy_s,
    "lost": lambda report: report.losses.lost,
    "lost_confirmed": lambda report: report.losses.lost_confirmed,
    "stale_reads": lambda report: report.stale_reads,
}
_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    "<": operator.lt,
    ">=": operator.ge,
    ">": operator.gt,
}
_FORM = re.compile(r"\s*([a-z_]+)\s*(<=|>=|<|>)\s*([0-9]+(?:\.[0-9]+)?)\s*")


@dataclass(frozen=True)
class Gate:
    """A bound such as ``write_gap_s<=8`` or ``lost_confirmed<=0``.

    Attributes:
        figure: Of the report.
        op: ``<=``, ``<``, ``>=`` or ``>``.
        bound: What it is held against.
    """

    figure: str
    op: str
    bound: float

    @classmethod
    def parse(cls, text: str) -> Gate:
        """Return the gate that *text* describes.

        Raises:
            UsageError: It is not of the form; lists what is allowed.
        """
        match = _FORM.fullmatch(text)
        if match is None or match[1] not in _FIGURES:
            raise UsageError(
                f"the gate {text!r} cannot be read",
                hint="Write FIGURE, one of <= < >= >, and a number, such as write_gap_s<=8; "
                f"figures are {', '.join(_FIGURES)}",
            )
        return cls(match[1], match[2], float(match[3]))

    def check(self, *, confirms: bool) -> None:
        """Make sure that a drill can decide this gate at all.

        Args:
            confirms: Whether replicas confirm writes in it.

        Raises:
            UsageError: It cannot; better now than after the drill.
        """
        if self.figure == "lost_confirmed" and not confirms:
            raise UsageError(
                "the gate lost_confirmed is about writes that replicas confirm",
                hint="Add --confirm-replicas 1",
            )

    def broken(self, report: DrillReport) -> str:
        """Return how *report* breaks this gate; empty when it keeps it."""
        figure = _FIGURES[self.figure](report)
        gate = f"the gate {self.figure}{self.op}{self.bound:g} is broken"
        if figure is None:
            return f"{gate}: the drill has no such figure"
        return "" if _OPERATORS[self.op](figure, self.bound) else f"{gate}: it is {figure:.3g}"
