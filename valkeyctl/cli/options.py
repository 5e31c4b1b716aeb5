"""The options that every command takes, before and after its name."""

from __future__ import annotations

import copy
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NamedTuple

import typer
from typer.core import TyperOption

_META = "valkeyctl.options"
_OUTPUT_HELP = "How results are printed: table, json, yaml, jsonl or name."


Namespace = Annotated[
    str | None, typer.Option("--namespace", "-n", metavar="NAME", help="Only this namespace.")
]


class Output(StrEnum):
    """How a result is printed on standard output."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"
    JSONL = "jsonl"
    NAME = "name"


class Options(NamedTuple):
    """What the user said for every command; None where nothing was said."""

    profile: str | None = None
    url: str | None = None
    cacert: Path | None = None
    client_cert: Path | None = None
    client_key: Path | None = None
    app: str | None = None
    output: Output = Output.TABLE
    state_dir: Path | None = None
    quiet: bool = False
    verbose: bool = False


def _carrier() -> list[TyperOption]:
    """Return the options as typer builds them, from one declaration."""
    app = typer.Typer(add_completion=False)

    @app.command()
    def _declare(
        profile: Annotated[
            str | None,
            typer.Option("--profile", "-p", metavar="NAME|PATH", help="Profile to work with."),
        ] = None,
        url: Annotated[
            str | None, typer.Option("--url", metavar="URL", help="Server to work with.")
        ] = None,
        cacert: Annotated[
            Path | None, typer.Option("--cacert", metavar="FILE", help="CA to trust, with TLS.")
        ] = None,
        client_cert: Annotated[
            Path | None,
            typer.Option("--client-cert", metavar="FILE", help="Certificate to show, with TLS."),
        ] = None,
        client_key: Annotated[
            Path | None, typer.Option("--client-key", metavar="FILE", help="Its private key.")
        ] = None,
        app: Annotated[
            str | None, typer.Option("--app", metavar="NAME", help="First part of every key.")
        ] = None,
        output: Annotated[
            Output | None, typer.Option("--output", "-o", metavar="FORMAT", help=_OUTPUT_HELP)
        ] = None,
        state_dir: Annotated[
            Path | None, typer.Option("--state-dir", metavar="DIR", help="Where our files live.")
        ] = None,
        quiet: Annotated[
            bool | None, typer.Option("--quiet", "-q", help="Results and errors only.")
        ] = None,
        verbose: Annotated[
            bool | None, typer.Option("--verbose", "-v", help="Say more on standard error.")
        ] = None,
    ) -> None:
        """Carry the declarations; never called."""

    command = typer.main.get_command(app)
    return [param for param in command.params if isinstance(param, TyperOption)]


_CARRIED: list[TyperOption] = []


def global_options(*, hidden: bool) -> list[TyperOption]:
    """Return fresh copies of the options; hidden below the top level, where one line names them."""
    if not _CARRIED:
        _CARRIED.extend(option for option in _carrier() if option.name in _NAMES)
    options = [copy.copy(option) for option in _CARRIED]
    for option in options:
        option.hidden = hidden
    return options


_NAMES = frozenset(Options._fields)


def take_options(ctx: typer.Context) -> None:
    """Move the global options out of the context's parameters into its shared store."""
    given = {name: ctx.params.pop(name) for name in _NAMES if name in ctx.params}
    said = {name: value for name, value in given.items() if value is not None}
    ctx.meta[_META] = options(ctx)._replace(**said)


def options(ctx: typer.Context) -> Options:
    """Return what the user said; what stands nearer to the command wins."""
    found = ctx.meta.get(_META, Options())
    assert isinstance(found, Options)  # noqa: S101 - only take_options writes it
    return found
