"""``valkeyctl bench compare``: what has changed between runs, and whether it is noise."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Annotated

import typer

from valkeyctl.cli.bench import options as option
from valkeyctl.cli.bench.outcome import (
    FOUND_SOMETHING,
    Papers,
    gate_status,
    say_verdicts,
    write_text,
)
from valkeyctl.cli.boundary import Command, new_app
from valkeyctl.cli.output import show
from valkeyctl.errors import InconclusiveError, UsageError, ValkeyctlError

if TYPE_CHECKING:
    from valkeyctl.bench.compare import RunComparison
    from valkeyctl.bench.gate import Gate, Verdict
    from valkeyctl.cli.console import Console

app = new_app()
_WIDTHS = (14, 11, 13, 18, 9)


@app.command(cls=Command)
def compare(
    ctx: typer.Context,
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="DIR", help="Folders of finished runs: one or more baselines, and the new one."
        ),
    ],
    floor: Annotated[
        list[Path] | None,
        typer.Option(
            "--floor", metavar="DIR", help="A repetition of the baseline, for its noise; repeat."
        ),
    ] = None,
    gate: Annotated[
        list[str] | None,
        typer.Option(
            "--gate", metavar="EXPR", help="Fail unless it holds: 'cached.p99_speedup>=0.9'."
        ),
    ] = None,
    junit: option.JUnit = None,
    markdown: option.Markdown = None,
) -> None:
    """Compare finished runs, such as yesterday's and today's.

    Says of each arm how many times better the last run is than those before it. Runs at
    different times differ by noise too: what a baseline and its repetitions, or an arm
    played twice (bench --aa), differ by is added to the interval, and what lies within
    that is no difference.
    """
    from valkeyctl.bench.compare import compare as weigh
    from valkeyctl.bench.gate import Gate
    from valkeyctl.bench.report import report
    from valkeyctl.bench.samples import load_samples
    from valkeyctl.cli.bench.junit import COMPARE_SUITE, failed_junit

    _check_folders([*runs, *(floor or ())])
    gates = [Gate.parse(text) for text in gate or ()]
    papers = Papers(junit, markdown)
    papers.check(ctx)
    begin = time.monotonic()
    try:
        loaded = [load_samples(folder) for folder in runs]
        found = weigh(loaded[0], *loaded[1:], floor=[load_samples(one) for one in floor or ()])
        verdicts: list[Verdict] = []
        if gates:
            _check(gates, found)
            last = report(loaded[-1])
            verdicts = [one.judge_change(found, last) for one in gates]
    except ValkeyctlError as error:
        if junit is not None:
            passed = time.monotonic() - begin
            write_text(junit, failed_junit(COMPARE_SUITE, gates, error, passed))
        raise
    _conclude(ctx, found, verdicts, papers, seconds=time.monotonic() - begin)


def _check_folders(folders: Sequence[Path]) -> None:
    """Prove that no run is given twice: it would differ from itself by nothing.

    Raises:
        UsageError: One is.
    """
    seen: set[Path] = set()
    for folder in folders:
        if folder.resolve() in seen:
            raise UsageError(f"{folder} is given twice", hint="Give the folders of different runs")
        seen.add(folder.resolve())


def _check(gates: Sequence[Gate], found: RunComparison) -> None:
    """Prove that the runs have what the gates are about.

    Raises:
        UsageError: They have not.
    """
    arms = list(dict.fromkeys(one.arm for one in found.comparisons))
    for gate in gates:
        gate.check_change(arms)


def _conclude(
    ctx: typer.Context,
    found: RunComparison,
    verdicts: Sequence[Verdict],
    papers: Papers,
    *,
    seconds: float,
) -> None:
    from valkeyctl.bench.page.compared import comparison_summary
    from valkeyctl.cli.bench.junit import comparison_junit

    status = _status(found, verdicts)
    if papers.junit is not None:
        write_text(papers.junit, comparison_junit(found, verdicts, seconds))
    if papers.markdown == "-":
        sys.stdout.write(comparison_summary(found, verdicts))
    else:
        if papers.markdown is not None:
            write_text(Path(papers.markdown), comparison_summary(found, verdicts))
        show(
            ctx,
            {**found.to_json(), "gates": verdicts},
            human=partial(_print, found=found),
            status="fail" if status else "ok",
        )
    say_verdicts(ctx, verdicts)
    if status:
        raise typer.Exit(status)


def _status(found: RunComparison, verdicts: Sequence[Verdict]) -> int:
    """Return what a comparison ends with, as a run does: its gates, a refusal, or errors."""
    if status := gate_status(verdicts):
        return status
    if found.refused:
        return InconclusiveError.exit_code
    bounded = any(verdict.metric == "errors" for verdict in verdicts)
    return FOUND_SOMETHING if found.failed and not bounded else 0


def _print(console: Console, found: RunComparison) -> None:
    """Print what may be said, then the figures, then what was not the same."""
    from valkeyctl.bench.compare import rows

    for sentence in found.sentences():
        console.print(fill(sentence, console.width, subsequent_indent="  "))
    console.print()
    for cells in rows(found):
        *first, last = cells
        padded = (
            f"{cell[: width - 1]:<{width}}" for cell, width in zip(first, _WIDTHS, strict=True)
        )
        console.print(f"{''.join(padded)}{last}".rstrip())
    if found.differences:
        console.print("\nnot the same in both runs:")
    for line in found.differences:
        console.print(fill(line, console.width, initial_indent="  ", subsequent_indent="    "))
