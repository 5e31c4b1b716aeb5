"""``valkeyctl logs``: what the server wrote."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from valkeyctl.cli import target
from valkeyctl.cli.boundary import Command, new_app
from valkeyctl.cli.hints import with_selection
from valkeyctl.cli.options import Output, options
from valkeyctl.cli.output import say, show, stream

app = new_app()


@app.command(cls=Command)
def logs(
    ctx: typer.Context,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, help="How many, at most.")] = 100,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as they come.")] = False,
    node: Annotated[
        str, typer.Option("--node", metavar="NAME", help="One unit of a topology, as node-2.")
    ] = "",
) -> None:
    """Show what the server wrote."""
    from valkeyctl.ops.logs import read_logs
    from valkeyctl.ops.trouble import troubles

    name = target.deployment(ctx).name
    found = read_logs(name, target.state(ctx), lines=lines, follow=follow, node=node)
    if follow and options(ctx).output not in {Output.TABLE, Output.NAME}:
        stream(ctx, ({"line": line} for line in found))
        return
    if options(ctx).output in {Output.TABLE, Output.NAME}:
        for line in found:
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()
        for trouble in troubles(name, target.state(ctx)):
            say(ctx, str(trouble))
            if trouble.hint:
                say(ctx, with_selection(trouble.hint, ["--profile", target.profile_name(ctx)]))
        return
    show(ctx, {"name": name, "lines": list(found)}, human=lambda _: None)
