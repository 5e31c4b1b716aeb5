"""``valkeyctl drill full-memory``."""

from __future__ import annotations

import typer

from valkeyctl.cli.boundary import Command, new_app
from valkeyctl.cli.confirm import DryRun, Yes
from valkeyctl.cli.drill.conduct import Wishes, conduct
from valkeyctl.cli.drill.options import Confirm, ForFull, GateOption, Node, Rate, Timeout

app = new_app()


@app.command(cls=Command)
def full_memory(
    ctx: typer.Context,
    node: Node = "",
    hold: ForFull = "5s",
    timeout: Timeout = "60s",
    rate: Rate = 200,
    confirm: Confirm = 0,
    gate: GateOption = None,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Fill a server up to its maxmemory (status 1 on a failure).

    Then it evicts, entries of the applications too, or refuses writes, as its policy says.
    What was written is removed after --for; it would expire by itself.
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
    conduct(ctx, "full-memory", wishes)
