"""The file that says what a run was: read by whoever looks at a recorded run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from valkeyctl.errors import FolderError, NotFoundError, ValkeyctlError

RUN_FILE = "run.json"
RUN_VERSION = 1


@contextmanager
def opened_run(folder: Path) -> Iterator[dict[str, Any]]:  # plain JSON, as it was written
    """Yield what the run file in *folder* says; a fault in what is made of it is its own.

    Raises:
        NotFoundError: There is no run in it.
        FolderError: It cannot be read, or is no run of this version.
    """
    path = folder / RUN_FILE
    try:
        run = json.loads(path.read_text(encoding="utf-8"))
        if run["version"] != RUN_VERSION:
            raise ValueError(f"version {run['version']!r} instead of {RUN_VERSION}")  # noqa: TRY301
        yield run
    except FileNotFoundError as error:
        raise NotFoundError(
            f"{folder} holds no benchmark run",
            hint="Give the folder that `valkeyctl bench` named, with run.json in it",
        ) from error
    except OSError as error:
        raise FolderError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (KeyError, TypeError, ValueError, ValkeyctlError) as error:
        raise FolderError(f"{path}: is no benchmark run of this version: {error}") from error
