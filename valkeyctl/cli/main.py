"""The process: from ``sys.argv`` to an exit status."""

from __future__ import annotations

import gc
import io
import os
import sys

from valkeyctl import __version__

_COMPLETE = "_VALKEYCTL_COMPLETE"


def main() -> None:
    """Run the command line of this process and end it with the command's status."""
    if sys.stdout is None:  # `>&-`: nobody reads, but the status still counts
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - to the end
    # Text that the user's encoding lacks is escaped, not a traceback.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    # Answered before anything is imported: scripts, prompts and TAB ask for it often.
    if sys.argv[1:] == ["--version"]:
        sys.stdout.write(f"valkeyctl {__version__}\n")
        return
    if _COMPLETE in os.environ:
        from valkeyctl.cli.completion import answer

        answered = answer(os.environ)
        if answered is not None:
            text, status = answered
            sys.stdout.write(text)
            sys.exit(status)
    # Imports make thousands of objects that stay: looking through them for garbage every
    # 700 objects, and once more at the end, would take a tenth of a short command's time.
    gc.set_threshold(50_000)
    from valkeyctl.cli.boundary import run  # typer costs 60 ms

    status = run(sys.argv[1:])
    gc.freeze()
    sys.exit(status)
