"""``valkeyctl url``: how an application connects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from valkeyctl.cli import target
from valkeyctl.cli.boundary import Command, new_app
from valkeyctl.cli.output import show

if TYPE_CHECKING:
    from valkeyctl.cli.console import Console

app = new_app()


@app.command(cls=Command)
def url(
    ctx: typer.Context,
    show_secret: Annotated[bool, typer.Option("--show-secret", help="With the password.")] = False,
) -> None:
    """Say how an application connects."""
    endpoint = target.endpoint(ctx)
    text = endpoint.url(show_secret=show_secret)

    def human(console: Console) -> None:
        console.print(text, markup=False, soft_wrap=True)

    data = {"url": text, "host": endpoint.host, "port": endpoint.port, "tls": endpoint.tls}
    show(ctx, data, human=human, names=[text])
