"""``valkeyctl drill hang``."""

from __future__ import annotations

import typer

from valkeyctl.cli.boundary import Command, new_app
from valkeyctl.cli.confirm import DryRun, Yes
from valkeyctl.cli.drill.conduct import Wishes, conduct
from valkeyctl.cli.drill.options import Confirm, For, GateOption, Node, Rate, Timeout

app = new_app()


@app.command(cls=Command)
def hang(
    ctx: typer.Context,
    node: Node = "",
    hold: For = None,
    timeout: Timeout = "60s",
    rate: Rate = 200,
    confirm: Confirm = 0,
    gate: GateOption = None,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Pause a server: it takes connections and answers nothing (status 1 on a failure).

    A primary with replicas is paused until another server has taken over, any other for
    five seconds; then it goes on.
    """
    wishes = Wishes(
        node=node,
        hold=hold,
        timeout=timeout,
        rate=rate,
        confirm=confirm,
        gates=gate or (),
        dry_run=dry_run,
        yes=yes,
    )
    conduct(ctx, "hang", wishes)
