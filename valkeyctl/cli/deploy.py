"""``valkeyctl deploy``: bring a server to what its profile says."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import typer

from valkeyctl.cli import target
from valkeyctl.cli.boundary import Command, new_app
from valkeyctl.cli.confirm import DryRun
from valkeyctl.cli.output import detail, say, show
from valkeyctl.cli.runtimes import RuntimeName
from valkeyctl.units import format_duration

if TYPE_CHECKING:
    from valkeyctl.cli.console import Console
    from valkeyctl.ops.deploy import Deployment

app = new_app()


def print_deployment(console: Console, found: Deployment) -> None:
    """Print what a deployment did, and how to reach the server."""
    rows = [
        ("deployment", f"{found.name}: {found.action}"),
        ("url", found.url),
        ("runtime", f"{found.runtime} ({found.runtime_reason})"),
        ("server", found.version or "-"),
        ("digest", found.digest),
    ]
    if found.write_gap_ms is not None:
        gap = format_duration(found.write_gap_ms / 1000)
        rows.append(("write gap", f"{gap} without an accepted write"))
    if found.keys_before is not None and found.keys_after is not None:
        rows.append(("keys", f"{found.keys_before:,} before, {found.keys_after:,} after"))
    for name, value in rows:
        console.print(f"{name:<12}{value}", markup=False, soft_wrap=True)


@app.command(cls=Command)
def deploy(
    ctx: typer.Context,
    runtime: RuntimeName = None,
    dry_run: DryRun = False,
) -> None:
    """Bring a server to what its profile says.

    Proves the configuration against the very server first, changes nothing when
    nothing changed, stops safely before it replaces, waits until the server answers
    through the published address, and puts the last good render back on failure.
    """
    from valkeyctl.ops import deploy as ops

    profile = target.deployment(ctx)
    wanted = runtime.value if runtime else profile.runtime
    found = ops.deploy(
        profile,
        target.state(ctx),
        runtime=wanted,
        dry_run=dry_run,
        progress=partial(say, ctx),
    )
    for line in found.proofs:
        detail(ctx, f"proved: {line}")
    for warning in found.warnings:
        say(ctx, f"warning: {warning}")
    status = "warn" if found.warnings else "ok"
    human = partial(print_deployment, found=found)
    show(ctx, found, human=human, status=status, names=[found.name])  # type: ignore[arg-type]  # both words are statuses
