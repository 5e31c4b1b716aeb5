"""``valkeyctl drill restart``."""

from __future__ import annotations

import typer

from valkeyctl.cli.boundary import Command, new_app
from valkeyctl.cli.confirm import DryRun, Yes
from valkeyctl.cli.drill.conduct import Wishes, conduct
from valkeyctl.cli.drill.options import Confirm, GateOption, Rate, Timeout

app = new_app()


@app.command(cls=Command)
def restart(
    ctx: typer.Context,
    timeout: Timeout = "60s",
    rate: Rate = 200,
    confirm: Confirm = 0,
    gate: GateOption = None,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Stop every server cleanly and start it again, under load (status 1 on a failure).

    As `valkeyctl restart` does, one server after the other in a topology.
    """
    wishes = Wishes(
        node="",
        hold=None,
        timeout=timeout,
        rate=rate,
        confirm=confirm,
        gates=gate or (),
        dry_run=dry_run,
        yes=yes,
    )
    conduct(ctx, "restart", wishes)
