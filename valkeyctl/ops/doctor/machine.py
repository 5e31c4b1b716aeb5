"""The machine as `doctor` reads it; a test puts any other in its place."""

from __future__ import annotations

import os
import resource
import shutil
import stat
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psutil

from valkeyctl.errors import MissingError, ValkeyctlError
from valkeyctl.runtime.binary import ServerBinary, find_binary, require_tls
from valkeyctl.runtime.port import require_free_port

_TIMEOUT = 20.0


@dataclass(frozen=True)
class Ran:
    """How a program ended.

    Attributes:
        code: Exit status; 127 when there is no such program.
        out: What it printed.
        problem: What it complained about.
    """

    code: int
    out: str = ""
    problem: str = ""


class Machine(Protocol):
    """What can be asked of a machine; nothing here changes it."""

    def read(self, path: str) -> str | None:
        """Return a file's text without blanks around it; None when it cannot be read."""

    def run(self, *words: str) -> Ran:
        """Return how a program ended that only tells something."""

    def exists(self, path: str) -> bool:
        """Say whether there is such a file or folder."""

    def which(self, program: str) -> str | None:
        """Return where a program is; None when it is not on PATH."""

    def server(self, *, full_build: bool) -> ServerBinary | None:
        """Return the valkey-server that the process runtime would take, or None."""

    def speaks_tls(self, binary: ServerBinary) -> bool:
        """Say whether *binary* was built with TLS."""

    def memory(self) -> int:
        """Return the machine's memory, in bytes."""

    def file_limit(self) -> int:
        """Return how many files a process of this user may open, at most."""

    def free(self, folder: Path) -> int:
        """Return the bytes that are free where *folder* is, or will be."""

    def mode(self, folder: Path) -> int | None:
        """Return a folder's permission bits; None when it is not there."""

    def writable(self, folder: Path) -> bool:
        """Say whether we can write to *folder*, or make it."""

    def port_problem(self, host: str, port: int) -> str:
        """Return why nobody could listen there now; empty when one could."""


class ThisMachine:
    """The machine that we run on.

    Args:
        environ: Where VALKEYCTL_SERVER and PATH are read; the process environment by
            default.
    """

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        self._environ = os.environ if environ is None else environ

    def read(self, path: str) -> str | None:
        """Return a file's text; see `Machine.read`."""
        try:
            return Path(path).read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            return None

    def run(self, *words: str) -> Ran:
        """Return how a program ended; see `Machine.run`."""
        try:
            done = subprocess.run(
                words,
                check=False,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_TIMEOUT,
            )
        except FileNotFoundError:
            return Ran(127, problem=f"{words[0]} is not installed")
        except (OSError, subprocess.SubprocessError) as error:
            return Ran(126, problem=str(error))
        return Ran(done.returncode, done.stdout.strip(), done.stderr.strip())

    def exists(self, path: str) -> bool:
        """Say whether there is such a file or folder; see `Machine.exists`."""
        return Path(path).exists()

    def which(self, program: str) -> str | None:
        """Return where a program is; see `Machine.which`."""
        return shutil.which(program, path=self._environ.get("PATH"))

    def server(self, *, full_build: bool) -> ServerBinary | None:
        """Return the valkey-server to run; see `Machine.server`."""
        try:
            return find_binary(self._environ, full_build=full_build)
        except MissingError:
            return None

    def speaks_tls(self, binary: ServerBinary) -> bool:
        """Say whether *binary* was built with TLS; see `Machine.speaks_tls`."""
        try:
            require_tls(binary)
        except MissingError:
            return False
        return True

    def memory(self) -> int:
        """Return the machine's memory; see `Machine.memory`."""
        return int(psutil.virtual_memory().total)

    def file_limit(self) -> int:
        """Return how many files may be open; see `Machine.file_limit`."""
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        return 2**31 - 1 if hard == resource.RLIM_INFINITY else hard

    def free(self, folder: Path) -> int:
        """Return the bytes that are free; see `Machine.free`."""
        try:
            return shutil.disk_usage(_existing(folder)).free
        except OSError:
            return 0

    def mode(self, folder: Path) -> int | None:
        """Return a folder's permission bits; see `Machine.mode`."""
        try:
            return stat.S_IMODE(folder.stat().st_mode)
        except OSError:
            return None

    def writable(self, folder: Path) -> bool:
        """Say whether we can write there; see `Machine.writable`."""
        place = _existing(folder)
        return place.is_dir() and os.access(place, os.W_OK | os.X_OK)

    def port_problem(self, host: str, port: int) -> str:
        """Return why a port cannot be had; see `Machine.port_problem`."""
        try:
            require_free_port(host, port)
        except ValkeyctlError as error:
            return str(error)
        return ""


def _existing(folder: Path) -> Path:
    """Return *folder*, or what is there of the way to it."""
    return next((place for place in (folder, *folder.parents) if place.exists()), Path("/"))
