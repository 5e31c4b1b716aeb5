"""``valkeyctl drill undo``: what a drill that was killed has left."""

from __future__ import annotations

import typer

from valkeyctl.cli import target
from valkeyctl.cli.boundary import Command, new_app
from valkeyctl.cli.confirm import DryRun
from valkeyctl.cli.output import show

app = new_app()


@app.command(cls=Command)
def undo(ctx: typer.Context, dry_run: DryRun = False) -> None:
    """Undo the fault that a drill has left, because it was killed.

    Resumes, connects or starts the server again; does nothing when nothing is to be undone.
    """
    from valkeyctl.ops.drill import undo as mend

    found = mend(target.deployment(ctx), target.state(ctx), dry_run=dry_run)
    if found.found:
        what = f"drill {found.drill} of {found.node or 'unknown'}"
        head = f"would undo {what}" if dry_run else f"undone: {what}"
        lines = [f"{found.name}: {head}", *(f"  {line}" for line in found.done)]
    else:
        lines = [f"{found.name}: no drill has left anything"]

    show(
        ctx,
        found,
        human=lambda console: console.print("\n".join(lines), markup=False),
        names=[found.node] if found.node else [],
    )
