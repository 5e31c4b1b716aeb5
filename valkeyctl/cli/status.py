"""``valkeyctl status``: what runs, and how it differs from its profile."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from valkeyctl.cli import target
from valkeyctl.cli.boundary import Command, new_app
from valkeyctl.cli.deploy import print_drift
from valkeyctl.cli.grid import print_grid
from valkeyctl.cli.output import show
from valkeyctl.units import format_duration, several

if TYPE_CHECKING:
    from collections.abc import Sequence

    from valkeyctl.cli.console import Console
    from valkeyctl.ops.status import Status, Unit

app = new_app()


def _unrecorded(found: Status) -> str:
    return "found without a record of it" if found.runtime else "not deployed"


def _units(units: Sequence[Unit]) -> list[list[str]]:
    # Of the detail the first part: the image or the binary is the same for all, and the
    # version stands beside it.
    return [
        [unit.name, unit.address, unit.detail.partition(",")[0], unit.version or "-"]
        for unit in units
    ]


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
            ("runtime", f"{found.runtime or '-'} ({found.runtime_reason or _unrecorded(found)})"),
            ("server", found.version or "-"),
            ("drift", several(len(found.drift), "difference") if found.drift else "none"),
        ]
        for name, value in rows:
            console.print(f"{name:<12}{value}", markup=False, soft_wrap=True)
        for warning in found.warnings:
            console.print(f"warning: {warning}", markup=False, soft_wrap=True)
        if found.nodes:
            console.print("")
            print_grid(console, ["unit", "address", "state", "server"], _units(found.nodes))
        if found.drift:
            console.print("")
            print_drift(console, found.drift, found.name)
        if not good:
            console.print(f"next: valkeyctl deploy -p {target.profile_name(ctx)}", markup=False)

    show(ctx, found, human=human, status="ok" if good else "fail", names=[found.name])
    raise typer.Exit(0 if good else 1)
