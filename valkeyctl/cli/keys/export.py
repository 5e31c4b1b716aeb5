"""``valkeyctl keys export``: keys as lines that ``keys import`` makes the same keys of."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from valkeyctl.cli import target
from valkeyctl.cli.boundary import Command, new_app
from valkeyctl.cli.keys.impact import ImpactOption
from valkeyctl.cli.keys.selected import say_assumed
from valkeyctl.cli.options import Output, options
from valkeyctl.cli.output import say, show
from valkeyctl.cli.progress import progress
from valkeyctl.errors import UsageError
from valkeyctl.ops.keyspace.pace import Impact
from valkeyctl.units import format_size, several

if TYPE_CHECKING:
    from valkeyctl.cli.console import Console
    from valkeyctl.ops.keyspace.transfer.export import ExportReport

app = new_app()


@app.command(cls=Command)
def export(
    ctx: typer.Context,
    namespace: Annotated[
        str | None, typer.Argument(metavar="NAMESPACE", help="Only this namespace.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="A file, compressed when it ends in .zst."),
    ] = None,
    zstd: Annotated[
        bool | None, typer.Option("--zstd/--no-zstd", help="Compress, whatever the file's name.")
    ] = None,
    all_apps: Annotated[
        bool, typer.Option("--all-apps", help="Every key there is, of every application.")
    ] = False,
    impact: ImpactOption = Impact.MAX,
    allow_blocking: Annotated[
        bool,
        typer.Option("--allow-blocking", help="Also values that hold the server up while read."),
    ] = False,
) -> None:
    """Write keys with values, TTLs and tags, to be imported elsewhere.

    Lines of JSON, on standard output without --out. Status 1 when keys had to be left out.
    """
    from valkeyctl.ops.keyspace.transfer.export import export as write_export
    from valkeyctl.ops.keyspace.transfer.exportsink import ExportSink

    said = options(ctx)
    if all_apps and (namespace or said.app):
        raise UsageError(
            "--all-apps is every key, and a namespace or an application is a part of them",
            hint="Give one or the other",
        )
    if out is None and said.output not in (Output.TABLE, Output.JSONL):
        raise UsageError(
            f"the export goes to standard output, and so would -o {said.output.value}",
            hint="Write the export to a file: --out FILE",
        )
    if out is None and zstd and sys.stdout.isatty():
        raise UsageError(
            "a compressed export is not for a terminal", hint="Redirect it, or give --out FILE"
        )
    endpoint = target.endpoint(ctx)
    name = None if all_apps else target.app_name(ctx)
    if name is not None:
        say_assumed(ctx, name)
    with (
        ExportSink(sys.stdout.buffer if out is None else out, zstd=zstd) as sink,
        progress(ctx, "exporting") as report,
    ):
        found = write_export(
            endpoint,
            sink,
            app=name,
            namespace=namespace,
            impact=impact,
            allow_blocking=allow_blocking,
            progress=lambda at: report(at.visited, f"{at.keys:,} keys", done=at.keys),
        )
    for skip in found.skips:
        say(ctx, f"left out {skip.key}: {skip.reason}")
    if (more := found.skipped - len(found.skips)) > 0:
        say(ctx, f"and {more:,} more")
    lines = _told(found)
    if out is None:
        for line in lines:
            say(ctx, line)
    else:

        def human(console: Console) -> None:
            for line in lines:
                console.print(line)

        show(ctx, found, human=human, names=[str(out)], status="warn" if found.skipped else "ok")
    # Who keeps an export for a bad day must not take a part for the whole.
    raise typer.Exit(1 if found.skipped else 0)


def _told(found: ExportReport) -> list[str]:
    """Return what there is to say, for a person."""
    what = several(found.entries, "entry", "entries")
    if found.keys:
        what += f" and {several(found.keys, 'other key')}"
    where = f" to {found.file}" if found.file else ""
    keys = found.entries + found.keys
    rate = f", {keys / found.seconds:,.0f}/s" if found.seconds > 0 else ""
    lines = [f"exported {what}{where} ({format_size(found.bytes)}{rate})"]
    for count, why in (
        (found.stale, "invalidated, readers miss them"),
        (found.undecodable, "undecodable, readers delete them"),
    ):
        if count:
            lines.append(f"left out {several(count, 'entry', 'entries')}: {why}")
    if found.skipped:
        lines.append(f"left out {several(found.skipped, 'key')} that cannot be exported")
    return lines
