"""``valkeyctl restart``: stop cleanly, start again."""

from __future__ import annotations

from functools import partial

import typer

from valkeyctl.cli import target
from valkeyctl.cli.boundary import Command, new_app
from valkeyctl.cli.confirm import Yes
from valkeyctl.cli.deploy import show_deployment
from valkeyctl.cli.output import say

app = new_app()


@app.command(cls=Command)
def restart(ctx: typer.Context, yes: Yes = False) -> None:
    """Stop a server cleanly and start it again."""
    from valkeyctl.ops.deploy import restart as again

    profile = target.deployment(ctx)
    state, progress = target.state(ctx), partial(say, ctx)
    found = again(profile.name, state, progress, runtime=profile.runtime, profile=profile, yes=yes)
    show_deployment(ctx, found)
