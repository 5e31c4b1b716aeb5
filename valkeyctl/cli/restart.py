"""``valkeyctl restart``: stop cleanly, start again."""

from __future__ import annotations

from functools import partial

import typer

from valkeyctl.cli import target
from valkeyctl.cli.boundary import Command, new_app
from valkeyctl.cli.deploy import print_deployment
from valkeyctl.cli.output import say, show

app = new_app()


@app.command(cls=Command)
def restart(ctx: typer.Context) -> None:
    """Stop a server cleanly and start it again."""
    from valkeyctl.ops.deploy import restart as again

    profile = target.deployment(ctx)
    found = again(profile.name, target.state(ctx), partial(say, ctx), runtime=profile.runtime)
    show(ctx, found, human=partial(print_deployment, found=found), names=[found.name])
