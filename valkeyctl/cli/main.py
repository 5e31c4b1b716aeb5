"""The process: from ``sys.argv`` to an exit status."""

from __future__ import annotations

import sys

from valkeyctl import __version__


def main() -> None:
    """Run the command line of this process and end it with the command's status."""
    # Answered before anything is imported: scripts and prompts ask for it often.
    if sys.argv[1:] == ["--version"]:
        sys.stdout.write(f"valkeyctl {__version__}\n")
        return
    from valkeyctl.cli.boundary import run  # typer costs 60 ms

    sys.exit(run(sys.argv[1:]))
