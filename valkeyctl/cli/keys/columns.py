"""The columns of a listing: declared once, for the table, JSON, ``--fields`` and ``--sort``.

::

    LAYOUT = Layout(
        Column("type", "TYPE", lambda row: row.type, width=7),
        Column("memory_bytes", "SIZE", lambda row: row.memory_bytes,
               text=lambda row: format_size(row.memory_bytes), width=10, align=">"),
        Column("key", "KEY", lambda row: row.display),
    )

`rows.show_rows` prints with it. The classes are tuples: a frozen dataclass takes ten
times as long to define, and each verb waits for it.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Annotated, Generic, Literal, NamedTuple, TypeVar

import typer

from valkeyctl.cli.output import Plain
from valkeyctl.errors import UsageError

Fields = Annotated[
    str | None,
    typer.Option("--fields", metavar="NAME,...", help="Only these columns, in this order."),
]
Sort = Annotated[
    str | None,
    typer.Option("--sort", metavar="NAME", help="Sort by a column; -NAME or NAME:desc downwards."),
]
Limit = Annotated[
    int | None,
    typer.Option("--limit", min=1, help="At most so many; 1,000 with --sort or -o json."),
]
Row = TypeVar("Row")
_GAP = "  "


class Column(NamedTuple, Generic[Row]):
    """One column of a listing.

    Attributes:
        name: What ``--fields``, ``--sort`` and JSON call it, its unit included: ``ttl_s``.
        title: Its heading in the table.
        value: What JSON carries and ``--sort`` compares; of one type in all rows, or None,
            which is sorted last.
        text: What a person reads; the value itself where it is None, and ``-`` for no value.
        width: Characters in the table, longer text is cut; 0 for free text of any length,
            which is printed last.
        align: To which side.
        shown: Whether the table has it when the user names no columns.
        rank: What ``--sort`` compares, where the value is no single figure.
    """

    name: str
    title: str
    value: Callable[[Row], Plain]
    text: Callable[[Row], str] | None = None
    width: int = 0
    align: Literal["<", ">"] = "<"
    shown: bool = True
    rank: Callable[[Row], Plain] | None = None

    def cell(self, row: Row) -> str:
        """Return what a person reads of *row*."""
        if self.text is not None:
            return self.text(row)
        value = self.value(row)
        return "-" if value is None else str(value)


class Layout(Generic[Row]):
    """The columns of one listing, in their order.

    Args:
        columns: At least one, each name once.

    Attributes:
        hidden: Columns for which `within` has found no room.
    """

    def __init__(self, *columns: Column[Row]) -> None:
        self.columns = columns
        self.hidden: tuple[Column[Row], ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Return what the columns are called."""
        return tuple(column.name for column in self.columns)

    def column(self, name: str, option: str) -> Column[Row]:
        """Return the column called *name*.

        Raises:
            UsageError: There is none; the sentence names *option*, the hint all columns.
        """
        for column in self.columns:
            if column.name == name:
                return column
        what = f"there is no column {name}" if name else "a column's name is empty"
        raise UsageError(f"{option}: {what}", hint=f"Choose from: {', '.join(self.names)}")

    def choose(self, fields: str | None) -> Layout[Row]:
        """Return the layout of the columns that *fields* names, with commas between them.

        Raises:
            UsageError: There is no column of that name.
        """
        if fields is None:
            return self
        names = dict.fromkeys(name.strip() for name in fields.split(","))
        return _Chosen(*(self.column(name, "--fields") for name in names))

    def order(self, sort: str | None) -> Order[Row] | None:
        """Return the order that *sort* asks for, such as ``ttl_s``, ``-ttl_s``, ``ttl_s:desc``.

        Raises:
            UsageError: There is no column of that name, or no such direction.
        """
        if sort is None:
            return None
        name, colon, direction = sort.partition(":")
        if colon and direction not in {"asc", "desc"}:
            raise UsageError(
                f"--sort: there is no direction {direction or 'of that name'}",
                hint="Write NAME:asc or NAME:desc",
            )
        down = name.startswith("-") or direction == "desc"
        column = self.column(name.removeprefix("-"), "--sort")
        return Order(column.rank or column.value, down)

    def record(self, row: Row) -> dict[str, Plain]:
        """Return *row* for programs."""
        return {column.name: column.value(row) for column in self.columns}

    def heading(self) -> str:
        """Return the first line of the table."""
        columns = self._table()
        titles = [fit(column.title, column.width, column.align) for column in columns]
        return _GAP.join(titles).rstrip()

    def lines(self, rows: Iterable[Row]) -> Iterator[str]:
        """Return one line of the table per row."""
        plan = [(column.cell, column.width, column.align) for column in self._table()]
        for row in rows:
            yield _GAP.join([fit(cell(row), width, align) for cell, width, align in plan]).rstrip()

    def within(self, width: int, rows: Sequence[Row]) -> Layout[Row]:
        """Return the layout of a table of *rows* that is no wider than *width* characters.

        The first column, the rows' names, becomes as wide as they are where there is room.
        Where there is too little, it keeps its width and columns are left out from the end,
        but none that the user has named.
        """
        shown = self._table()
        first, *others = shown
        if not isinstance(self, _Chosen):
            while others and _breadth([first, *others]) > width:
                others.pop()
        room = width - _breadth([first, *others])
        widest = max((cells(first.cell(row)) for row in rows), default=0)
        wide = first._replace(width=max(first.width, min(widest, first.width + max(0, room))))
        kept = _Chosen(wide, *others) if first.width else _Chosen(first, *others)
        kept.hidden = tuple(column for column in shown[1:] if column not in others)
        return kept

    def _table(self) -> list[Column[Row]]:
        """Return the columns of the table, those of free width last."""
        return sorted(self._visible(), key=lambda column: column.width == 0)

    def _visible(self) -> list[Column[Row]]:
        return [column for column in self.columns if column.shown]


class _Chosen(Layout[Row]):
    """Columns that the user named: the table has them all."""

    def _visible(self) -> list[Column[Row]]:
        return list(self.columns)


class Order(NamedTuple, Generic[Row]):
    """An order of rows; those without a value are last, whatever the direction."""

    value: Callable[[Row], Plain]
    down: bool = False

    def first(self, rows: Iterable[Row], count: int) -> list[Row]:
        """Return the first *count* of *rows*, holding no more of them in memory."""
        pick = heapq.nlargest if self.down else heapq.nsmallest

        def key(row: Row) -> tuple[bool, Plain]:
            value = self.value(row)
            return (value is None) is not self.down, value

        return pick(count, rows, key=key)


def _breadth(columns: Sequence[Column[Row]]) -> int:
    return sum(column.width for column in columns) + len(_GAP) * (len(columns) - 1)


def fit(text: str, width: int, align: str = "<") -> str:
    """Return *text* in exactly *width* terminal cells, cut or filled up; 0 leaves it alone."""
    if not width:
        return text
    if text.isascii():
        if len(text) > width:
            return text[: width - 1] + "…"
        return text.rjust(width) if align == ">" else text.ljust(width)
    return _fit_wide(text, width, align)


def cells(text: str) -> int:
    """Return how many cells of a terminal *text* takes."""
    return len(text) if text.isascii() else sum(_cell_sizes(text))


def _cell_sizes(text: str) -> Iterator[int]:
    """Yield the cells that each character takes; some take two, others none."""
    from unicodedata import combining, east_asian_width  # only for what is not ASCII

    for character in text:
        yield 0 if combining(character) else 2 if east_asian_width(character) in "WF" else 1


def _fit_wide(text: str, width: int, align: str) -> str:
    """Return *text* in *width* terminal cells."""
    kept, used, whole = 0, 0, 0
    for number, size in enumerate(_cell_sizes(text), 1):
        whole += size
        if whole <= width - 1:
            kept, used = number, whole
    if whole > width:
        text, whole = text[:kept] + "…", used + 1
    space = " " * (width - whole)
    return space + text if align == ">" else text + space
