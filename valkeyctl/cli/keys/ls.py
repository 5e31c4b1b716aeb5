"""``valkeyctl keys ls``: keys, as they are found."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Annotated

import typer

from valkeyctl.cli import target
from valkeyctl.cli.boundary import Command, new_app
from valkeyctl.cli.keys.columns import Column, Fields, Layout, Limit, Sort
from valkeyctl.cli.keys.impact import ImpactOption
from valkeyctl.cli.keys.rows import DEFAULT_LIMIT, Asked, show_rows
from valkeyctl.cli.options import Namespace, Output, options
from valkeyctl.cli.output import print_names, say
from valkeyctl.errors import UsageError
from valkeyctl.ops.keyspace.pace import Impact
from valkeyctl.units import format_duration, format_size, parse_size

if TYPE_CHECKING:
    from valkeyctl.ops.keyspace.inspection.listing import KeyRow

app = new_app()
_PASSWORD = re.compile(r"(://[^:@/]*:)[^@]*@")
# The key last, so that no long one breaks the columns.
LAYOUT: Layout[KeyRow] = Layout(
    Column("type", "TYPE", lambda row: row.type, width=6),
    Column(
        "ttl_s",
        "TTL",
        lambda row: row.ttl_s,
        text=lambda row: "-" if row.ttl_s is None else format_duration(row.ttl_s),
        width=8,
        align=">",
    ),
    Column(
        "memory_bytes",
        "SIZE",
        lambda row: row.memory_bytes,
        text=lambda row: format_size(row.memory_bytes),
        width=10,
        align=">",
    ),
    Column("app", "APP", lambda row: row.app, width=16, shown=False),
    Column("namespace", "NAMESPACE", lambda row: row.namespace, width=16, shown=False),
    Column("key", "KEY", lambda row: row.display),
)


@app.command(cls=Command)
def ls(
    ctx: typer.Context,
    pattern: Annotated[
        str | None, typer.Argument(metavar="PATTERN", help="Glob that the whole key matches.")
    ] = None,
    namespace: Namespace = None,
    kind: Annotated[
        str | None, typer.Option("--type", metavar="TYPE", help="Only keys of this type: hash.")
    ] = None,
    no_ttl: Annotated[bool, typer.Option("--no-ttl", help="Only keys that never expire.")] = False,
    min_size: Annotated[
        str | None, typer.Option("--min-size", metavar="SIZE", help="Only keys this large: 1Mi.")
    ] = None,
    fields: Fields = None,
    sort: Sort = None,
    limit: Limit = None,
    after: Annotated[
        str | None, typer.Option("--after", metavar="TOKEN", help="Go on where a page ended.")
    ] = None,
    control: Annotated[
        bool, typer.Option("--control", help="Also the keys that hold versions and leases.")
    ] = False,
    impact: ImpactOption = Impact.MAX,
) -> None:
    """List keys with type, TTL and size, as they are found."""
    from valkeyctl.ops.keyspace.inspection.listing import (
        Filters,
        KeyPages,
        list_keys,
        list_names,
    )
    from valkeyctl.ops.keyspace.scan import Pace
    from valkeyctl.ops.keyspace.scope import Scope

    if sort is not None and after is not None:
        raise UsageError(
            "--sort looks at all keys, so it goes on nowhere", hint="Leave out --after, or --sort"
        )
    filters = Filters(
        scope=Scope(target.app_filter(ctx), namespace, control),
        match=None if pattern is None else pattern.encode("utf-8", "surrogateescape"),
        type=kind,
        without_expiry=no_ttl,
        least_bytes=_size(min_size),
    )
    endpoint, pace = target.endpoint(ctx), Pace.of(impact)
    output = options(ctx).output
    one_object = output in {Output.JSON, Output.YAML}
    whole = sort is None and limit is None and after is None
    if whole and output is Output.NAME and filters == Filters(filters.scope, filters.match):
        LAYOUT.choose(fields)
        for names in list_names(endpoint, filters.scope, filters.match, pace=pace):
            print_names(names)
        return
    by_name = attrgetter("display")
    if sort is not None or (whole and not one_object):
        rows = list_keys(endpoint, filters, pace=pace)
        show_rows(ctx, LAYOUT, rows, Asked(fields, sort, limit), under="keys", name=by_name)
        return
    pages = KeyPages(endpoint, filters, limit=limit or DEFAULT_LIMIT, after=after, pace=pace)
    show_rows(
        ctx,
        LAYOUT,
        pages,
        # The pages keep the limit, and look one key further.
        Asked(fields, limit=(limit or DEFAULT_LIMIT) if one_object else None),
        under="keys",
        name=by_name,
        more=lambda: {"truncated": pages.more, "next": pages.next},
    )
    if pages.next is not None and not one_object:
        command = f"valkeyctl {shlex.join([*_without_after(sys.argv[1:]), '--after', pages.next])}"
        say(ctx, f"there are more: {command}")
    elif pages.more and not one_object:
        say(ctx, "there are more; without INFO, which this user may not ask, no page follows")


def _size(text: str | None) -> int:
    if text is None:
        return 0
    try:
        return parse_size(text)
    except ValueError as error:
        raise UsageError(f"--min-size: {error}") from error


def _without_after(words: Sequence[str]) -> list[str]:
    """Return a command line without the page that it asked for, and without a password."""
    kept: list[str] = []
    skip = False
    for word in words:
        if skip:
            skip = False
        elif word == "--after":
            skip = True
        elif not word.startswith("--after="):
            kept.append(_PASSWORD.sub(r"\1***@", word))
    return kept
