"""``valkeyctl status``: what runs, and how it differs from its profile."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from valkeyctl.cli import target
from valkeyctl.cli.boundary import Command, new_app
from valkeyctl.cli.output import show
from valkeyctl.units import format_duration

if TYPE_CHECKING:
    from valkeyctl.cli.console import Console

app = new_app()


@app.command(cls=Command)
def status(ctx: typer.Context) -> None:
    """Say what runs and how it differs from its profile (status 1 when it does)."""
    from valkeyctl.ops.status import status as look

    found = look(target.deployment(ctx), target.state(ctx))
    good = found.running and not found.drift and not found.warnings

    def human(console: Console) -> None:
        state = "running" if found.running else "not running"
        uptime = f", up {format_duration(found.uptime_s)}" if found.uptime_s is not None else ""
        rows = [
            ("deployment", f"{found.name}: {state}{uptime}"),
            ("url", found.url or "-"),
            ("runtime", f"{found.runtime or '-'} ({found.runtime_reason or 'not deployed'})"),
            ("server", found.version or "-"),
            ("drift", f"{len(found.drift)} differences" if found.drift else "none"),
        ]
        for name, value in rows:
            console.print(f"{name:<12}{value}", markup=False, soft_wrap=True)
        for warning in found.warnings:
            console.print(f"warning: {warning}", markup=False, soft_wrap=True)
        for drift in found.drift:
            line = f"  {drift.field}: wanted {drift.wanted}, is {drift.actual} ({drift.kind})"
            console.print(line, markup=False, soft_wrap=True)
        if not good:
            console.print(f"next: valkeyctl deploy -p {target.profile_name(ctx)}", markup=False)

    show(ctx, found, human=human, status="ok" if good else "fail", names=[found.name])
    raise typer.Exit(0 if good else 1)
