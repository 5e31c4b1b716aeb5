"""``valkeyctl bench report``: the report of a finished run, made again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from valkeyctl.cli.bench import options as option
from valkeyctl.cli.bench.outcome import Papers, conclude, reporting
from valkeyctl.cli.boundary import Command, new_app
from valkeyctl.cli.output import detail

app = new_app()


@app.command(cls=Command)
def report(
    ctx: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a finished run.")],
    gate: option.GateOption = None,
    junit: option.JUnit = None,
    markdown: option.Markdown = None,
    csv: option.Csv = None,
) -> None:
    """Render the report of a finished run again.

    From its samples: HTML, JSON and Markdown, and the gates that are given now. What an
    interrupted run has measured is shown, and marked incomplete.
    """
    from valkeyctl.bench.gate import Gate
    from valkeyctl.bench.report import report as render
    from valkeyctl.bench.samples import load_samples

    gates = [Gate.parse(text) for text in gate or ()]
    papers = Papers(junit, markdown, csv)
    papers.check(ctx)
    detail(ctx, f"reading {folder}")
    samples = load_samples(folder)
    for one in gates:
        one.check(samples.plan)
    with reporting(folder):
        found = render(samples)
        found.write()
    conclude(ctx, found, gates, papers)
