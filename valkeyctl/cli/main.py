"""The process: from ``sys.argv`` to an exit status."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from valkeyctl import __version__


def main() -> None:
    """Run the command line of this process and end it with the command's status."""
    if sys.stdout is None:  # `>&-`: nobody reads, but the status still counts
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - to the end
    # Answered before anything is imported: scripts and prompts ask for it often.
    if sys.argv[1:] == ["--version"]:
        sys.stdout.write(f"valkeyctl {__version__}\n")
        return
    from valkeyctl.cli.boundary import run  # typer costs 60 ms

    sys.exit(run(sys.argv[1:]))
