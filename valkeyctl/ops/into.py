"""Put a server into a pod or compose file that somebody else wrote, and keep the rest of it."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from valkeyctl.errors import FolderError, UsageError, ValkeyctlError
from valkeyctl.render.artefacts import Artefacts
from valkeyctl.render.difference import Difference, differences
from valkeyctl.render.into import MADE_BY, merge

_LONGEST = 2**20  # bytes; a pod file is a few kilobytes, and a wrong file may be a disk image


@dataclass(frozen=True)
class Insertion:
    """What putting a server into a file did, or would do.

    Attributes:
        file: The file, as the user named it.
        kind: What it is.
        target: The pod, or the compose service, that the server is in.
        changes: How each file differs; empty when the server was in it already.
        notes: What the operator should know, each one sentence.
    """

    file: Path
    kind: Literal["pod", "compose"]
    target: str
    changes: tuple[Difference, ...]
    notes: tuple[str, ...]


def insert(
    file: Path, artefacts: Artefacts, *, pod: str | None = None, write: bool = True
) -> Insertion:
    """Merge the server of *artefacts* into *file*; doing it again changes nothing.

    A file is replaced as a whole or not at all, and keeps its mode, its line ends and,
    where it is a symbolic link, the link.

    Args:
        file: A kube YAML or compose file; what a compose file mounts is put beside it.
        artefacts: A standalone server.
        pod: Name of the pod, where the file has several.
        write: False to say what would change, and change nothing.

    Raises:
        UsageError: The file is no such file, or the server cannot be put into it.
        FolderError: It cannot be read or written.
    """
    real, before, text = _read(file)
    try:
        merged = merge(text, artefacts, pod=pod)
    except UsageError as error:
        raise UsageError(f"{file}: {error}", hint=error.hint) from error
    beside = {file.with_name(name): text for name, text in merged.beside.items()}
    present = {str(path): _own(path) for path in beside}
    wanted = {str(path): text for path, text in beside.items()}
    found = differences({**wanted, str(file): merged.text}, {**present, str(file): text})
    if write:
        # The file itself last: what it mounts is there when it says so.
        for path, own in beside.items():
            if own != present[str(path)]:
                _replace(path, own, None)
        if merged.text != text:
            _refuse_change(file, real, before)
            _replace(real, merged.text, before)
    return Insertion(file, merged.kind, merged.target, tuple(found), merged.notes)


def _own(path: Path) -> str | None:
    """Return the text of a file that a merged one mounts; None where it is not there yet.

    Raises:
        UsageError: Somebody else wrote it.
    """
    if not path.exists():
        return None
    text = _text(path)
    if not text.startswith(MADE_BY):
        raise UsageError(
            f"{path} is in the way: valkeyctl did not write it",
            hint="Move it, or give the profile another name",
        )
    return text


def _read(file: Path) -> tuple[Path, os.stat_result, str]:
    """Return what *file* leads to, what the system knows of it, and its text."""
    try:
        real = file.resolve(strict=True)
        found = real.stat()
    except (OSError, RuntimeError) as error:  # RuntimeError: a link that leads to itself
        raise _unreadable(file, error) from error
    if not stat.S_ISREG(found.st_mode):
        raise FolderError(f"{file} is no file", hint="Name a kube YAML or compose file")
    if found.st_size > _LONGEST:
        raise UsageError(
            f"{file} has {found.st_size} bytes, more than any pod file",
            hint="Name a kube YAML or compose file",
        )
    # Not access(): root may write to everything, and a write-protected file is so on purpose.
    if not found.st_mode & 0o222:
        raise FolderError(f"{file} is read-only", hint=f"Allow it: chmod u+w {file}")
    return real, found, _text(real, shown=file)


def _text(path: Path, *, shown: Path | None = None) -> str:
    try:
        return path.read_bytes().decode()
    except OSError as error:
        raise _unreadable(shown or path, error) from error
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{shown or path} is not text in UTF-8", hint="Name a kube YAML or compose file"
        ) from error


def _unreadable(file: Path, error: Exception) -> ValkeyctlError:
    reason = error.strerror if isinstance(error, OSError) else "the link leads to itself"
    return FolderError(f"{file} cannot be read: {reason}", hint="Check the path")


def _refuse_change(file: Path, real: Path, before: os.stat_result) -> None:
    """Refuse to overwrite what somebody else wrote since the file was read."""
    try:
        now = real.stat()
    except OSError as error:
        raise _unreadable(file, error) from error
    if (now.st_mtime_ns, now.st_size, now.st_ino) != (
        before.st_mtime_ns,
        before.st_size,
        before.st_ino,
    ):
        raise FolderError(f"{file} was changed while it was merged into", hint="Run it again")


def _replace(path: Path, text: str, before: os.stat_result | None) -> None:
    """Write *path* as a whole, with the mode and owner that it had."""
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise _unwritable(path, error) from error
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(text.encode())
            if before is not None:
                # The owner first: chown() takes setuid bits away.
                with contextlib.suppress(PermissionError):
                    os.fchown(file.fileno(), before.st_uid, before.st_gid)
                os.fchmod(file.fileno(), stat.S_IMODE(before.st_mode))
            else:
                # Read in the container by another user; it holds no secret.
                os.fchmod(file.fileno(), 0o644)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def _unwritable(path: Path, error: OSError) -> FolderError:
    return FolderError(
        f"{path} cannot be written: {error.strerror}", hint="Check the folder's permissions"
    )
