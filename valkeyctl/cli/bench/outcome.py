"""How a load run ends: the report printed and written, the gates judged, the status."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from valkeyctl.cli.options import Output, options
from valkeyctl.cli.output import say, show
from valkeyctl.errors import (
    FolderError,
    GateFailedError,
    InconclusiveError,
    InterruptedRunError,
    UsageError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from valkeyctl.bench.gate import Gate, Verdict
    from valkeyctl.bench.report import Report

FOUND_SOMETHING = 1


@dataclass(frozen=True)
class Papers:
    """Where else than to the run's folder the result goes.

    Attributes:
        junit: File for JUnit XML; None writes none.
        markdown: File for Markdown, ``-`` for standard output; None writes none.
        csv: File for every sample; None writes none.
    """

    junit: Path | None = None
    markdown: str | None = None
    csv: Path | None = None

    def check(self, ctx: typer.Context, *, out: Path | None = None) -> None:
        """Prove, before the run, that they can be written.

        Args:
            ctx: The command's context.
            out: Folder that the run will make; None where it makes none.

        Raises:
            UsageError: Two results would go to standard output.
            FolderError: The folder of a file is not there.
        """
        if self.markdown == "-" and options(ctx).output is not Output.TABLE:
            raise UsageError(
                "Markdown and an envelope cannot both go to standard output",
                hint="Give --markdown a file, or leave out -o",
            )
        named = [Path(self.markdown)] if self.markdown not in {None, "-"} else []
        named += [file for file in (self.junit, self.csv) if file is not None]
        for file in named:
            folder = file.absolute().parent
            there = folder.is_dir() or (out is not None and folder == out.absolute())
            if file.is_dir() or not there:
                raise FolderError(
                    f"{file} cannot be written: "
                    + ("it is a folder" if file.is_dir() else "its folder is not there"),
                    hint="Choose another file, or make its folder",
                )


def write_text(file: Path, text: str) -> None:
    """Write *text*.

    Raises:
        FolderError: It cannot be written.
    """
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise FolderError(
            f"{file} cannot be written: {error.strerror or error}", hint="Choose another file"
        ) from error


def conclude(
    ctx: typer.Context,
    found: Report,
    gates: Sequence[Gate],
    papers: Papers,
    *,
    interrupted: bool = False,
) -> None:
    """Print a report, then end with its status: of an interruption, the gates, or the errors."""
    from valkeyctl.cli.bench.junit import run_junit
    from valkeyctl.cli.verdicts import print_report

    verdicts = [gate.judge(found) for gate in gates]
    status = run_status(found, verdicts, interrupted=interrupted)
    if papers.junit is not None:
        write_text(papers.junit, run_junit(found, verdicts))
    if papers.csv is not None:
        from valkeyctl.bench.export import write_csv
        from valkeyctl.bench.samples import load_samples

        write_csv(load_samples(found.folder), papers.csv)
    if papers.markdown is not None:
        from valkeyctl.bench.page.markdown import summary

        text = summary(found)
        if papers.markdown == "-":
            sys.stdout.write(text)
        else:
            write_text(Path(papers.markdown), text)
    if papers.markdown != "-":
        # The result is printed whatever the gates say: one envelope, and the status beside it.
        show(
            ctx,
            {**found.to_json(), "gates": verdicts},
            human=partial(print_report, found=found),
            status="ok" if not status and not found.incomplete else "fail",
        )
    say_verdicts(ctx, verdicts)
    if found.incomplete:
        say(ctx, f"incomplete: {found.incomplete}")
    if status:
        raise typer.Exit(status)


def say_verdicts(ctx: typer.Context, verdicts: Sequence[Verdict]) -> None:
    """Tell a person how each gate was decided."""
    for verdict in verdicts:
        say(ctx, f"gate {verdict.text}")


def gate_status(verdicts: Sequence[Verdict]) -> int:
    """Return the status that the worst of several gates ends with; 0 when all passed."""
    outcomes = {verdict.outcome for verdict in verdicts}
    if "failed" in outcomes:
        return GateFailedError.exit_code
    return InconclusiveError.exit_code if "inconclusive" in outcomes else 0


def run_status(
    found: Report, verdicts: Sequence[Verdict] = (), *, interrupted: bool = False
) -> int:
    """Return what a run ends with: of an interruption, its gates, a refusal, or its errors."""
    from valkeyctl.bench.gatemetrics import wrong_answers
    from valkeyctl.bench.measuredrun import unfinished_errors

    if interrupted:
        return InterruptedRunError.exit_code
    if status := gate_status(verdicts):
        return status
    if found.refused:
        return InconclusiveError.exit_code
    # Whoever bounds the errors has said how many are right.
    bounded = any(verdict.metric == "errors" for verdict in verdicts)
    wrong = any(wrong_answers(arm) for arm in found.arms) or unfinished_errors(found.source)
    return FOUND_SOMETHING if wrong and not bounded else 0


@contextmanager
def reporting(folder: Path) -> Iterator[None]:
    """Turn Ctrl-C while the report is made into what the user can do about it.

    Raises:
        InterruptedRunError: It came.
    """
    try:
        yield
    except KeyboardInterrupt as error:
        raise InterruptedRunError(
            "stopped while the report was made; everything was measured",
            hint=f"Make the report: valkeyctl bench report {folder}",
        ) from error
