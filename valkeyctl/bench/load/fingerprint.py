"""What tells the files of a plan from others of the same name, on another machine."""

from __future__ import annotations

from hashlib import file_digest
from pathlib import Path

from valkeyctl.bench.plan import Plan
from valkeyctl.errors import FolderError


def fingerprints(plan: Plan) -> dict[str, str]:
    """Return the SHA-256 of each file that *plan* reads, by its path.

    The locustfile is not among them: its path may be another one on each machine.

    Raises:
        FolderError: One cannot be read.
    """
    keys = plan.scenario.keys
    files = [plan.trace] if plan.trace is not None else []
    if keys.popularity == "trace":
        files.append(Path(keys.trace))
    return {str(file): fingerprint(file) for file in files}


def fingerprint(file: Path) -> str:
    """Return the SHA-256 of *file*.

    Raises:
        FolderError: It cannot be read.
    """
    try:
        with file.open("rb") as opened:
            return file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise FolderError(
            f"{file}: cannot be read: {error.strerror or error}",
            hint="The files of a run must be at the same place on every machine",
        ) from error
