"""Nothing destructive by surprise: ask, or refuse where nobody can be asked."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from valkeyctl.errors import RefusedError

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would happen; change nothing.")]


def confirm(question: str, *, yes: bool, look: str = "--dry-run") -> None:
    """Return when the user agrees to what *question* names.

    Args:
        question: What would be done, as "stopping shop".
        yes: Whether the user has agreed already.
        look: The option that shows it and does nothing.

    Raises:
        RefusedError: The answer is no, or there is no terminal to ask at.
    """
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise RefusedError(
            f"{question} needs a yes, and there is no terminal to ask at",
            hint=f"Add --yes, or look first with {look}",
        )
    if not typer.confirm(f"{question[:1].upper()}{question[1:]}?", err=True):
        raise RefusedError("not confirmed; nothing was changed")
