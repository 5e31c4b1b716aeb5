"""``valkeyctl keys stats``: keys, memory and TTLs by namespace."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from valkeyctl.cli import target
from valkeyctl.cli.boundary import Command, new_app
from valkeyctl.cli.keys.columns import Column, Fields, Layout, Limit, Sort, fit
from valkeyctl.cli.keys.impact import ImpactOption
from valkeyctl.cli.keys.rows import Asked, show_rows
from valkeyctl.cli.options import Output, options
from valkeyctl.cli.output import plain, show
from valkeyctl.cli.progress import progress
from valkeyctl.errors import UsageError
from valkeyctl.ops.keyspace.pace import Impact, Pace
from valkeyctl.units import format_duration, format_size

if TYPE_CHECKING:
    from valkeyctl.cli.console import Console
    from valkeyctl.ops.keyspace.counting.against import Change
    from valkeyctl.ops.keyspace.counting.census import BigKey, KeyspaceStats, NamespaceStats

app = new_app()
_SHOWN_KEY = 60  # characters, so that a line with a key's size has 80


def layout(*, sampled: bool) -> Layout[NamespaceStats]:
    """Return the columns; a sample's table says how far its figures may be off."""
    return Layout(
        Column("name", "NAMESPACE", lambda row: row.name, width=18),
        Column("keys", "KEYS", lambda row: row.keys, lambda row: f"{row.keys:,}", 11, ">"),
        Column(
            "memory_bytes",
            "MEMORY",
            lambda row: row.memory_bytes,
            lambda row: format_size(row.memory_bytes),
            10,
            ">",
        ),
        Column("ci95", "+-", lambda row: plain(row.ci95), _half_width, 5, ">", shown=sampled),
        Column("share", "SHARE", lambda row: row.share, lambda row: f"{row.share:.0%}", 6, ">"),
        Column(
            "without_expiry",
            "NO EXPIRY",
            lambda row: row.without_expiry,
            lambda row: f"{row.without_expiry:,}",
            10,
            ">",
        ),
        Column("ttl_s", "TTL P50", lambda row: plain(row.ttl_s), _median_ttl, 8, ">"),
        Column(
            "size_bytes",
            "SIZE P50 P99",
            lambda row: plain(row.size_bytes),
            lambda row: f"{format_size(row.size_bytes.p50)} {format_size(row.size_bytes.p99)}",
            20,
            ">",
            shown=False,
        ),
        Column(
            "types",
            "TYPES",
            lambda row: plain(row.types),
            lambda row: " ".join(f"{name}={count:,}" for name, count in row.types.items()),
            24,
            shown=False,
        ),
        Column(
            "biggest",
            "BIGGEST",
            lambda row: plain(row.biggest),
            lambda row: f"{format_size(row.biggest.memory_bytes)} {row.biggest.key}",
            shown=False,
        ),
    )


def _half(row: NamespaceStats) -> float | None:
    """Return half the width of the interval for the memory, by the memory."""
    if row.ci95 is None or not row.memory_bytes:
        return None
    low, high = row.ci95.memory_bytes
    return (high - low) / 2 / row.memory_bytes


# What --sort compares in a column that is no single figure.
_ORDERS: Layout[NamespaceStats] = Layout(
    Column("name", "", lambda row: row.name),
    Column("keys", "", lambda row: row.keys),
    Column("memory_bytes", "", lambda row: row.memory_bytes),
    Column("ci95", "", _half),
    Column("share", "", lambda row: row.share),
    Column("without_expiry", "", lambda row: row.without_expiry),
    Column("ttl_s", "", lambda row: row.ttl_s.p50 if row.ttl_s else None),
    Column("size_bytes", "", lambda row: row.size_bytes.p50),
    Column("types", "", lambda row: next(iter(row.types), "")),
    Column("biggest", "", lambda row: row.biggest.memory_bytes),
)


@app.command(cls=Command)
def stats(
    ctx: typer.Context,
    exact: Annotated[bool, typer.Option("--exact", help="Ask every key.")] = False,
    sample: Annotated[
        bool, typer.Option("--sample", help="Estimate; the default above 100,000 keys.")
    ] = False,
    against: Annotated[
        Path | None,
        typer.Option("--against", metavar="FILE", help="Compare with an earlier -o json result."),
    ] = None,
    biggest: Annotated[
        int, typer.Option("--biggest", min=1, max=1000, help="How many of the biggest keys.")
    ] = 5,
    impact: ImpactOption = Impact.MAX,
    fields: Fields = None,
    sort: Sort = None,
    limit: Limit = None,
) -> None:
    """Count keys, memory and TTLs by namespace."""
    from valkeyctl.ops.keyspace.counting.stats import stats as count

    if exact and sample:
        raise UsageError("--exact and --sample exclude each other", hint="Give one of them")
    order = _ORDERS.order(sort)
    layout(sampled=False).choose(fields)
    endpoint, name = target.endpoint(ctx), target.app_filter(ctx)
    earlier = None
    if against is not None:
        from valkeyctl.ops.keyspace.counting.against import read_earlier

        earlier = read_earlier(against, name)
    with progress(ctx, "counting") as report:
        found = count(
            endpoint,
            name,
            method="exact" if exact else "sample" if sample else "auto",
            biggest=biggest,
            pace=Pace.of(impact),
            progress=lambda share, keys: report(share, f"{keys:,} keys", done=keys),
        )
    target.learn(ctx, name, (one.name for one in found.namespaces))
    changes = None
    if earlier is not None:
        from valkeyctl.ops.keyspace.counting.against import compare

        changes = compare(found, earlier)
    rows = list(found.namespaces)
    if order is not None:
        rows = order.first(rows, len(rows))
    truncated = limit is not None and len(rows) > limit
    shown = replace(found, namespaces=tuple(rows[:limit]))
    _print(ctx, shown, changes, fields, truncated=truncated)


def _print(
    ctx: typer.Context,
    found: KeyspaceStats,
    changes: Sequence[Change] | None,
    fields: str | None,
    *,
    truncated: bool,
) -> None:
    columns = layout(sampled=found.method == "sample").choose(fields)
    output = options(ctx).output
    if output in {Output.JSONL, Output.NAME}:
        rows = [*found.namespaces, *(found.foreign if output is Output.JSONL else ())]
        show_rows(
            ctx,
            columns,
            [rows],
            Asked(),
            under="namespaces",
            name=lambda row: row.name,
        )
        return
    data = plain(found)
    assert isinstance(data, dict)  # noqa: S101 - a dataclass
    data["namespaces"] = [columns.record(row) for row in found.namespaces]
    data["truncated"] = truncated
    if changes is not None:
        data["changes"] = plain(changes)

    def human(console: Console) -> None:
        print_keyspace(console, found, columns, totals=fields is None)
        if changes is not None:
            print_changes(console, changes)

    show(ctx, data, human=human, status="ok" if found.precise else "warn")


def print_keyspace(
    console: Console,
    found: KeyspaceStats,
    columns: Layout[NamespaceStats],
    *,
    totals: bool,
) -> None:
    """Print one line per namespace, foreign keys after them, the total and the biggest keys."""
    rows = [*found.namespaces, *found.foreign]
    if not rows:
        console.print("no keys" if found.app is None else f"no keys of {found.app}")
        return
    columns = columns.within(console.width, rows)
    console.print(columns.heading())
    for line in columns.lines(rows):
        console.print(line)
    if not totals:
        return
    console.print(next(iter(columns.lines([_total_row(found)]))))
    for line in _method_lines(found):
        console.print(line)
    if columns.hidden:
        names = ", ".join(column.name for column in columns.hidden)
        console.print(f"left out for want of room: {names}")
    if found.biggest:
        console.print()
        console.print(f"{'BIGGEST':>10}  {'TYPE':<6}  KEY")
    for key in found.biggest:
        console.print(_key_line(key))


def print_changes(console: Console, changes: Sequence[Change]) -> None:
    """Print what differs from an earlier count."""
    console.print()
    console.print(f"{'SINCE THEN':<26}  {'KEYS':>12}  {'MEMORY':>12}  {'RATIO':>7}  VERDICT")
    for change in changes:
        memory = f"{'-' if change.memory_bytes < 0 else '+'}{format_size(abs(change.memory_bytes))}"
        ratio = "-" if change.memory_ratio is None else f"{change.memory_ratio:.2f}x"
        name = fit(change.name, 26)
        console.print(f"{name}  {change.keys:>+12,}  {memory:>12}  {ratio:>7}  {change.verdict}")


def _total_row(found: KeyspaceStats) -> NamespaceStats:
    """Return the sum as a row of the table; what a sum does not have is not shown there."""
    first = next(iter((*found.namespaces, *found.foreign)))
    return replace(
        first,
        name="total",
        keys=found.total.keys,
        memory_bytes=found.total.memory_bytes,
        share=1.0 if found.total.memory_bytes else 0.0,
        without_expiry=found.total.without_expiry,
        ttl_s=None,
        ci95=found.total.ci95,
    )


def _method_lines(found: KeyspaceStats) -> list[str]:
    if found.method == "exact":
        return ["method: exact, every key was asked"]
    lines = [
        f"method: sample of {found.asked:,} keys, 95 % intervals; --exact asks every key",
    ]
    if found.unseen_bytes:
        lines.append(
            f"The server holds {format_size(found.unseen_bytes)} more than that accounts for, in "
            "keys too rare to be drawn or in uneven collections."
        )
    elif not found.precise:
        lines.append("A namespace of few big keys is off by more than 5 %; --exact counts it.")
    return lines


def _key_line(key: BigKey) -> str:
    shown = fit(key.key, _SHOWN_KEY).rstrip()
    return f"{format_size(key.memory_bytes):>10}  {key.type:<6}  {shown}"


def _half_width(row: NamespaceStats) -> str:
    half = _half(row)
    return "-" if half is None else f"{half:.0%}" if half >= 0.1 else f"{half:.1%}"


def _median_ttl(row: NamespaceStats) -> str:
    return "-" if row.ttl_s is None else format_duration(row.ttl_s.p50)
