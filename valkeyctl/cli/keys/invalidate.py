"""``valkeyctl keys invalidate``: a namespace or a tag, a miss from now on.

It does not ask. Nothing is lost but hits, it takes milliseconds whatever there is, and
who needs it needs it now; counting what it concerns would be a walk over all keys. What
it would do is shown by ``--dry-run``, and `keys flush`, which deletes, asks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from valkeyctl.cli import target
from valkeyctl.cli.boundary import Command, new_app
from valkeyctl.cli.confirm import DryRun
from valkeyctl.cli.keys.selected import NamespaceArgument, TagOption, say_assumed, selection
from valkeyctl.cli.output import show
from valkeyctl.units import several

if TYPE_CHECKING:
    from valkeyctl.cli.console import Console
    from valkeyctl.ops.keyspace.removal.invalidate import Invalidated

app = new_app()


@app.command(cls=Command)
def invalidate(
    ctx: typer.Context,
    namespace: NamespaceArgument = None,
    tag: TagOption = None,
    dry_run: DryRun = False,
) -> None:
    """Make every entry of a namespace, or with a tag, a miss at once.

    In constant time, near caches included; the memory is given back as entries expire, or
    by `keys flush`.
    """
    from valkeyctl.ops.keyspace.removal.invalidate import invalidate as forget

    name = target.app_name(ctx)
    say_assumed(ctx, name)
    chosen = selection(name, namespace, tag)
    found = forget(target.endpoint(ctx), chosen, dry_run=dry_run)

    def human(console: Console) -> None:
        console.print(f"{chosen}: {_outcome(found)}")

    show(ctx, found, human=human, names=[namespace or tag or ""])


def _outcome(found: Invalidated) -> str:
    versions = several(found.versions, "version")
    if found.dry_run:
        return f"{versions} would go; nothing was changed"
    if found.holders is None:
        near = "this user may not tell near caches; their leases are over"
    elif found.acknowledged:
        near = f"{several(found.holders, 'near cache')} acknowledged" if found.holders else ""
    else:
        near = f"{several(found.holders, 'near cache')} did not all answer; their leases are over"
    what = f"invalid, {versions} removed" if found.versions else "invalid already, no version there"
    return f"{what} in {found.ms:.1f} ms{f'; {near}' if near else ''}"
