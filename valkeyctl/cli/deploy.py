"""``valkeyctl deploy``: bring a server to what its profile says."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from valkeyctl.cli import target
from valkeyctl.cli.boundary import Command, new_app
from valkeyctl.cli.confirm import DryRun, Yes, confirm
from valkeyctl.cli.grid import print_grid
from valkeyctl.cli.output import detail, say, show
from valkeyctl.cli.runtimes import RuntimeName
from valkeyctl.errors import UsageError
from valkeyctl.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from valkeyctl.cli.console import Console
    from valkeyctl.ops.changes import Changes
    from valkeyctl.ops.deploy import Deployment
    from valkeyctl.ops.drift import Drift

app = new_app()

_LONGEST = 22  # characters of a value in the table of changes; JSON has it whole


def print_drift(console: Console, drift: Sequence[Drift], name: str = "") -> None:
    """Print what differs, what is wanted, and what it takes.

    Args:
        console: Where to.
        drift: What differs, of a topology unit by unit; what several of its units differ
            in alike is one row.
        name: Of the deployment, which the names of its units begin with.
    """
    units: dict[tuple[str, str, str, str], list[str]] = {}
    for found in drift:
        unit, told, field = found.field.rpartition(": ")
        if not told and name and field.startswith(f"{name}-"):
            unit, field = field, "unit"  # the whole of it
        elif field == unit:
            field = "unit"
        row = (field, _short(found.actual), _short(found.wanted), found.kind)
        units.setdefault(row, []).append(unit.removeprefix(f"{name}-"))
    if not any(any(of) for of in units.values()):
        print_grid(console, ["field", "is", "wanted", "takes"], list(units))
        return
    rows = [[*row, _together(of)] for row, of in units.items()]
    print_grid(console, ["field", "is", "wanted", "takes", "unit"], rows)


def _together(units: Sequence[str]) -> str:
    """Return names such as node-1, node-2 and node-4 as ``node-1,2,4``."""
    numbers: dict[str, list[str]] = {}
    for unit in units:
        kind, _, number = unit.rpartition("-")
        numbers.setdefault(kind, []).append(number)
    return " ".join(f"{kind}-{','.join(found)}" for kind, found in numbers.items())


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
        gap = format_duration(found.write_gap_ms / 1000) if found.write_gap_ms else "none"
        rows.append(("write gap", f"{gap}: {_felt(found)}"))
    if found.keys_before is not None and found.keys_after is not None:
        rows.append(("keys", f"{found.keys_before:,} before, {found.keys_after:,} after"))
    for name, value in rows:
        console.print(f"{name:<12}{value}", markup=False, soft_wrap=True)
    if found.changes:
        console.print("")
        print_drift(console, found.changes, found.name)


def show_deployment(ctx: typer.Context, found: Deployment) -> None:
    """Print what a deployment did, its proofs and warnings beside it."""
    for line in found.proofs:
        detail(ctx, f"proved: {line}")
    for warning in found.warnings:
        say(ctx, f"warning: {warning}")
    status = "warn" if found.warnings else "ok"
    human = partial(print_deployment, found=found)
    show(ctx, found, human=human, status=status, names=[found.name])  # type: ignore[arg-type]  # both words are statuses


def _felt(found: Deployment) -> str:
    return "no write was refused" if not found.write_gap_ms else "no write was accepted meanwhile"


def _short(value: str) -> str:
    return value if len(value) <= _LONGEST else f"{value[: _LONGEST - 3]}..."


def _print_changes(console: Console, found: Changes) -> None:
    if not found.any:
        console.print(f"{found.name} runs as its profile says", markup=False)
        return
    if found.drift:
        print_drift(console, found.drift, found.name)
    for file in found.files:
        # The diff as it is: it may be fed to `patch`.
        sys.stdout.write(f"\n{file.diff}" if found.drift else file.diff)
    how = {
        "live": "would set it on the running server",
        "restart": "would restart the server",
        "recreate": "would make the server anew" if found.running else "would start the server",
    }
    says = how[found.takes] if found.takes else "would keep the new files, nothing else"
    console.print(f"\n{found.name}: valkeyctl deploy {says}", markup=False)


def _changes(ctx: typer.Context) -> None:
    from valkeyctl.ops.deploy import changes

    found = changes(target.deployment(ctx), target.state(ctx))
    for warning in found.warnings:
        say(ctx, f"warning: {warning}")
    human = partial(_print_changes, found=found)
    status = "fail" if found.any else "ok"
    show(ctx, found, human=human, status=status, names=[one.field for one in found.drift])  # type: ignore[arg-type]  # both words are statuses
    raise typer.Exit(1 if found.any else 0)


@app.command(cls=Command)
def deploy(
    ctx: typer.Context,
    runtime: RuntimeName = None,
    diff: Annotated[
        bool, typer.Option("--diff", help="Show what differs and what it takes; status 1 if so.")
    ] = False,
    rollback: Annotated[
        bool, typer.Option("--rollback", help="Go back to the render before this one.")
    ] = False,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Bring a server to what its profile says.

    Proves the configuration against the very server first, changes nothing when nothing
    changed, sets on the running server what can be set there, stops safely before it
    replaces, waits until the server answers through the published address, and puts the
    last good render back on failure.
    """
    from valkeyctl.ops import deploy as ops

    if diff + rollback + dry_run > 1:
        raise UsageError(
            "--diff, --rollback and --dry-run exclude each other", hint="Give one of them"
        )
    if diff:
        _changes(ctx)
    profile = target.deployment(ctx)
    state, progress = target.state(ctx), partial(say, ctx)
    if rollback:
        confirm(
            f"going back to the render of {profile.name} before this one", yes=yes, look="--diff"
        )
        found = ops.roll_back(profile, state, yes=yes, progress=progress)
        say(ctx, "the profile is as it was: mend it before the next deploy, which follows it")
    else:
        wanted = runtime.value if runtime else profile.runtime
        found = ops.deploy(
            profile, state, runtime=wanted, dry_run=dry_run, yes=yes, progress=progress
        )
    show_deployment(ctx, found)
