"""``valkeyctl keys flush``: a namespace, a tag or a pattern, emptied."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from valkeyctl.cli import target
from valkeyctl.cli.boundary import Command, new_app
from valkeyctl.cli.confirm import DryRun, Yes, confirm
from valkeyctl.cli.keys.impact import ImpactOption
from valkeyctl.cli.keys.selected import NamespaceArgument, TagOption, say_assumed, selection
from valkeyctl.cli.output import detail, say, show, stderr_console
from valkeyctl.cli.progress import progress
from valkeyctl.errors import UsageError
from valkeyctl.ops.keyspace.pace import Impact, Pace
from valkeyctl.units import format_duration, format_size, several

if TYPE_CHECKING:
    from valkeyctl.cli.console import Console
    from valkeyctl.endpoint import Endpoint
    from valkeyctl.ops.keyspace.removal.flush import FlushReport
    from valkeyctl.ops.keyspace.removal.flushplan import FlushPlan
    from valkeyctl.ops.keyspace.removal.resume import Progress
    from valkeyctl.ops.keyspace.removal.selection import Selection

app = new_app()
_SHOWN_KEY = 160  # characters; a key may have 512 bytes, a foreign one any number


@app.command(cls=Command)
def flush(
    ctx: typer.Context,
    namespace: NamespaceArgument = None,
    tag: TagOption = None,
    pattern: Annotated[
        str | None,
        typer.Option("--pattern", metavar="GLOB", help="All keys that this glob matches."),
    ] = None,
    everyone: Annotated[
        bool, typer.Option("--all", help="The pattern may match other applications' keys.")
    ] = False,
    impact: ImpactOption = Impact.NORMAL,
    max_keys: Annotated[
        int | None,
        typer.Option("--max-keys", metavar="N", min=0, help="Refuse if there are more."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where the last flush of the same stopped.")
    ] = False,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Empty a namespace, and give its memory back.

    Its version goes first, so that readers see it at once; then its keys, in steps that
    no other client notices. Or all entries with a tag, or all keys like a pattern.
    """
    from valkeyctl.ops.keyspace.removal.flush import flush as empty
    from valkeyctl.ops.keyspace.removal.flush import flush_pace

    if everyone and pattern is None:
        raise UsageError("--all is about a --pattern", hint="Add --pattern, or leave it out")
    endpoint, name = target.endpoint(ctx), target.app_name(ctx)
    say_assumed(ctx, name)
    chosen = selection(name, namespace, tag, pattern, foreign=everyone)
    if dry_run or max_keys is not None or not (yes or resume):
        plan = _plan(ctx, endpoint, chosen, impact, max_keys)
        if dry_run:
            show(ctx, plan, human=partial(print_flush_plan, plan=plan), names=list(plan.sample))
            return
        if not yes:
            print_flush_plan(stderr_console(), plan)
            confirm(f"removing {several(plan.keys, 'key')} of {chosen}", yes=yes)
    elif resume:
        confirm(f"going on with the flush of {chosen}, {_stopped(ctx, endpoint, chosen)}", yes=yes)
    folder = target.resume_folder(ctx)
    if not resume:
        _say_given_up(ctx, endpoint, chosen)
    with progress(ctx, "flushing") as report:
        found = empty(
            endpoint,
            chosen,
            pace=flush_pace(impact),
            resume_folder=folder,
            resume=resume,
            progress=lambda at: report(at.visited, f"{at.deleted:,} removed", done=at.deleted),
        )
    detail(ctx, f"longest command: {found.longest_command_ms:.2f} ms")
    if found.effect:
        felt = found.effect
        detail(ctx, f"others waited {felt.p99_ms:.2f} ms (p99), {felt.idle_ms:.2f} ms when idle")
    names = [namespace or tag or pattern or ""]
    show(ctx, found, human=partial(_print_report, chosen=chosen, found=found), names=names)


def _plan(
    ctx: typer.Context,
    endpoint: Endpoint,
    chosen: Selection,
    impact: Impact,
    max_keys: int | None,
) -> FlushPlan:
    from valkeyctl.ops.keyspace.removal.flushplan import plan_flush

    with progress(ctx, "counting") as report:
        return plan_flush(
            endpoint,
            chosen,
            max_keys=max_keys,
            pace=Pace.of(impact),
            progress=lambda share, keys: report(share, f"{keys:,} keys", done=keys),
        )


def _say_given_up(ctx: typer.Context, endpoint: Endpoint, chosen: Selection) -> None:
    from valkeyctl.ops.keyspace.removal.resume import left_behind, open_journal

    folder = target.resume_folder(ctx)
    with open_journal(folder, endpoint, chosen):  # one that still runs has not been given up
        left = left_behind(folder, endpoint, chosen)
    if left is not None:
        say(
            ctx,
            f"starting over; an earlier flush {_place(left.progress)} (--resume goes on with it)",
        )


def _stopped(ctx: typer.Context, endpoint: Endpoint, chosen: Selection) -> str:
    """Return where it stopped; fails before anything is asked when there is nothing to resume."""
    from valkeyctl.ops.keyspace.removal.resume import open_journal

    with open_journal(target.resume_folder(ctx), endpoint, chosen) as journal:
        return f"which {_place(journal.unfinished().progress)}"


def _place(progress: Progress) -> str:
    return f"stopped at {progress.visited:.0%} after {several(progress.deleted, 'key')}"


def _print_report(console: Console, *, chosen: Selection, found: FlushReport) -> None:
    invalidated = "invalidated, " if found.invalidated else ""
    lost = ""
    if found.uncounted:
        lost = f", up to {found.uncounted:,} more by a run that was killed"
    console.print(
        f"{chosen}: {invalidated}{several(found.deleted, 'key')} removed{lost} in "
        f"{format_duration(found.seconds)} ({found.keys_per_s:,.0f}/s)"
    )


def print_flush_plan(console: Console, plan: FlushPlan) -> None:
    """Print what a flush would remove."""
    if plan.namespace is not None:
        what = f"{plan.app}:{plan.namespace}"
    elif plan.tag is not None:
        what = f"the tag {plan.tag} of {plan.app}"
    else:
        what = f"keys like {plan.pattern}"
    console.print(f"{what}: {several(plan.keys, 'key')}, {format_size(plan.memory_bytes)}")
    for key in plan.sample:
        shown = key if len(key) <= _SHOWN_KEY else f"{key[:_SHOWN_KEY]}…"
        console.print(f"  {shown}")
    if plan.keys > len(plan.sample):
        console.print(f"  and {plan.keys - len(plan.sample):,} more")
    lives = _lives(plan)
    if lives:
        console.print(lives)


def _lives(plan: FlushPlan) -> str:
    """Return when they would go by themselves."""
    said = []
    if plan.ttl_min_s is not None and plan.ttl_max_s is not None:
        first, last = format_duration(plan.ttl_min_s), format_duration(plan.ttl_max_s)
        said.append(f"the first expires in {first}, the last in {last}")
    if plan.without_expiry:
        said.append(f"{plan.without_expiry:,} never expire")
    return "; ".join(said)
