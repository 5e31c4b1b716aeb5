"""``valkeyctl keys top``: the biggest, the hottest and the longest unused keys."""

from __future__ import annotations

from typing import Annotated

import typer

from valkeyctl.cli import target
from valkeyctl.cli.boundary import Command, new_app
from valkeyctl.cli.keys.columns import Column, Fields, Layout, Sort
from valkeyctl.cli.keys.impact import ImpactOption
from valkeyctl.cli.keys.rows import Asked, show_rows
from valkeyctl.cli.options import Namespace
from valkeyctl.cli.output import say
from valkeyctl.cli.progress import progress
from valkeyctl.ops.keyspace.counting.top import MOST_PLACES, By, Source, TopKey
from valkeyctl.ops.keyspace.pace import Impact, Pace
from valkeyctl.units import format_duration, format_size, several

app = new_app()
_SOURCES: dict[Source, str] = {
    "memory": "by MEMORY USAGE",
    "lfu": "by the server's own counters (LFU)",
    "counters": "by what applications counted with this library",
    "idle": "by the time since each was used",
}


def layout(source: Source) -> Layout[TopKey]:
    """Return the columns; the table has the figure that the order comes from."""
    return Layout(
        Column("type", "TYPE", lambda row: row.type, width=6),
        Column("ttl_s", "TTL", lambda row: row.ttl_s, _ttl, 8, ">"),
        Column("memory_bytes", "SIZE", lambda row: row.memory_bytes, _size, 10, ">"),
        Column(
            *("frequency", "FREQ", lambda row: row.frequency),
            width=6,
            align=">",
            shown=source == "lfu",
        ),
        Column(
            *("reads", "READS", lambda row: row.reads, _reads),
            width=10,
            align=">",
            shown=source == "counters",
        ),
        Column(
            *("idle_s", "IDLE", lambda row: row.idle_s, _idle),
            width=8,
            align=">",
            shown=source == "idle",
        ),
        Column("key", "KEY", lambda row: row.key),
    )


@app.command(cls=Command)
def top(
    ctx: typer.Context,
    by: Annotated[
        By, typer.Option("--by", metavar="memory|freq|idle", help="What the first have most of.")
    ] = By.MEMORY,
    namespace: Namespace = None,
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=MOST_PLACES, help="How many keys.")
    ] = 20,
    fields: Fields = None,
    sort: Sort = None,
    impact: ImpactOption = Impact.MAX,
) -> None:
    """Find the biggest, hottest or longest unused keys."""
    from valkeyctl.ops.keyspace.counting.top import top as find

    layout("memory").choose(fields).order(sort)
    with progress(ctx, "looking") as report:
        found = find(
            target.endpoint(ctx),
            by,
            app=target.app_filter(ctx),
            namespace=namespace,
            places=limit,
            pace=Pace.of(impact),
            progress=lambda share, keys: report(share, f"{keys:,} keys", done=keys),
        )
    show_rows(
        ctx,
        layout(found.source),
        [found.keys],
        Asked(fields, sort, limit),
        under="keys",
        name=lambda row: row.key,
        more=lambda: {"by": found.by, "source": found.source, "asked": found.asked},
    )
    if found.keys:
        say(ctx, f"{several(found.asked, 'key')} compared, {_SOURCES[found.source]}")
    if by is By.FREQ and found.source == "idle":
        why = "the server counts no uses: its maxmemory-policy is no LFU"
        say(ctx, f"{why}; these were used last")


def _ttl(row: TopKey) -> str:
    return "-" if row.ttl_s is None else format_duration(row.ttl_s)


def _size(row: TopKey) -> str:
    return "-" if row.memory_bytes is None else format_size(row.memory_bytes)


def _reads(row: TopKey) -> str:
    return "-" if row.reads is None else f"{row.reads:,.0f}"


def _idle(row: TopKey) -> str:
    return "-" if row.idle_s is None else format_duration(row.idle_s)
