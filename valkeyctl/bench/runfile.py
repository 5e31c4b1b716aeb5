"""The file that says what a run was: read by whoever looks at a recorded run."""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from valkeyctl.errors import FolderError, NotFoundError, ValkeyctlError

RUN_FILE = "run.json"
RUN_VERSION = 2


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Make *folder* where it is absent, and keep other runs out of it meanwhile.

    Raises:
        FolderError: Another run writes into it, or it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise FolderError(
            f"{folder}: cannot be written: {error.strerror or error}",
            hint="Give another folder with --out",
        ) from error
    try:
        # Of the folder itself: it leaves no file, and ends with us, however we end.
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        # A file system without locks cannot tell; two runs at once are rare.
        if error.errno == errno.EWOULDBLOCK:
            os.close(handle)
            raise FolderError(
                f"{folder}: another run writes into it at this moment",
                hint="Wait for its end, or give another folder with --out",
            ) from error
    try:
        yield
    finally:
        os.close(handle)


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
        raise FolderError(
            f"{path}: is no benchmark run of this version: {error}",
            hint="Run the benchmark again, or read it with the version that made it",
        ) from error
