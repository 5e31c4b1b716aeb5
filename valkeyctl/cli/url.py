"""``valkeyctl url``: how an application connects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from valkeyctl.cli import target
from valkeyctl.cli.boundary import Command, new_app
from valkeyctl.cli.output import show

if TYPE_CHECKING:
    from valkeyctl.cli.console import Console
    from valkeyctl.endpoint import Endpoint

app = new_app()


def _endpoint(ctx: typer.Context, *, show_secret: bool) -> Endpoint:
    """Return where an application connects, as the application's user."""
    if show_secret or target.given_url(ctx) is not None:
        return target.endpoint(ctx, "app")
    profile = target.profile(ctx)
    if target.plain(profile):
        return target.endpoint(ctx)
    from valkeyctl.ops.access import address

    # Told before the first deploy too, which makes the password.
    found = address(profile, target.state(ctx), "app")
    return found.with_password("") if profile.auth.enabled else found


@app.command(cls=Command)
def url(
    ctx: typer.Context,
    show_secret: Annotated[bool, typer.Option("--show-secret", help="With the password.")] = False,
) -> None:
    """Say how an application connects."""
    endpoint = _endpoint(ctx, show_secret=show_secret)
    text = endpoint.url(show_secret=show_secret)

    def human(console: Console) -> None:
        console.print(text, markup=False, soft_wrap=True)

    data = {"url": text, "host": endpoint.host, "port": endpoint.port, "tls": endpoint.tls}
    show(ctx, data, human=human, names=[text])
