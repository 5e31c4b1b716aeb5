"""Where commands are found, and where every failure becomes text and a status."""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from importlib import import_module
from types import FrameType
from typing import TYPE_CHECKING, ClassVar, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup
from typer.exceptions import TyperException

from valkeyctl import __version__
from valkeyctl.cli.commands import COMMANDS, Entry
from valkeyctl.cli.options import global_options, take_options
from valkeyctl.cli.parameters import plainly
from valkeyctl.errors import (
    FolderError,
    InterruptedRunError,
    MissingError,
    UsageError,
    ValkeyctlError,
)

if TYPE_CHECKING:
    from typer._click import Command as ClickCommand
    from typer._click import HelpFormatter, Parameter

# A full disk, a spent quota or a file that may grow no more, behind a redirection.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# Packages that come with an extra, and which one: a plain installation has none of them.
_EXTRAS = {
    "fastapi": "gateway",
    "httpx": "gateway",
    "prometheus_client": "gateway",
    "pydantic_settings": "gateway",
    "starlette": "gateway",
    "uvicorn": "gateway",
    "gevent": "bench",
    "jinja2": "bench",
    "locust": "bench",
    "numpy": "bench",
}
_EPILOG = (
    "Also here: -p/--profile, --url, --cacert, --client-cert, --client-key, --app, "
    "-o/--output, --state-dir, -q, -v."
)


class Command(TyperCommand):
    """A command that also takes the global options."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        kwargs.setdefault("epilog", None)
        kwargs["epilog"] = kwargs["epilog"] or _EPILOG
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]  # passed on as they came
        self.params.extend(global_options(hidden=True))

    def get_params(self, ctx: typer.Context) -> list[Parameter]:  # type: ignore[override]  # typer's own Context
        """Return all options and arguments, typer's own (help, completion) included."""
        return plainly(super().get_params(ctx))

    def invoke(self, ctx: typer.Context) -> object:  # type: ignore[override]  # typer's own Context
        """Run the command without the global options among its arguments."""
        take_options(ctx)
        return super().invoke(ctx)


class Group(TyperGroup):
    """A noun with verbs below it, which also takes the global options."""

    hide_globals = True

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]  # passed on as they came
        self.params.extend(global_options(hidden=self.hide_globals))
        if self.hide_globals and not self.epilog:
            self.epilog = _EPILOG

    def get_params(self, ctx: typer.Context) -> list[Parameter]:  # type: ignore[override]  # as above
        """Return all options and arguments, typer's own (help, completion) included."""
        return plainly(super().get_params(ctx))

    def invoke(self, ctx: typer.Context) -> object:  # type: ignore[override]  # typer's own Context
        """Note the global options, then go on to the verb."""
        take_options(ctx)
        return super().invoke(ctx)


class LazyGroup(Group):
    """A group that knows its commands from a table, and imports one when it is asked for."""

    entries: ClassVar[Mapping[str, Entry]]
    package: ClassVar[str]

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]  # as above
        """Return every command's name, in the order of the help."""
        del ctx
        return list(self.entries)

    def get_command(self, ctx: typer.Context, cmd_name: str) -> ClickCommand | None:  # type: ignore[override]  # as above
        """Return the command called *cmd_name*, importing its module; None when unknown."""
        del ctx
        entry = self.entries.get(cmd_name)
        if entry is None:
            return None
        module = import_module(f"{self.package}.{entry.module}")
        command = typer.main.get_command(module.app)
        command.name = cmd_name
        return command

    def resolve_command(  # type: ignore[override]  # as above
        self, ctx: typer.Context, args: list[str]
    ) -> tuple[str | None, ClickCommand | None, list[str]]:
        """Find the command; an unknown one is answered with the nearest name."""
        try:
            return self._click_resolve_command(ctx, args)
        except TyperException as error:
            near = get_close_matches(args[0], list(self.entries), n=1)
            if near and args[0] not in self.entries:
                error.message = f"{error.message.rstrip('.')}; did you mean {near[0]}?"
            raise

    def format_commands(self, ctx: typer.Context, formatter: HelpFormatter) -> None:  # type: ignore[override]  # as above
        """Write the commands by task, from the table alone."""
        del ctx
        for panel in dict.fromkeys(entry.panel for entry in self.entries.values()):
            rows = [
                (name, entry.help) for name, entry in self.entries.items() if entry.panel == panel
            ]
            with formatter.section(panel):
                formatter.write_dl(rows, col_max=12)


class RootGroup(LazyGroup):
    """The top level."""

    hide_globals = False
    entries = COMMANDS
    package = "valkeyctl.cli"

    def invoke(self, ctx: typer.Context) -> object:  # type: ignore[override]  # as above
        """Run a command; Ctrl-C becomes a failure like any other, told apart from a status."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise InterruptedRunError("interrupted") from error
        except BrokenPipeError:
            # The reader (head, less) has seen enough. Typer would make it status 1.
            _discard_output()
            return 0


def new_app(text: str | None = None) -> typer.Typer:
    """Return an app for one command (no *text*), or for a noun with verbs (its help)."""
    if text is None:
        return typer.Typer(add_completion=False, rich_markup_mode=None)
    return _noun_app(text, Group)


def lazy_app(text: str, entries: Mapping[str, Entry], *, package: str) -> typer.Typer:
    """Return an app for a noun whose verbs are modules of *package*, named by a table."""
    return _noun_app(text, type("Noun", (LazyGroup,), {"entries": entries, "package": package}))


def _noun_app(text: str, cls: type[Group]) -> typer.Typer:
    app = typer.Typer(
        cls=cls, help=text, add_completion=False, rich_markup_mode=None, no_args_is_help=True
    )

    # A callback makes it a group even while it has a single verb.
    @app.callback(help=text)
    def _noun() -> None:
        pass

    return app


def _version(value: bool) -> None:
    if value:
        typer.echo(f"valkeyctl {__version__}")
        raise typer.Exit


def root() -> typer.Typer:
    """Return the whole command line."""
    app = typer.Typer(
        cls=RootGroup,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        no_args_is_help=True,
        context_settings={"help_option_names": ["--help", "-h"], "max_content_width": 88},
        epilog="Exit codes: 0 done, 1 found something, 2 usage, 3 no server, 4 needs --yes, "
        "5 missing or failed, 7 resumable, 8 gate failed, 9 inconclusive, 130 interrupted.",
    )

    @app.callback()
    def _root(
        version: bool = typer.Option(
            False, "--version", callback=_version, is_eager=True, help="Print the version."
        ),
    ) -> None:
        """Deploy a Valkey cache, operate it by namespace, and measure what it buys."""

    return app


def run(argv: Sequence[str]) -> int:
    """Run one command line and return the status that the process ends with.

    Every `ValkeyctlError`, wrong usage and interruption becomes one sentence on
    standard error, or one envelope on standard output with ``-o json``. Anything
    else is a bug and keeps its traceback.
    """
    _end_on_sigterm()
    command = typer.main.get_command(root())
    try:
        status = command.main(list(argv), prog_name="valkeyctl", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        _discard_output()  # the reader (head, less) has seen enough
        return 0
    except KeyboardInterrupt:
        return _fail(InterruptedRunError("interrupted"), argv)
    except typer.Abort:
        return _fail(InterruptedRunError("interrupted"), argv)
    except ValkeyctlError as error:
        return _fail(error, argv)
    except TyperException as error:
        return _usage(error, argv)
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        if package not in _EXTRAS:
            raise
        extra = _EXTRAS[package]
        return _fail(
            MissingError(
                f"this command needs the package {package}, which is not installed",
                hint=f"Install it: pip install 'valkeyctl[{extra}]'",
            ),
            argv,
        )
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        _discard_output()
        # Said on standard error whatever was asked for: the other one is full.
        full = f"standard output cannot be written: {error.strerror}"
        return _fail(FolderError(full, hint="Make room for it"), ())
    return status if isinstance(status, int) else 0


def _discard_output() -> None:
    """Keep the interpreter from complaining, at its end, of output that nobody takes."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _usage(error: TyperException, argv: Sequence[str]) -> int:
    from valkeyctl.cli.output import wants_object

    ctx = getattr(error, "ctx", None)
    # pydantic, which checks values for typer, says so in words of its own.
    text = error.format_message().rstrip(".").replace(": Value error, ", ": ")
    if type(error).__name__ == "NoArgsIsHelpError":
        if not wants_object(argv):
            typer.echo(text, err=True)
            return 2
        text = "a command is missing"
    path = ctx.command_path if ctx is not None else "valkeyctl"
    sentence = text[:1].lower() + text[1:] if text[:2] != text[:2].upper() else text
    return _fail(UsageError(sentence, hint=f"See what it takes: {path} --help"), argv)


def _fail(error: ValkeyctlError, argv: Sequence[str]) -> int:
    from valkeyctl.cli.hints import with_selection
    from valkeyctl.cli.output import print_error  # only on failure

    if error.hint:
        error.hint = with_selection(error.hint, argv)
    print_error(error, argv)
    return error.exit_code


def _end_on_sigterm() -> None:
    """Make SIGTERM unwind the stack as Ctrl-C does, so that nothing is left running."""

    def interrupt(_signum: int, _frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    handler: Callable[[int, FrameType | None], NoReturn] = interrupt
    signal.signal(signal.SIGTERM, handler)
