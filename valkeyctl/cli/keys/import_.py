"""``valkeyctl keys import``: what ``keys export`` wrote, on any server."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from valkeyctl.cli import target
from valkeyctl.cli.boundary import Command, new_app
from valkeyctl.cli.options import options
from valkeyctl.cli.output import say, show
from valkeyctl.cli.progress import progress
from valkeyctl.units import several

if TYPE_CHECKING:
    from valkeyctl.cli.console import Console
    from valkeyctl.ops.keyspace.transfer.restore import RestoreReport

app = new_app()


@app.command("import", cls=Command)
def import_(
    ctx: typer.Context,
    source: Annotated[
        Path, typer.Argument(metavar="FILE", help="What keys export wrote; - is stdin.")
    ],
    replace: Annotated[
        bool, typer.Option("--replace", help="Store over keys that are there, too.")
    ] = False,
    keep_deadlines: Annotated[
        bool,
        typer.Option("--keep-deadlines", help="Let keys expire when they would have anyway."),
    ] = False,
    rejects: Annotated[
        Path | None, typer.Option("--rejects", metavar="FILE", help="Write refused lines here.")
    ] = None,
    from_line: Annotated[int, typer.Option("--from-line", min=1, help="Go on at this line.")] = 1,
) -> None:
    """Store exported keys as they were, with the TTLs that they had left.

    Keys that are there are left. With --app the application is renamed. Wrong lines are
    reported with their number, as is a file that was cut off (status 1).
    """
    from valkeyctl.ops.keyspace.transfer.restore import RestoreOptions, restore

    with progress(ctx, "importing") as report:
        found = restore(
            target.endpoint(ctx),
            sys.stdin.buffer if str(source) == "-" else source,
            options=RestoreOptions(
                app=options(ctx).app,
                replace=replace,
                keep_deadlines=keep_deadlines,
                from_line=from_line,
                rejects_file=rejects,
            ),
            progress=lambda at: report(
                at.read / at.size if at.size else 0.0, f"{at.restored:,} keys", done=at.restored
            ),
        )
    for reject in found.rejects:
        say(ctx, f"line {reject.line}: {reject.reason}")
    if (more := found.rejected - len(found.rejects)) > 0:
        say(ctx, f"and {more:,} more{f', all in {rejects}' if rejects else '; see --rejects'}")
    if not found.whole:
        say(ctx, f"{_name(source)} is not whole: it was cut off, or lines of it were removed")
    wrong = bool(found.rejected) or not found.whole

    def human(console: Console) -> None:
        for line in _told(found):
            console.print(line)

    show(ctx, found, human=human, status="warn" if wrong else "ok")
    raise typer.Exit(1 if wrong else 0)


def _told(found: RestoreReport) -> list[str]:
    """Return what there is to say, for a person."""
    what = several(found.entries, "entry", "entries")
    if found.keys:
        what += f" and {several(found.keys, 'other key')}"
    stored = found.entries + found.keys
    rate = f" ({stored / found.seconds:,.0f}/s)" if found.seconds > 0 else ""
    lines = [f"imported {what}{rate}"]
    if found.existing:
        lines.append(f"left {several(found.existing, 'key')} that were there; see --replace")
    if found.expired:
        lines.append(f"left out {several(found.expired, 'key')} whose deadline is past")
    if found.rejected:
        lines.append(f"rejected {several(found.rejected, 'line')}")
    return lines


def _name(source: Path) -> str:
    return "the input" if str(source) == "-" else str(source)
