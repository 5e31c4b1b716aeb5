"""A comparison of runs as a short text for a pull request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from valkeyctl.bench.compare import RunComparison, rows

if TYPE_CHECKING:
    from valkeyctl.bench.gate import Verdict

_MARKS = {"passed": "passed", "failed": "**failed**", "inconclusive": "inconclusive"}


def comparison_summary(found: RunComparison, verdicts: Sequence[Verdict]) -> str:
    """Return Markdown: gates, what may be said, the table, and what was not the same."""
    lines = ["### Benchmark: the last run against its baseline", ""]
    lines += [f"- gate `{one.expression}`: {_MARKS[one.outcome]}" for one in verdicts]
    lines += [""] * bool(verdicts)
    lines += [f"- {sentence}" for sentence in found.sentences()]
    head, *table = rows(found)
    lines += ["", *_table([head, *table])]
    if found.differences:
        lines += ["", "What the runs did not have in common:", ""]
        lines += [f"- {_cell(one)}" for one in found.differences]
    lines += ["", f"`{found.last}` against {', '.join(f'`{one}`' for one in found.baselines)}"]
    return "\n".join(lines) + "\n"


def _table(found: Sequence[Sequence[str]]) -> list[str]:
    head, *body = found
    rule = ["---", "---", *["---:"] * 3, "---"]
    return [f"| {' | '.join(_cell(cell) for cell in row)} |" for row in (head, rule, *body)]


def _cell(text: str) -> str:
    """Return *text* so that it stays in its cell; it may be of the user's making."""
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
