"""``valkeyctl restore``: a backup in the place of a deployment's data."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from valkeyctl.cli import target
from valkeyctl.cli.backup import KeyFile, find_backup, key_of, told
from valkeyctl.cli.boundary import Command, new_app
from valkeyctl.cli.confirm import DryRun, Yes, confirm
from valkeyctl.cli.output import say, show
from valkeyctl.cli.progress import progress
from valkeyctl.cli.runtimes import RuntimeName
from valkeyctl.errors import RefusedError
from valkeyctl.units import format_duration, format_size, several

if TYPE_CHECKING:
    from valkeyctl.cli.console import Console
    from valkeyctl.ops.backup.restoration import Restoration
    from valkeyctl.ops.backup.restoreplan import RestorePlan

app = new_app()


@app.command(cls=Command)
def restore(
    ctx: typer.Context,
    folder: Annotated[str, typer.Argument(metavar="DIR", help="The backup, or its name.")],
    key_file: KeyFile = None,
    runtime: RuntimeName = None,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Put a backup in the place of a deployment's data.

    Loads it in the deployment's own server first, and copies the data that it replaces.
    On any failure the old data runs again.
    """
    from valkeyctl.ops.backup.restore import restore as put_back
    from valkeyctl.ops.backup.restoreplan import plan_restore

    profile = target.deployment(ctx)
    where, state = find_backup(ctx, folder), target.state(ctx)
    key = key_of(key_file)
    plan = plan_restore(where, profile, state, key)
    if dry_run:
        show(ctx, plan, human=partial(_print_plan, plan=plan), names=[plan.name])
        return
    for line in _outline(plan):
        say(ctx, line)
    if plan.production and not yes:
        raise RefusedError(
            f"{plan.name} serves production, and its data would be replaced",
            hint="Say that you mean it: --yes",
        )
    confirm(f"replacing the data of {plan.name}", yes=yes)
    with progress(ctx, "restore") as report:
        done = put_back(
            where,
            profile,
            state,
            key=key,
            runtime=runtime.value if runtime else profile.runtime,
            say=partial(say, ctx),
            progress=told(report),
        )
    for warning in done.warnings:
        say(ctx, f"warning: {warning}")
    status = "warn" if done.warnings else "ok"
    human = partial(_print_restoration, done=done, key_file=key_file)
    show(ctx, done, human=human, status=status, names=[done.name])  # type: ignore[arg-type]  # both words are statuses


def _outline(plan: RestorePlan) -> list[str]:
    """Return what would be replaced, and by what."""
    now = (
        "unknown"
        if plan.keys_now is None and plan.running
        else several(plan.keys_now, "key")
        if plan.keys_now is not None
        else "stopped"
    )
    keys = "not counted" if plan.keys is None else several(plan.keys, "key")
    return [
        f"{'deployment':<12}{plan.name}: {now} at present",
        f"{'backup':<12}{plan.folder}",
        f"{'of':<12}{plan.taken_of} (valkey {plan.version}), {format_duration(plan.age_s)} ago",
        f"{'holds':<12}{keys}, {format_size(plan.bytes)}",
    ]


def _print_plan(console: Console, plan: RestorePlan) -> None:
    for line in _outline(plan):
        console.print(line)


def _print_restoration(console: Console, done: Restoration, key_file: Path | None) -> None:
    expired = f", and {several(done.expired, 'key')} had expired" if done.expired else ""
    rows = [
        ("deployment", f"{done.name}: {several(done.keys, 'key')} loaded{expired}"),
        ("url", done.url),
        ("server", done.version or "-"),
        ("down", format_duration(done.down_s)),
    ]
    if done.keys_replaced is not None:
        rows.append(("replaced", several(done.keys_replaced, "key")))
    if done.safety is not None:
        key = f" --key-file {key_file}" if key_file else ""
        rows.append(("to go back", f"valkeyctl restore {done.safety} -p {done.name}{key}"))
    elif done.kept:
        rows.append(("kept", done.kept))
    rows += [("removed", str(folder)) for folder in done.removed]
    for name, value in rows:
        console.print(f"{name:<12}{value}")
