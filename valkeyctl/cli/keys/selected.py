"""What `keys flush` and `keys invalidate` are about: NAMESPACE, ``--tag`` or ``--pattern``."""

from __future__ import annotations

from typing import Annotated

import typer

from valkeyctl.cli import target
from valkeyctl.cli.options import options
from valkeyctl.cli.output import say
from valkeyctl.ops.keyspace.removal.selection import Selection

NamespaceArgument = Annotated[
    str | None, typer.Argument(metavar="NAMESPACE", help="All entries of this namespace.")
]
TagOption = Annotated[
    str | None, typer.Option("--tag", metavar="TAG", help="All entries that carry this tag.")
]


def say_assumed(ctx: typer.Context, app: str) -> None:
    """Say which application is meant, where a server was named and no application.

    The profile's name for it may be one that this server has never seen, and a verb that
    changes nothing then would look as if it had done its work.
    """
    said = options(ctx)
    if target.given_url(ctx) and not said.app and not said.profile:
        say(ctx, f"the application is {app}, by the profile; --app names another")


def selection(
    app: str,
    namespace: str | None,
    tag: str | None,
    pattern: str | None = None,
    *,
    foreign: bool = False,
) -> Selection:
    """Return what the user has selected.

    Raises:
        UsageError, RefusedError: as `Selection`.
    """
    # As the shell gave it: a key is bytes, and need not be UTF-8.
    glob = None if pattern is None else pattern.encode("utf-8", "surrogateescape")
    return Selection(app, namespace, tag, glob, foreign)
