"""``valkeyctl keys``: what is in the cache, what it costs, and removing it."""

from __future__ import annotations

import sys
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from valkeyctl.cli import target
from valkeyctl.cli.boundary import Command, new_app
from valkeyctl.cli.confirm import DryRun, Yes, confirm
from valkeyctl.cli.options import Output, options
from valkeyctl.cli.output import detail, print_names, say, show, stderr_console, stream
from valkeyctl.cli.progress import progress
from valkeyctl.cli.tables import (
    print_detail,
    print_flush_plan,
    print_keyspace,
    print_rows,
    public_detail,
    public_row,
)
from valkeyctl.errors import UsageError
from valkeyctl.units import format_duration, format_size, several

if TYPE_CHECKING:
    from rich.console import Console

app = new_app("List, measure, inspect, warm and flush keys.")
_JSON_LIMIT = 1000
Namespace = Annotated[
    str | None, typer.Option("--namespace", "-n", metavar="NAME", help="Only this namespace.")
]


@app.command(cls=Command)
def ls(
    ctx: typer.Context,
    pattern: Annotated[
        str | None, typer.Argument(metavar="PATTERN", help="Glob that the whole key matches.")
    ] = None,
    namespace: Namespace = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="At most so many; 1,000 with -o json.")
    ] = None,
    control: Annotated[
        bool, typer.Option("--control", help="Also the keys that hold versions and leases.")
    ] = False,
) -> None:
    """List keys with type, TTL and size, as they are found."""
    from valkeyctl.ops.keyspace.listing import list_keys

    rows = list_keys(
        target.endpoint(ctx),
        app=target.app_filter(ctx),
        namespace=namespace,
        match=pattern,
        control=control,
    )
    output = options(ctx).output
    if output is Output.JSONL:
        stream(ctx, (public_row(row) for row in islice(rows, limit)))
    elif output is Output.NAME:
        print_names(row.display for row in islice(rows, limit))
    elif output is Output.TABLE:
        print_rows(islice(rows, limit))
    else:
        most = limit or _JSON_LIMIT
        first = list(islice(rows, most + 1))
        data = {"keys": [public_row(row) for row in first[:most]], "truncated": len(first) > most}
        show(ctx, data, human=lambda _: None)


@app.command(cls=Command)
def stats(
    ctx: typer.Context,
    exact: Annotated[bool, typer.Option("--exact", help="Ask every key.")] = False,
    sample: Annotated[
        bool, typer.Option("--sample", help="Estimate; the default above 100,000 keys.")
    ] = False,
) -> None:
    """Count keys, memory and TTLs by namespace."""
    from valkeyctl.ops.keyspace.stats import stats as count

    if exact and sample:
        raise UsageError("--exact and --sample exclude each other", hint="Give one of them")

    with progress(ctx, "counting") as report:
        found = count(
            target.endpoint(ctx),
            target.app_filter(ctx),
            method="exact" if exact else "sample" if sample else "auto",
            progress=lambda share, keys: report(share, f"{keys:,} keys"),
        )
    names = [namespace.name for namespace in found.namespaces]
    show(ctx, found, human=partial(print_keyspace, found=found), names=names)


@app.command(cls=Command)
def inspect(
    ctx: typer.Context,
    key: Annotated[str, typer.Argument(help="The key, as `keys ls` shows it.")],
) -> None:
    """Show one key: entry, tags, TTL, size, preview.

    Status 1 when there is no such key.
    """
    from valkeyctl.ops.keyspace.inspect import inspect_key

    found = inspect_key(target.endpoint(ctx), key)
    show(ctx, public_detail(found), human=partial(print_detail, found=found), names=[key])


@app.command(cls=Command)
def warm(
    ctx: typer.Context,
    source: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="JSON lines {namespace, id, value, ttl?, tags?}; - is stdin."
        ),
    ],
    rejects: Annotated[
        Path | None, typer.Option("--rejects", metavar="FILE", help="Write refused lines here.")
    ] = None,
    from_line: Annotated[int, typer.Option("--from-line", min=1, help="Go on at this line.")] = 1,
) -> None:
    """Load entries from a file of JSON lines.

    Wrong lines are reported with their number (status 1), the rest is loaded.
    """
    from valkeyctl.ops.keyspace.warm import warm as load_entries

    profile = target.profile(ctx)
    with progress(ctx, "warming") as report:
        found = load_entries(
            target.endpoint(ctx),
            sys.stdin.buffer if str(source) == "-" else source,
            app=options(ctx).app or profile.app,
            policies=target.policies(profile),
            rejects_file=rejects,
            from_line=from_line,
            progress=lambda at: report(
                at.read / at.size if at.size else 0.0, f"{at.loaded:,} entries"
            ),
        )
    for reject in found.rejects:
        say(ctx, f"line {reject.line}: {reject.reason}")
    more = found.rejected - len(found.rejects)
    if more > 0:
        say(ctx, f"and {more:,} more{f', all in {rejects}' if rejects else '; see --rejects'}")

    def human(console: Console) -> None:
        rate = f", {found.loaded / found.seconds:,.0f}/s" if found.seconds > 0 else ""
        entries = several(found.loaded, "entry", "entries")
        line = f"loaded {entries} ({format_size(found.bytes)}{rate})"
        console.print(line, markup=False)
        if found.rejected:
            console.print(f"rejected {several(found.rejected, 'line')}", markup=False)

    show(ctx, found, human=human, status="warn" if found.rejected else "ok")
    # A job that loads a file must not take half of it for all.
    raise typer.Exit(1 if found.rejected else 0)


@app.command(cls=Command)
def flush(
    ctx: typer.Context,
    namespace: Annotated[str, typer.Argument(help="The namespace to empty.")],
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Empty a namespace, and give its memory back.

    Its version goes first, so that readers see it at once.
    """
    from valkeyctl.ops.keyspace.flush import flush as empty
    from valkeyctl.ops.keyspace.flush import plan_flush

    endpoint, name = target.endpoint(ctx), target.app_name(ctx)
    plan = plan_flush(endpoint, name, namespace)
    if dry_run:
        show(ctx, plan, human=partial(print_flush_plan, plan=plan), names=list(plan.sample))
        return
    if not yes:
        print_flush_plan(stderr_console(), plan)
    confirm(f"removing {several(plan.keys, 'key')} of {name}:{namespace}", yes=yes)
    with progress(ctx, "flushing") as report:
        found = empty(
            endpoint,
            name,
            namespace,
            progress=lambda at: report(at.visited, f"{at.deleted:,} removed"),
        )
    detail(ctx, f"longest command: {found.longest_command_ms:.2f} ms")

    def human(console: Console) -> None:
        console.print(
            f"{name}:{namespace}: invalidated, {several(found.deleted, 'key')} removed in "
            f"{format_duration(found.seconds)}",
            markup=False,
        )

    show(ctx, found, human=human, names=[namespace])
