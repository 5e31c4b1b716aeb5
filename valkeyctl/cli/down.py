"""``valkeyctl down``: stop a server, and remove its data only when told."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from valkeyctl.cli import target
from valkeyctl.cli.boundary import Command, new_app
from valkeyctl.cli.confirm import DryRun, Yes, confirm
from valkeyctl.cli.output import say, show

if TYPE_CHECKING:
    from valkeyctl.cli.console import Console

app = new_app()


@app.command(cls=Command)
def down(
    ctx: typer.Context,
    purge: Annotated[
        bool, typer.Option("--purge", help="Remove the data and the secrets too.")
    ] = False,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Stop a server; its data stays unless --purge."""
    from valkeyctl.ops.deploy import take_down

    profile = target.deployment(ctx)
    name = profile.name
    state = target.state(ctx)
    if dry_run:
        planned = {"name": name, "would_stop": True, "would_purge": purge}
        words = f"would stop {name}" + (
            " and remove its data and secrets" if purge else "; its data stays"
        )
        show(ctx, planned, human=lambda console: console.print(words, markup=False), names=[name])
        return
    if purge:
        confirm(f"stopping {name} and removing its data, passwords and CA", yes=yes)
    removal = take_down(name, state, purge=purge, profile=profile, progress=partial(say, ctx))
    for warning in removal.warnings:
        say(ctx, f"warning: {warning}")

    def human(console: Console) -> None:
        if not removal.found:
            console.print(f"{name}: nothing is deployed under this name", markup=False)
            return
        state_now = "stopped" if removal.stopped else "was not running"
        console.print(f"{name}: {state_now}", markup=False)
        if purge:
            console.print("data and secrets removed" if removal.purged else "there was no data")

    show(ctx, removal, human=human, names=[name])
