"""Which runtime to use on this machine, and why."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from valkeyctl.errors import MissingError, UsageError
from valkeyctl.runtime.podman import PodmanRuntime
from valkeyctl.runtime.process import ProcessRuntime
from valkeyctl.runtime.protocol import Runtime

Wanted = Literal["auto", "podman", "process"]
PODMAN_VARIABLE = "VALKEYCTL_PODMAN"
NAMES = ("podman", "process")


@dataclass(frozen=True)
class Choice:
    """A runtime that works here.

    Attributes:
        runtime: The one to use.
        reason: Why, as one sentence for a person.
    """

    runtime: Runtime
    reason: str


def choose(wanted: Wanted, root: Path, *, environ: Mapping[str, str] | None = None) -> Choice:
    """Return a runtime that works: the *wanted* one, or with ``auto`` Podman before a process.

    Args:
        wanted: What the user asked for.
        root: Folder in which the runtimes keep their files.
        environ: Where VALKEYCTL_PODMAN and VALKEYCTL_SERVER are read; the process
            environment by default.

    Raises:
        MissingError: The wanted runtime, or each of the two, does not work here; says why.
    """
    if wanted != "auto":
        runtime = runtime_named(wanted, root, environ=environ)
        runtime.check()
        return Choice(runtime, f"{wanted} was asked for")
    podman = _podman(root, environ)
    try:
        podman.check()
    except MissingError as why_not:
        process = ProcessRuntime(root / "process", environ=environ)
        try:
            process.check()
        except MissingError as error:
            raise MissingError(f"{why_not}, and {error}", hint=error.hint) from error
        return Choice(process, f"process: {why_not}")
    return Choice(podman, f"podman {podman.version()} works")


def runtime_named(name: str, root: Path, *, environ: Mapping[str, str] | None = None) -> Runtime:
    """Return the runtime called *name*, whether or not it works here.

    Raises:
        KeyError: It is neither ``podman`` nor ``process``.
        UsageError: VALKEYCTL_PODMAN has a quote that is not closed.
    """
    if name == "podman":
        return _podman(root, environ)
    if name == "process":
        return ProcessRuntime(root / "process", environ=environ)
    raise KeyError(name)


def _podman(root: Path, environ: Mapping[str, str] | None) -> PodmanRuntime:
    environ = os.environ if environ is None else environ
    command = environ.get(PODMAN_VARIABLE) or "podman"
    try:
        return PodmanRuntime(root / "podman", command)
    except ValueError as error:
        raise UsageError(
            f"{PODMAN_VARIABLE} is no command: {error}",
            hint=f"Write the path of a podman in {PODMAN_VARIABLE}, quotes closed, or unset it",
        ) from error
