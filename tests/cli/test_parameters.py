"""Options that are checked without pydantic are what pydantic would make of them."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import pytest
import typer
from typer.exceptions import TyperException

from valkeyctl.cli.boundary import Command, new_app
from valkeyctl.cli.parameters import PlainArgument, PlainOption
from valkeyctl.errors import UsageError


class Size(StrEnum):
    """Some choices."""

    SMALL = "small"
    LARGE = "large"


got: list[object] = []
app = new_app()


@app.command(cls=Command)
def take(
    words: Annotated[list[str] | None, typer.Argument()] = None,
    count: Annotated[int, typer.Option(min=1, max=9)] = 3,
    share: Annotated[float, typer.Option()] = 0.5,
    size: Annotated[Size, typer.Option()] = Size.SMALL,
    path: Annotated[Path | None, typer.Option()] = None,
    folder: Annotated[Path | None, typer.Option(file_okay=False)] = None,
    flag: Annotated[bool, typer.Option("--flag/--no-flag")] = False,
    tag: Annotated[list[str] | None, typer.Option()] = None,
    most: Annotated[int | None, typer.Option()] = None,
) -> None:
    """Keep what came."""
    got.extend((words, count, share, size, path, folder, flag, tag, most))


def given(*argv: str, plain: bool) -> object:
    """Return what the command gets, or what is wrong with it, with and without our checks."""
    command = typer.main.get_command(app)
    got.clear()
    with pytest.MonkeyPatch.context() as patch:
        if not plain:
            patch.delattr(PlainOption, "process_value")
            patch.delattr(PlainArgument, "process_value")
        try:
            command.main(list(argv), standalone_mode=False)
        except TyperException as error:
            return error.format_message()
    return list(got)


@pytest.mark.parametrize(
    "argv",
    [
        (),
        ("a", "b c"),
        ("--count", "9"),
        ("--count", "+4"),
        ("--count", "0"),
        ("--count", "10"),
        ("--count", "4.0"),
        ("--count", "1_0"),
        ("--count", " 4 "),
        ("--count", "four"),
        ("--count", "٣"),
        ("--count", "9" * 30),
        ("--count", ""),
        ("--share", "2"),
        ("--share", "-1.5e3"),
        ("--share", "nan"),
        ("--share", "inf"),
        ("--share", "1e999"),
        ("--share", ".5"),
        ("--share", "x"),
        ("--size", "large"),
        ("--size", "LARGE"),
        ("--size", "huge"),
        ("--path", "none/such"),
        ("--path", "."),
        ("--path", "-"),
        ("--folder", "."),
        ("--folder", __file__),
        ("--flag",),
        ("--no-flag",),
        ("--tag", "a", "--tag", "b"),
        ("--most", "7"),
        ("--most", "-7"),
    ],
)
def test_a_value_is_what_typer_would_make_of_it(argv: tuple[str, ...]) -> None:
    """And what is wrong is said in typer's words."""
    # By repr: a float that is no number equals nothing.
    assert repr(given(*argv, plain=True)) == repr(given(*argv, plain=False))


def test_an_empty_path_is_not_the_working_folder() -> None:
    """`--path "$UNSET"` in a script names nothing."""
    with pytest.raises(UsageError, match="--path is empty"):
        given("--path", "", plain=True)
