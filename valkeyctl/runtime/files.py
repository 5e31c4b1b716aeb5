"""Files of our own: in folders that only the user can enter, and never half written."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from valkeyctl.errors import FolderError

_SPACE = 128 * 1024  # bytes; more than all that we write about one server at a time
_SPACE_HINT = "Make room there; nothing that runs was touched"
STATE_HINT = "Name another folder: --state-dir DIR, or set VALKEYCTL_STATE_DIR"


def private_folder(path: Path) -> Path:
    """Return *path*, made with mode 0700 where it was not there, and what leads to it.

    Raises:
        FolderError: It cannot be made, or is no folder.
    """
    try:
        # One by one: mkdir(parents=True) gives the mode to the last folder only.
        for folder in reversed([path, *path.parents]):
            if not folder.exists():
                folder.mkdir(mode=0o700, exist_ok=True)
        path.mkdir(exist_ok=True)  # fails where a file stands
    except OSError as error:
        raise FolderError(
            f"cannot make the folder {path}: {error.strerror or error}", hint=STATE_HINT
        ) from error
    return path


def write_private(path: Path, contents: str | bytes) -> None:
    """Write *contents* to *path* with mode 0600, whole or not at all.

    Raises:
        FolderError: It cannot be written.
    """
    temporary: str | None = None
    try:
        # mkstemp makes it 0600; the rename is what a reader sees.
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(contents.encode() if isinstance(contents, str) else contents)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
        temporary = None
    except OSError as error:
        raise FolderError(
            f"cannot write {path}: {error.strerror or error}", hint=STATE_HINT
        ) from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def prove_space(folder: Path, size: int = _SPACE) -> None:
    """Prove that *size* bytes more can be written into *folder* now.

    Raises:
        FolderError: They cannot.
    """
    try:
        with tempfile.TemporaryFile(dir=folder) as trial:
            trial.write(bytes(size))
            trial.flush()
            os.fsync(trial.fileno())
    except OSError as error:
        raise FolderError(
            f"cannot write to {folder}: {error.strerror or error}", hint=_SPACE_HINT
        ) from error


def remove_folder(folder: Path) -> bool:
    """Remove *folder* and all that is in it; False when there is none.

    Raises:
        FolderError: It cannot be removed.
    """
    if not folder.exists():
        return False
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise FolderError(f"cannot remove {folder}: {error.strerror or error}") from error
    return True
