"""A listing of any length: at once, in bounded memory, in every form."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Annotated

import pytest
import typer

from tests.cli.conftest import Done
from valkeyctl.cli.boundary import Command, new_app
from valkeyctl.cli.keys.columns import Column, Fields, Layout, Limit, Sort
from valkeyctl.cli.keys.rows import (
    MOST_IN_ONE,
    MOST_SORTED,
    Asked,
    _glance,
    paged,
    show_rows,
)

List = Callable[..., Done]
LAYOUT: Layout[int] = Layout(
    Column("number", "NUMBER", lambda row: row, width=6, align=">"),
    Column("word", "WORD", lambda row: f"n{row}"),
)
app = new_app()
taken: list[int] = []


def numbers(count: int) -> Iterator[list[int]]:
    """Return pages of ten, and note which rows were asked for."""
    for first in range(0, count, 10):
        taken.extend(range(first, min(first + 10, count)))
        yield list(range(first, min(first + 10, count)))


@app.command(cls=Command)
def listing(
    ctx: typer.Context,
    count: Annotated[int, typer.Argument()],
    fields: Fields = None,
    sort: Sort = None,
    limit: Limit = None,
) -> None:
    """List numbers."""
    asked = Asked(fields, sort, limit)
    show_rows(
        ctx,
        LAYOUT,
        numbers(count),
        asked,
        under="numbers",
        name=lambda row: f"name-{row}",
        more=lambda: {"taken": len(taken)},
    )


@pytest.fixture
def ls(capsys: pytest.CaptureFixture[str]) -> List:
    """Run the listing; what is wrong is in err."""
    taken.clear()

    def call(*argv: str) -> Done:
        from valkeyctl.errors import UsageError

        status = 0
        try:
            typer.main.get_command(app).main(list(argv), standalone_mode=False)
        except UsageError as error:
            status = error.exit_code
        captured = capsys.readouterr()
        return Done(status, captured.out, captured.err)

    return call


def test_a_table_has_a_heading_and_a_line_a_row(ls: List) -> None:
    """No more rows are asked for than are printed."""
    done = ls("100", "--limit", "12")

    assert done.out.splitlines()[:2] == ["NUMBER  WORD", "     0  n0"]
    assert len(done.out.splitlines()) == 13
    assert len(taken) == 20


def test_json_stops_at_a_limit_and_says_so(ls: List) -> None:
    """A thousand, or what was asked for; with what the command adds."""
    default, asked, whole = ls("1001", "-o", "json"), ls("3", "--limit=2", "-o", "json"), None
    whole = ls("1000", "-o", "json")

    assert len(default.data["numbers"]) == 1000  # type: ignore[arg-type]
    assert default.data["truncated"] is True
    assert asked.data["numbers"] == [{"number": 0, "word": "n0"}, {"number": 1, "word": "n1"}]
    assert asked.data["truncated"] is True
    assert whole.data["truncated"] is False
    assert list(whole.data) == ["numbers", "truncated", "taken"]


def test_a_sorted_listing_is_the_first_of_all_and_says_so(ls: List) -> None:
    """Every row is looked at, no more than the limit is kept."""
    table = ls("50", "--sort", "-number", "--limit", "2", "--fields", "number")
    lines = ls("50", "--sort", "number:desc", "--limit", "2", "-o", "jsonl")
    one = ls("50", "--sort", "-number", "--limit", "2", "-o", "json")

    assert table.out.split() == ["NUMBER", "49", "48"]
    assert table.err == "the first 2 of 50 rows; --limit takes more\n"
    assert [json.loads(line)["number"] for line in lines.out.splitlines()] == [49, 48]
    assert one.data["truncated"] is True


@pytest.mark.parametrize(
    "argv",
    [
        ("--sort", "number", "--limit", str(MOST_SORTED + 1)),
        ("-o", "yaml", "--limit", str(MOST_IN_ONE + 1)),
        ("-o", "json", "--sort", "number", "--limit", str(MOST_IN_ONE + 1)),
    ],
)
def test_what_would_not_fit_in_memory_is_refused(ls: List, argv: tuple[str, ...]) -> None:
    """Before the first row is asked for."""
    assert ls("50", *argv).status == 2
    assert not taken


def test_what_fits_is_not_refused(ls: List) -> None:
    """To the last row, and any number of them where nothing is kept."""
    assert ls("50", "--sort", "number", "--limit", str(MOST_SORTED)).status == 0
    assert ls("50", "-o", "json", "--limit", str(MOST_IN_ONE)).status == 0
    assert ls("50", "-o", "jsonl", "--limit", "1000000").status == 0


@pytest.mark.parametrize("option", ["--fields", "--sort"])
def test_a_wrong_column_is_told_before_the_server_is_asked(ls: List, option: str) -> None:
    """Nobody waits for a mistake."""
    assert ls("50", option, "nonsense").status == 2
    assert not taken


def test_lines_are_the_same_however_many_there_are(ls: List) -> None:
    """The quick writer takes over in the middle."""
    lines = ls("5000", "-o", "jsonl").out.splitlines()

    assert lines == [f'{{"number":{n},"word":"n{n}"}}' for n in range(5000)]


def test_names_are_one_a_line(ls: List) -> None:
    """For -o name."""
    assert ls("3", "-o", "name").out == "name-0\nname-1\nname-2\n"


def test_nothing_found_is_said_beside_the_result(ls: List) -> None:
    """Standard output stays empty for a script that counts lines."""
    done = ls("0")

    assert (done.out, done.err) == ("", "no numbers\n")
    assert ls("0", "-o", "json").data["numbers"] == []


def test_rows_without_pages_are_seen_soon() -> None:
    """The first at once, the others in pages that do not wait; none is lost."""
    clock = iter(range(0, 10**6, 1))
    still = list(paged(range(2500), lambda: 0.0))
    slow = list(paged(range(4), lambda: next(clock) * 0.04))

    assert [len(page) for page in still] == [1, 1000, 1000, 499]
    assert slow == [[0], [1, 2], [3]]
    assert list(paged([])) == []


def test_a_line_at_a_terminal_has_an_end() -> None:
    """A foreign key may have megabytes, and none of ours is cut."""
    ours, foreign = " " * 80 + "k" * 512, "k" * 1_000_000

    assert _glance(ours) == ours
    assert len(ours) < len(_glance(foreign)) < 1000
    assert _glance(foreign).endswith("k…")
