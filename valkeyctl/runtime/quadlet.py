"""What Podman's own generator says of Quadlet units, before systemd is asked to run them."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from valkeyctl.errors import ToolError

# Where distributions put it: it is started by systemd, and so is on nobody's PATH.
_PLACES = ("/usr/libexec/podman/quadlet", "/usr/lib/podman/quadlet")
QUADLET_VARIABLE = "VALKEYCTL_QUADLET"
_DEADLINE = 20.0  # seconds; it reads a few files


def generator() -> str | None:
    """Return the generator's path: VALKEYCTL_QUADLET, else where Podman installs it; or None."""
    named = os.environ.get(QUADLET_VARIABLE)
    return next(filter(None, map(shutil.which, [named] if named else _PLACES)), None)


def generate(program: str, files: Mapping[str, str]) -> str:
    """Return the systemd services that *program* makes of *files*.

    Args:
        program: The generator; see `generator`.
        files: Unit files, name to text; others among them are not looked at.

    Raises:
        ToolError: It refuses a unit; the message has its own words.
    """
    with tempfile.TemporaryDirectory(prefix="valkeyctl-quadlet-") as folder:
        for name, text in files.items():
            (Path(folder) / name).write_text(text)
        try:
            done = subprocess.run(
                [program, "-dryrun"],
                env={**os.environ, "QUADLET_UNIT_DIRS": folder},
                capture_output=True,
                text=True,
                timeout=_DEADLINE,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ToolError(f"{program} cannot be run: {error}") from error
    said = [
        line.partition(": ")[2] or line
        for line in done.stderr.replace(f"{folder}/", "").splitlines()
        if line.strip() and "Loading source unit file" not in line
    ]
    if done.returncode or said:
        raise ToolError(
            f"quadlet refuses the units: {'; '.join(said) or f'status {done.returncode}'}",
            hint="This Podman may be older than 4.7; the units need that or a newer one",
        )
    return done.stdout
