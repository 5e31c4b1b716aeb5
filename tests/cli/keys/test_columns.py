"""Columns: declared once, chosen by name, sorted, and never wider than they said."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from valkeyctl.cli.keys.columns import Column, Layout
from valkeyctl.errors import UsageError


@dataclass(frozen=True)
class Fruit:
    """A row."""

    name: str
    grams: int | None
    note: str = ""


LAYOUT: Layout[Fruit] = Layout(
    Column("name", "NAME", lambda row: row.name, width=6),
    Column("note", "NOTE", lambda row: row.note),
    Column("grams", "WEIGHT", lambda row: row.grams, width=7, align=">"),
    Column("length", "LENGTH", lambda row: len(row.name), width=6, shown=False),
)
FRUITS = [Fruit("pear", 170), Fruit("fig", None), Fruit("melon", 1500), Fruit("date", 8)]


def sorted_names(sort: str, count: int = 9) -> list[str]:
    """Return the names of the fruits in the order that *sort* asks for."""
    order = LAYOUT.order(sort)
    assert order is not None
    return [row.name for row in order.first(iter(FRUITS), count)]


def test_a_table_has_the_free_column_last_and_cuts_the_others() -> None:
    """So that no long value moves another column."""
    row = Fruit("pineapple", 900, "a very long note, which nobody cuts")

    assert LAYOUT.heading() == "NAME     WEIGHT  NOTE"
    assert list(LAYOUT.lines([row])) == ["pinea…      900  a very long note, which nobody cuts"]
    assert list(LAYOUT.lines([Fruit("fig", None)])) == ["fig           -"]


@pytest.mark.parametrize(
    ("name", "cell"),
    [("日本", "日本  "), ("日本語日本語", "日本… "), ("e\u0301te", "e\u0301te   ")],
)
def test_a_cell_is_as_wide_as_a_terminal_draws_it(name: str, cell: str) -> None:
    """Characters of two cells, and accents of none."""
    assert next(iter(LAYOUT.lines([Fruit(name, 1)]))) == f"{cell}        1"


def test_chosen_columns_come_in_the_order_asked_for() -> None:
    """In JSON; a table has those that it hides otherwise, and the free one last."""
    chosen = LAYOUT.choose("note, length,name")

    assert chosen.names == ("note", "length", "name")
    assert list(chosen.record(FRUITS[0])) == ["note", "length", "name"]
    assert chosen.heading() == "LENGTH  NAME    NOTE"


@pytest.mark.parametrize("fields", ["nmae", "name,", "", "name,,grams", "NAME"])
def test_a_column_that_is_not_there_is_answered_with_those_that_are(fields: str) -> None:
    """In one sentence."""
    with pytest.raises(UsageError, match="--fields") as caught:
        LAYOUT.choose(fields)

    assert caught.value.hint == "Choose from: name, note, grams, length"


def test_rows_without_a_value_are_last_in_both_directions() -> None:
    """Equal ones stay as they came."""
    assert sorted_names("grams") == ["date", "pear", "melon", "fig"]
    assert sorted_names("-grams") == ["melon", "pear", "date", "fig"]
    assert sorted_names("grams:desc", 2) == ["melon", "pear"]
    assert sorted_names("length") == ["fig", "pear", "date", "melon"]
    assert sorted_names("-length:asc") == ["melon", "pear", "date", "fig"]


@pytest.mark.parametrize("sort", ["weight", "", "-", "grams:down", "grams:"])
def test_an_order_that_is_not_there_is_refused(sort: str) -> None:
    """With what may be asked for."""
    with pytest.raises(UsageError, match="--sort") as caught:
        LAYOUT.order(sort)

    assert caught.value.hint


def test_a_column_may_be_ranked_by_something_else_than_it_carries() -> None:
    """Such as a median of what JSON has in full."""
    layout: Layout[Fruit] = Layout(
        Column("name", "NAME", lambda row: [row.name], rank=lambda row: row.name[::-1])
    )
    order = layout.order("name")

    assert order is not None
    assert [row.name for row in order.first(FRUITS, 2)] == ["date", "fig"]


def test_names_are_as_wide_as_they_are_where_there_is_room() -> None:
    """No wider than the room, and the column keeps its width where there is none."""
    rows = [Fruit("pineapple", 900), Fruit("fig", 1)]
    layout: Layout[Fruit] = Layout(*(LAYOUT.columns[0], LAYOUT.columns[2]))

    assert next(iter(layout.within(80, rows).lines(rows))) == "pineapple      900"
    assert next(iter(layout.within(17, rows).lines(rows))) == "pineapp…      900"
    assert next(iter(layout.within(15, rows).lines(rows))) == "pinea…      900"


def test_columns_are_left_out_from_the_end_for_want_of_room() -> None:
    """But none that the user has named."""
    layout: Layout[Fruit] = Layout(*(LAYOUT.columns[0], LAYOUT.columns[2]))

    narrow = layout.within(14, FRUITS)

    assert (narrow.names, [one.name for one in narrow.hidden]) == (("name",), ["grams"])
    assert layout.choose("name,grams").within(5, FRUITS).names == ("name", "grams")
