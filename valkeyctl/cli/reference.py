"""The command reference: every --help there is, as one Markdown page.

``python -m valkeyctl.cli.reference > docs/reference/cli.md`` renews the page; a test
compares it with the commands.
"""

from __future__ import annotations

import io
import os
import sys
from contextlib import redirect_stdout

import typer
from typer.core import TyperGroup

from valkeyctl.cli.boundary import root, run

_INTRO = """# Commands

Made from each command's `--help`; `make docs` renews it. What all commands share
(global options, output, statuses) is in [conventions](conventions.md).
"""


def reference() -> str:
    """Return the page."""
    parts = [_INTRO]
    for path in command_paths():
        text = io.StringIO()
        with redirect_stdout(text):
            run([*path, "--help"])
        title = " ".join(["valkeyctl", *path])
        body = "\n".join(line.rstrip() for line in text.getvalue().strip().splitlines())
        parts.append(f"## {title}\n\n```text\n{body}\n```\n")
    return "\n".join(parts)


def command_paths() -> list[list[str]]:
    """Return every command path, nouns before their verbs."""
    top = typer.main.get_command(root())
    assert isinstance(top, TyperGroup)  # noqa: S101 - the root is a group
    ctx = typer.Context(top, info_name="valkeyctl")
    found: list[list[str]] = [[]]
    for name in top.list_commands(ctx):
        found.append([name])
        command = top.get_command(ctx, name)
        if isinstance(command, TyperGroup):
            found.extend([name, verb] for verb in command.list_commands(ctx))
    return found


if __name__ == "__main__":
    os.environ["COLUMNS"] = "80"
    os.environ["_TYPER_FORCE_DISABLE_TERMINAL"] = "1"
    sys.stdout.write(reference())
