"""What a locustfile holds, seen from a process that must not import Locust."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from valkeyctl.bench.load.surroundings import child_environment, command_of
from valkeyctl.errors import ToolError, UsageError

_DEADLINE = 60.0


@dataclass(frozen=True)
class Inspected:
    """What a locustfile holds.

    Attributes:
        classes: Names of its user classes.
        plain: Those that are neither HttpUser nor FastHttpUser.
        shapes: Names of its load shapes.
    """

    classes: tuple[str, ...]
    plain: tuple[str, ...]
    shapes: tuple[str, ...]

    def limits(self) -> Iterator[str]:
        """Yield what a run cannot do with it, in sentences."""
        if self.plain:
            yield (
                f"{', '.join(self.plain)} {'is' if len(self.plain) == 1 else 'are'} no HttpUser "
                "or FastHttpUser: the arm's URL is set as host, its headers cannot be set"
            )
        if self.shapes:
            yield f"{', '.join(self.shapes)} is not followed: a run decides who plays when"


def inspect(file: Path) -> Inspected:
    """Return what *file* holds; its code is run once, in a process of its own.

    Raises:
        UsageError: It cannot be read or run, or has no users; names file and line.
        ToolError: It did not end.
    """
    pipe, theirs = os.pipe()
    with os.fdopen(pipe, "rb") as answer:
        try:
            done = subprocess.run(
                command_of("valkeyctl.bench.load.locustcheck", str(file.absolute()), str(theirs)),
                # As in the run, for which it is checked.
                env=child_environment({}),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                pass_fds=(theirs,),
                timeout=_DEADLINE,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise ToolError(
                f"{file} had not been read after {_DEADLINE:.0f} s",
                hint="See what it does when it is imported",
            ) from error
        finally:
            os.close(theirs)
        found = {}
        # Ended by the file itself, such as by os._exit: it has said nothing.
        with contextlib.suppress(ValueError):
            found = json.loads(answer.read())
    if "error" in found:
        raise UsageError(found["error"], hint=found["hint"])
    if not found:
        lines = done.stderr.decode("utf-8", errors="replace").split("\n")
        last = next((line for line in reversed(lines) if line.strip()), "")
        raise UsageError(
            f"{file}:1: it ended Python with status {done.returncode}"
            + (f": {last}" if last else ""),
            hint="Let it be importable without ending the process",
        )
    return Inspected(tuple(found["classes"]), tuple(found["plain"]), tuple(found["shapes"]))
