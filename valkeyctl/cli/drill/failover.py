"""``valkeyctl drill failover``."""

from __future__ import annotations

import typer

from valkeyctl.cli.boundary import Command, new_app
from valkeyctl.cli.confirm import DryRun, Yes
from valkeyctl.cli.drill.conduct import Wishes, conduct
from valkeyctl.cli.drill.options import Confirm, GateOption, Node, Rate, Timeout

app = new_app()


@app.command(cls=Command)
def failover(
    ctx: typer.Context,
    node: Node = "",
    timeout: Timeout = "60s",
    rate: Rate = 200,
    confirm: Confirm = 0,
    gate: GateOption = None,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Move the primary's role to a replica, as planned (status 1 on a failure).

    By SENTINEL FAILOVER, or CLUSTER FAILOVER on a replica of the shard.
    """
    wishes = Wishes(
        node=node,
        hold=None,
        timeout=timeout,
        rate=rate,
        confirm=confirm,
        gates=gate or (),
        dry_run=dry_run,
        yes=yes,
    )
    conduct(ctx, "failover", wishes)
