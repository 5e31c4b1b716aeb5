"""Results on standard output, everything else on standard error."""

from __future__ import annotations

import json
import math
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from itertools import pairwise
from pathlib import PurePath
from typing import Literal

import typer

from valkeyctl.cli.console import Console
from valkeyctl.cli.options import Output, options
from valkeyctl.errors import UsageError, ValkeyctlError

ENVELOPE_VERSION = 1
# -ojson, and -qojson: flags before it in one word.
_BUNDLED = re.compile(r"^-[qv]*o(?=.)")
Status = Literal["ok", "warn", "fail"]
Plain = None | bool | int | float | str | list["Plain"] | dict[str, "Plain"]


def plain(value: object) -> Plain:
    """Return *value* as JSON has it; dataclasses become objects, keys stay as they are."""
    if value is None or isinstance(value, (bool, int, str)):
        return value.value if isinstance(value, Enum) else value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, PurePath):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def kind(ctx: typer.Context) -> str:
    """Return the command path with dots, such as ``keys.flush``."""
    names: list[str] = []
    node: typer.Context | None = ctx
    while node is not None and node.parent is not None:
        names.append(str(node.info_name))
        node = node.parent  # type: ignore[assignment]  # typer's own Context all the way up
    return ".".join(reversed(names))


def show(
    ctx: typer.Context,
    data: object,
    *,
    human: Callable[[Console], None],
    status: Status = "ok",
    names: Iterable[str] | None = None,
    one_line: bool = False,
) -> None:
    """Print a result once, in the form that the user asked for.

    Args:
        ctx: The command's context.
        data: What the envelope carries; a mapping or a dataclass.
        human: Prints it for a person.
        status: What the result means, for programs that read only that.
        names: What ``-o name`` prints, one a line.
        one_line: Print JSON as one line, for a command that prints again and again.
    """
    output = options(ctx).output
    if output is Output.TABLE:
        human(stdout_console())
        sys.stdout.flush()
        return
    if output is Output.NAME:
        if names is None:
            raise UsageError(f"{kind(ctx)} has no names to print", hint="Use -o json")
        print_names(names)
        return
    envelope: dict[str, Plain] = {
        "version": ENVELOPE_VERSION,
        "kind": kind(ctx),
        "status": status,
        "data": plain(data),
    }
    _write(envelope, Output.JSONL if one_line and output is Output.JSON else output)


def _write(envelope: Mapping[str, Plain], output: Output) -> None:
    if output is Output.YAML:
        import yaml  # 20 ms, only here

        text = yaml.safe_dump(dict(envelope), sort_keys=False, allow_unicode=True)
    else:
        indent = 2 if output is Output.JSON else None
        text = json.dumps(envelope, indent=indent, ensure_ascii=False) + "\n"
    # Bytes that were no text when they came in (a file name) must not leave as such.
    sys.stdout.write(text.encode("utf-8", "backslashreplace").decode())
    sys.stdout.flush()


def stream(ctx: typer.Context, rows: Iterable[object]) -> None:
    """Print each row as one line of JSON, as it comes."""
    del ctx
    for row in rows:
        sys.stdout.write(json.dumps(plain(row), ensure_ascii=False) + "\n")
        sys.stdout.flush()


def print_names(names: Iterable[str]) -> None:
    """Print one name a line, for ``-o name``."""
    sys.stdout.write("".join([f"{name}\n" for name in names]))
    sys.stdout.flush()


def stdout_console() -> Console:
    """Return where results for people go."""
    return Console(sys.stdout)


def stderr_console() -> Console:
    """Return where remarks go."""
    return Console(sys.stderr)


def say(ctx: typer.Context, text: str) -> None:
    """Tell a person, on standard error, what is going on; silent with --quiet."""
    if not options(ctx).quiet:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


def detail(ctx: typer.Context, text: str) -> None:
    """Tell a person more, on standard error; with --verbose only."""
    if options(ctx).verbose:
        say(ctx, text)


def library_logs(ctx: typer.Context) -> None:
    """Send what the caching library logs to standard error; only with --verbose at all."""
    import logging

    import structlog

    level = logging.INFO if options(ctx).verbose else logging.CRITICAL
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def wants_object(argv: Sequence[str]) -> bool:
    """Say whether *argv* asks for a form that programs read."""
    return _asked_output(argv) in {Output.JSON, Output.YAML, Output.JSONL}


def print_error(error: ValkeyctlError, argv: Sequence[str]) -> None:
    """Print a failure: an envelope where JSON was asked for, else one sentence."""
    output = _asked_output(argv)
    if wants_object(argv):
        if output is Output.JSON and "--watch" in argv:
            output = Output.JSONL  # one envelope a line, to the last
        failure: dict[str, Plain] = {
            "code": error.code,
            "message": str(error),
            "hint": error.hint,
        }
        _write(
            {"version": ENVELOPE_VERSION, "kind": "error", "status": "fail", "error": failure},
            output,
        )
        return
    red, reset = ("\x1b[31m", "\x1b[0m") if _colour(sys.stderr.isatty()) else ("", "")
    sys.stderr.write(f"{red}error:{reset} {error}\n")
    for line in getattr(error, "log", ()):
        sys.stderr.write(f"  | {line}\n")
    if error.hint:
        sys.stderr.write(f"{error.hint}\n")


def _colour(terminal: bool) -> bool:
    return terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _asked_output(argv: Sequence[str]) -> Output:
    """Return the last output that *argv* asks for, even where it cannot be parsed."""
    found = Output.TABLE
    for word, following in pairwise([*argv, ""]):
        if word == "--":
            break
        value = (
            following
            if word in {"-o", "--output"}
            else word.removeprefix("--output=")
            if word.startswith("--output=")
            else _BUNDLED.sub("", word)
            if _BUNDLED.match(word)
            else ""
        )
        if value in set(Output):
            found = Output(value)
    return found
