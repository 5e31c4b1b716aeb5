"""A listing of any length, in every form that a user can ask for."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import NamedTuple, TypeVar

import typer

from valkeyctl.cli.keys.columns import Layout
from valkeyctl.cli.options import Output, options
from valkeyctl.cli.output import Plain, plain, say, show
from valkeyctl.errors import UsageError
from valkeyctl.units import several

Row = TypeVar("Row")
DEFAULT_LIMIT = 1000
# What may be held in memory before anything is printed: below 100 MB, whatever the keyspace.
MOST_SORTED = 50_000
MOST_IN_ONE = 20_000
_PAGE = 1000
_PATIENCE = 0.05  # seconds that a row may wait for those after it
# Characters of a line at a terminal: the longest key of ours fits, with its columns.
_LONGEST_LINE = 640
# From here on it pays to import msgspec, which writes JSON ten times as fast.
_FEW_ROWS = 2000


class Asked(NamedTuple):
    """What of a listing the user asked for, as the options were given."""

    fields: str | None = None
    sort: str | None = None
    limit: int | None = None


def show_rows(
    ctx: typer.Context,
    layout: Layout[Row],
    pages: Iterable[Sequence[Row]],
    asked: Asked,
    *,
    under: str,
    name: Callable[[Row], str],
    more: Callable[[], Mapping[str, object]] | None = None,
) -> int:
    """Print the rows as they come, or sorted, and return how many were printed.

    Each page is printed as soon as it is there, so *pages* should end a page where it
    waits for the server. JSON and YAML are one envelope, and so, like a sorted listing,
    stop at a limit; its ``truncated`` says whether there was more.

    Args:
        ctx: The command's context.
        layout: The columns there are.
        pages: The rows; nothing is taken from it before the options are checked.
        asked: What the user asked for.
        under: Where the envelope has the rows, such as ``keys``.
        name: What ``-o name`` prints of a row.
        more: What else the envelope's data carries, asked for after the last row.

    Raises:
        UsageError: There is no such column, or too many rows are to be sorted.
    """
    order, chosen = layout.order(asked.sort), layout.choose(asked.fields)
    output = options(ctx).output
    one_object = output in {Output.JSON, Output.YAML}
    limit = asked.limit
    if order is not None or one_object:
        limit = limit or DEFAULT_LIMIT
    truncated = False
    _check(limit, order is not None, one_object)
    if order is not None and limit is not None:
        count = _Count()
        first = order.first(count.over(chain.from_iterable(pages)), limit)
        truncated = count.seen > limit
        pages = [first]
        if truncated and not one_object:
            say(ctx, f"the first {limit:,} of {several(count.seen, 'row')}; --limit takes more")
    if one_object:
        assert limit is not None  # noqa: S101 - set above
        kept = list(islice(chain.from_iterable(pages), limit + 1))
        data: dict[str, object] = {
            under: [chosen.record(row) for row in kept[:limit]],
            "truncated": truncated or len(kept) > limit,
        }
        show(ctx, data | dict(more() if more else {}), human=lambda _: None)
        return min(len(kept), limit)
    write = {Output.JSONL: _json_writer(chosen), Output.NAME: _name_writer(name)}.get(
        output, _table_writer(chosen)
    )
    printed = 0
    for page in _at_most(pages, limit):
        write(page, printed)
        printed += len(page)
    if output is Output.TABLE and not printed:
        say(ctx, f"no {under}")
    return printed


def _check(limit: int | None, is_sorted: bool, one_object: bool) -> None:
    """Refuse more rows than fit into memory, before the first is asked for."""
    what, most = ("--sort", MOST_SORTED) if is_sorted else ("one object", MOST_IN_ONE)
    if one_object:
        most = MOST_IN_ONE
    if (is_sorted or one_object) and limit is not None and limit > most:
        raise UsageError(
            f"{what} takes a --limit of at most {most:,} rows, not {limit:,}",
            hint="Take them as they come, any number of them: -o jsonl, without --sort",
        )


class _Count:
    """How many rows went by."""

    def __init__(self) -> None:
        self.seen = 0

    def over(self, rows: Iterable[Row]) -> Iterator[Row]:
        for row in rows:
            self.seen += 1
            yield row


def _at_most(pages: Iterable[Sequence[Row]], limit: int | None) -> Iterator[Sequence[Row]]:
    """Return pages of no more than *limit* rows in all, and none after the last needed one."""
    left = limit
    for page in pages:
        if left is not None and len(page) >= left:
            yield page[:left]
            return
        if left is not None:
            left -= len(page)
        if page:
            yield page


def _table_writer(layout: Layout[Row]) -> Callable[[Sequence[Row], int], None]:
    at_terminal = sys.stdout.isatty()

    def write(page: Sequence[Row], before: int) -> None:
        if not before:
            sys.stdout.write(layout.heading() + "\n")
        lines = layout.lines(page)
        _put(map(_glance, lines) if at_terminal else lines)

    return write


def _glance(line: str) -> str:
    """Return as much of *line* as a person reads; a foreign key may have a megabyte."""
    return line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]}…"


def _name_writer(name: Callable[[Row], str]) -> Callable[[Sequence[Row], int], None]:
    def write(page: Sequence[Row], before: int) -> None:
        del before
        _put(map(name, page))

    return write


def _json_writer(layout: Layout[Row]) -> Callable[[Sequence[Row], int], None]:
    quick: Callable[[Iterable[dict[str, Plain]]], bytes] | None = None

    def write(page: Sequence[Row], before: int) -> None:
        nonlocal quick
        if before < _FEW_ROWS:
            _put(_json_line(layout.record(row)) for row in page)
            return
        if quick is None:
            import msgspec  # 8 ms

            quick = msgspec.json.Encoder().encode_lines
        sys.stdout.write(quick([layout.record(row) for row in page]).decode())
        sys.stdout.flush()

    return write


def _json_line(record: Mapping[str, Plain]) -> str:
    return json.dumps(plain(record), ensure_ascii=False, separators=(",", ":"))


def _put(lines: Iterable[str]) -> None:
    sys.stdout.write("".join([f"{line}\n" for line in lines]))
    sys.stdout.flush()  # a page is what there is to see until the server answers again


def paged(rows: Iterable[Row], clock: Callable[[], float] = time.monotonic) -> Iterator[list[Row]]:
    """Return *rows* in pages, for a source that does not say where it waits.

    The first row is a page of its own, and no page waits long for its last row.
    """
    page: list[Row] = []
    size, began = 1, clock()
    for row in rows:
        page.append(row)
        if len(page) >= size or clock() - began > _PATIENCE:
            yield page
            page, size, began = [], _PAGE, clock()
    if page:
        yield page
