"""The user's own locustfile: read it, and say in a sentence what is wrong with it."""

from __future__ import annotations

import contextlib
import io
import os
import traceback
from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from valkeyctl.bench.load.fingerprint import fingerprint
from valkeyctl.errors import UsageError

if TYPE_CHECKING:
    from locust import User

_HINT = "Correct the file; locust -f FILE --list shows what Locust finds in it"


@dataclass(frozen=True)
class OwnUsers:
    """What a locustfile holds.

    Attributes:
        file: Where it is.
        classes: Its user classes, in its order.
        plain: Names of those that are neither HttpUser nor FastHttpUser.
        shapes: Names of its load shapes, which a run does not follow.
    """

    file: Path
    classes: tuple[type[User], ...]
    plain: tuple[str, ...]
    shapes: tuple[str, ...]

    def check_same(self, print_: str) -> None:
        """Prove that the master has the same file; *print_* is the fingerprint of its one.

        Raises:
            UsageError: It is another one.
        """
        if fingerprint(self.file) != print_:
            raise UsageError(
                f"{self.file} is not the master's locustfile",
                hint="Copy the master's there, as it is",
            )


def load(file: Path, folder: Path) -> OwnUsers:
    """Return what *file* holds; its code is run, in *folder*, as Locust would.

    Raises:
        UsageError: It cannot be read or run, or has no users; names the line.
    """
    from locust import FastHttpUser, HttpUser
    from locust.util.load_locustfile import load_locustfile

    if not file.is_file():
        raise UsageError(f"{file} is no file", hint="Check the path given to --locustfile")
    os.chdir(folder)
    try:
        found, shapes = load_locustfile(str(file))
    except SyntaxError as error:
        place = f"{error.filename or file}:{error.lineno or 1}"
        raise UsageError(f"{place}: {error.msg}", hint=_HINT) from error
    except (Exception, SystemExit) as error:
        raise UsageError(
            f"{file}:{_line(error, file)}: {type(error).__name__}: {error}", hint=_HINT
        ) from error
    # Those of weight 0 are switched off, as in Locust itself.
    classes = tuple(one for one in found.values() if one.weight > 0 or one.fixed_count > 0)
    if not classes:
        raise UsageError(
            f"{file}:1: there is no user class in it",
            hint="Write a class that derives from HttpUser, FastHttpUser or User",
        )
    return OwnUsers(
        file,
        classes,
        tuple(one.__name__ for one in classes if not issubclass(one, HttpUser | FastHttpUser)),
        tuple(type(one).__name__ for one in shapes),
    )


def options_of(own: OwnUsers) -> Namespace:
    """Return Locust's options for *own*: the defaults of Locust's, and of those it adds.

    One that it adds with an ``env_var`` takes the variable; no file of options is read, and
    variables of Locust's own are not there (`surroundings`).

    Raises:
        UsageError: One of its options has no value.
    """
    from locust.argument_parser import get_parser

    said = io.StringIO()
    words = ["-f", str(own.file), "--headless"]
    try:
        with contextlib.redirect_stderr(said):
            parsed: Namespace = get_parser(default_config_files=[]).parse_args(words)
    except SystemExit as error:
        lines = said.getvalue().strip().splitlines()
        raise UsageError(
            f"{own.file}: its options cannot be read" + (f": {lines[-1]}" if lines else ""),
            hint="Give each option that it adds a default, or an env_var",
        ) from error
    return parsed


def _line(error: BaseException, file: Path) -> int:
    """Return the line of *file* that *error* came from; 1 when none is known."""
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename == str(file)
    ]
    return (lines[-1] if lines else None) or 1
