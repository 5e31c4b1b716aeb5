"""Where backups are kept: made under a name that is none, and removed by the oldest."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from valkeyctl.errors import FolderError, NotFoundError, UsageError
from valkeyctl.ops.backup.manifest import MANIFEST, Manifest, read_manifest
from valkeyctl.ops.statefolder import StateFolder
from valkeyctl.runtime.files import private_folder

_HINT = "Name another folder: --out DIR"
_UNFINISHED = re.compile(r"\..+\.(part|removed)")


@dataclass(frozen=True)
class Listed:
    """A backup as it is found in a folder.

    Attributes:
        folder: Of the backup.
        manifest: None when it cannot be read.
        problem: Why not; empty when it can.
    """

    folder: Path
    manifest: Manifest | None
    problem: str = ""


def stamp(at: float) -> str:
    """Return the time *at*, in seconds since the epoch, as it stands in a folder's name."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y%m%d-%H%M%S")


def backups_of(state: StateFolder, name: str) -> Path:
    """Return the folder that backups of *name* are kept in by default; it may not exist."""
    return state.root / "backups" / name


@contextlib.contextmanager
def unfinished(shelf: Path, name: str) -> Iterator[Path]:
    """Give a folder for a backup that is being made; what is left of it is removed.

    It is locked as long as we live: what another one has left, killed in the middle, is
    known by its free lock and removed here.

    Raises:
        FolderError: It cannot be made.
    """
    try:
        private_folder(shelf)
    except FolderError as error:
        raise FolderError(str(error), hint=_HINT) from error
    folder = shelf / f".{name}-{stamp(time.time())}-{os.getpid()}.part"
    try:
        # Nobody makes one while another cleans up: it would have no lock yet.
        with _locked(shelf):
            for left in shelf.iterdir():
                if _UNFINISHED.fullmatch(left.name) and left.is_dir():
                    _remove_left(left)
            folder.mkdir(mode=0o700)
            handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
            fcntl.flock(handle, fcntl.LOCK_EX)
    except OSError as error:
        raise unwritable(folder, error) from error
    try:
        yield folder
    finally:
        os.close(handle)
        shutil.rmtree(folder, ignore_errors=True)


def finish(folder: Path, shelf: Path, name: str, at: float) -> Path:
    """Give a backup that is done and verified its name, and return where it is then.

    Raises:
        FolderError: It cannot be renamed.
    """
    wanted = f"{name}-{stamp(at)}"
    for number in range(1, 100):
        final = shelf / (wanted if number == 1 else f"{wanted}-{number}")
        if final.exists():
            continue
        try:
            flush(folder)
            folder.rename(final)
            flush(shelf)
        except OSError as error:
            raise unwritable(final, error) from error
        return final
    raise FolderError(f"there are 99 backups called {wanted} already", hint=_HINT)


def listed(shelf: Path) -> list[Listed]:
    """Return the backups in *shelf* and in its folders, the newest first.

    Raises:
        FolderError: It cannot be read.
    """
    found = []
    try:
        if not shelf.is_dir():
            return []
        for folder in (shelf, *sorted(shelf.iterdir())):
            if folder.is_dir() and not folder.name.startswith("."):
                found += [_listed(file.parent) for file in folder.glob(f"[!.]*/{MANIFEST}")]
    except OSError as error:
        raise FolderError(f"cannot read {shelf}: {error.strerror or error}") from error
    unique = {one.folder: one for one in found}
    return sorted(
        unique.values(),
        key=lambda one: (one.manifest.taken_at if one.manifest else 0.0, one.folder.name),
        reverse=True,
    )


def remove_old(shelf: Path, name: str, keep: int, *, spare: Path | None = None) -> tuple[Path, ...]:
    """Remove all backups of *name* in *shelf* but for the last *keep*, and return them.

    What cannot be read is not ours to remove, nor is what a link in *shelf* leads to.

    Args:
        shelf: The folder that they are in.
        name: What they are of.
        keep: How many stay.
        spare: One that stays, however old it is.

    Raises:
        FolderError: One cannot be removed.
    """
    mine = [
        one
        for one in listed(shelf)
        if one.folder.parent == shelf and one.manifest and one.manifest.deployment == name
    ]
    old = [one.folder for one in mine[keep:] if one.folder != spare and not one.folder.is_symlink()]
    for folder in old:
        # Under another name first: half a backup must not look like one.
        doomed = shelf / f".{folder.name}.removed"
        try:
            folder.rename(doomed)
            shutil.rmtree(doomed)
        except OSError as error:
            raise FolderError(f"cannot remove {folder}: {error.strerror or error}") from error
    return tuple(old)


def find(shelf: Path, said: str) -> Path:
    """Return the folder of the backup that a user named: a path, or a name in *shelf*.

    Raises:
        NotFoundError: There is no such backup.
    """
    direct = Path(said)
    if (direct / MANIFEST).exists():
        return direct.absolute()
    for one in listed(shelf):
        if one.folder.name == said:
            return one.folder
    raise NotFoundError(
        f"there is no backup called {said}", hint="See what there is: valkeyctl backup ls"
    )


def flush(path: Path) -> None:
    """Return when the system has *path*, a file or a folder, on its disk."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def unwritable(path: Path, error: OSError) -> FolderError:
    """Return the failure of a backup whose *path* cannot be written."""
    return FolderError(f"cannot write {path}: {error.strerror or error}", hint=_HINT)


def _listed(folder: Path) -> Listed:
    try:
        return Listed(folder, read_manifest(folder))
    except (FolderError, UsageError, NotFoundError) as error:
        return Listed(folder, None, str(error))


def _remove_left(folder: Path) -> None:
    """Remove what a killed backup has left, unless it lives."""
    with contextlib.suppress(OSError), _locked(folder, wait=False):
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _locked(folder: Path, *, wait: bool = True) -> Iterator[None]:
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)
