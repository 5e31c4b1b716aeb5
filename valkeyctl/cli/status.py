"""``valkeyctl status``: what runs, and how it differs from its profile."""

from __future__ import annotations

from textwrap import fill
from typing import TYPE_CHECKING

import typer

from valkeyctl.cli import target
from valkeyctl.cli.boundary import Command, new_app
from valkeyctl.cli.deploy import print_drift
from valkeyctl.cli.hints import with_selection
from valkeyctl.cli.output import show
from valkeyctl.units import format_duration, several

if TYPE_CHECKING:
    from valkeyctl.cli.console import Console
    from valkeyctl.ops.status import Status

app = new_app()
_LABEL = 12


def _unrecorded(found: Status) -> str:
    return "found without a record of it" if found.runtime else "not deployed"


def _drift(found: Status) -> str:
    if found.drift:
        return several(len(found.drift), "difference")
    if unasked := sum(one.running and one.uptime_s is None for one in found.nodes):
        return f"none, as far as is known: {several(unasked, 'unit')} cannot be asked"
    return "none" if found.uptime_s is not None or not found.running else "unknown"


def _versions(found: Status) -> str:
    """Return the version of the servers; who has another one than most is named."""
    units: dict[str, list[str]] = {}
    for one in found.nodes:
        if one.version:
            units.setdefault(one.version, []).append(one.name.removeprefix(f"{found.name}-"))
    if len(units) < 2:
        return found.version or "-"
    most, *others = sorted(units, key=lambda version: -len(units[version]))
    return ", ".join([most, *(f"{other} on {', '.join(units[other])}" for other in others)])


def print_status(console: Console, found: Status) -> None:
    """Print a deployment, a line a fact and, of a topology, a line a unit."""
    from valkeyctl.cli.unittable import print_units, summary

    state = "running" if found.running else "not running"
    if not found.running and any(one.running for one in found.nodes):
        state = found.detail
    answering = sum(one.running and one.reachable for one in found.nodes)
    if answering < (up := sum(one.running for one in found.nodes)):
        state = f"{state}, {answering} of {up} answer"
    uptime = f", up {format_duration(found.uptime_s)}" if found.uptime_s is not None else ""
    rows = [
        ("deployment", f"{found.name}: {state}{uptime}"),
        ("url", found.url or "-"),
        ("runtime", f"{found.runtime or '-'} ({found.runtime_reason or _unrecorded(found)})"),
        ("server", _versions(found)),
        *(summary(found) if found.nodes else ()),
        ("drift", _drift(found)),
    ]
    for name, value in rows:
        console.print(f"{name:<{_LABEL}}{value}", markup=False, soft_wrap=True)
    if found.nodes:
        console.print("")
        print_units(console, found)
    if found.warnings and found.nodes:
        console.print("")
    for warning in found.warnings:
        # Addresses and commands are what the reader copies from here.
        text = fill(
            f"warning: {warning}",
            max(console.width, 40),
            subsequent_indent="  ",
            break_on_hyphens=False,
            break_long_words=False,
        )
        console.print(text, markup=False, soft_wrap=True)
    if found.drift:
        console.print("")
        print_drift(console, found.drift, found.name)


@app.command(cls=Command)
def status(ctx: typer.Context) -> None:
    """Say what runs and how it differs from its profile (status 1 when it does)."""
    from valkeyctl.ops.status import status as look

    found = look(target.deployment(ctx), target.state(ctx))
    good = found.running and not found.drift and not found.warnings

    def human(console: Console) -> None:
        print_status(console, found)
        for hint in found.hints:
            # It may name a command, which is to work on this deployment too.
            text = with_selection(hint, ["--profile", target.profile_name(ctx)])
            console.print(f"next: {text}", markup=False, soft_wrap=True)
        if not good and not found.hints:
            console.print(f"next: valkeyctl deploy -p {target.profile_name(ctx)}", markup=False)

    show(ctx, found, human=human, status="ok" if good else "fail", names=[found.name])
    raise typer.Exit(0 if good else 1)
