"""``valkeyctl drill kill``."""

from __future__ import annotations

import typer

from valkeyctl.cli.boundary import Command, new_app
from valkeyctl.cli.confirm import DryRun, Yes
from valkeyctl.cli.drill.conduct import Wishes, conduct
from valkeyctl.cli.drill.options import Confirm, For, GateOption, Node, Rate, Timeout

app = new_app()


@app.command(cls=Command)
def kill(
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
    """End a server as a crash would, and see it come back (status 1 when it does not).

    A standalone server is killed and left to its restart policy. A primary with replicas
    stays down until another server has taken over, and is started again; with --for 0s it
    is left to its restart policy, too.
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
    conduct(ctx, "kill", wishes)
