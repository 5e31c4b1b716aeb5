"""The table that shell completion answers from, made from the commands themselves.

``python -m valkeyctl.cli.completion_table > valkeyctl/cli/completion.tsv`` renews it
(`make docs` does); a test compares it with the commands. Its lines::

    $ keys flush    Empty a namespace ...               a command and its help
    -y --yes        flag        -     Do not ask.       an option: names, form, traits, help
    NAMESPACE       namespace   -     The namespace ... an argument

The forms are ``flag``, ``text``, ``path``, ``profile``, ``namespace``, and ``one of`` with the
values there are; the traits ``many`` (may be given again) and ``hidden``. The options
that every command takes stand once, under ``$ *``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from typer.core import TyperArgument, TyperGroup, TyperOption

from valkeyctl.cli.boundary import root
from valkeyctl.cli.options import global_options
from valkeyctl.cli.reference import command_paths

if TYPE_CHECKING:
    from typer._click import Command as ClickCommand


def table() -> str:
    """Return the table."""
    names = {option.name for option in global_options(hidden=False)}
    lines = ["$ *\tOptions of every command."]
    lines += [_line(option) for option in global_options(hidden=False)]
    for path in command_paths():
        text, params = _params(path)
        lines.append(f"$ {' '.join(path)}".rstrip() + f"\t{_sentence(text)}")
        lines += [_line(param) for param in params if param.name not in names]
    return "\n".join(lines) + "\n"


def _params(path: list[str]) -> tuple[str | None, list[TyperOption | TyperArgument]]:
    """Return the help of the command at *path*, and what it takes."""
    command: ClickCommand = typer.main.get_command(root())
    ctx = command.make_context("valkeyctl", [], resilient_parsing=True)
    for name in path:
        assert isinstance(command, TyperGroup)  # noqa: S101 - command_paths names commands
        found = command.get_command(ctx, name)
        assert found is not None  # noqa: S101 - as above
        command, ctx = found, found.make_context(name, [], parent=ctx, resilient_parsing=True)
    params = command.get_params(ctx)
    return command.help, [one for one in params if isinstance(one, (TyperOption, TyperArgument))]


def _line(param: TyperOption | TyperArgument) -> str:
    if isinstance(param, TyperOption):
        names = " ".join(sorted([*param.opts, *param.secondary_opts], key=len))
        hidden = param.hidden
    else:
        names, hidden = param.display_name_raw.upper().replace(" ", "-"), False
    many = param.multiple or param.nargs == -1
    traits = [word for word, holds in (("many", many), ("hidden", hidden)) if holds]
    return "\t".join((names, _form(param), " ".join(traits) or "-", _sentence(param.help)))


def _form(param: TyperOption | TyperArgument) -> str:
    described = param.type_descriptor
    if isinstance(param, TyperOption) and (param.is_flag or param.count):
        return "flag"
    if described.choices is not None:
        return " ".join(["one of", *(str(choice) for choice in described.choices)])
    if param.name == "namespace":
        return "namespace"
    if param.name == "profile" or (param.metavar or "").startswith("NAME|PATH"):
        return "profile"
    of_paths = described.annotation is Path or described.annotation == list[Path]
    return "path" if described.is_path or of_paths else "text"


def _sentence(text: str | None) -> str:
    """Return the first paragraph of a help text, on one line."""
    return " ".join((text or "").split("\n\n")[0].split())


if __name__ == "__main__":
    sys.stdout.write(table())
