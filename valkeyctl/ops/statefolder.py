"""Our own files about deployments: what runs, what ran last, and who works on it.

::

    deployments/<name>/record.json     the deployment as it was made last
    deployments/<name>/drill.json      a fault that a drill has to undo; see `faultmark`
    deployments/<name>/history/        the last ten renders that worked, oldest first
    deployments/<name>/readings/       per unit, what its server made of its directives
    locks/<name>.lock                  held while a command changes the deployment
    secrets/<name>/                    passwords and certificates; see `valkeyctl.ops.secrets`
    resume/flush-*.jsonl               how far an unfinished flush is; see `keyspace.resume`
    runtimes/<runtime>/<name>/         the runtime's own files, and a process's data
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Self

from valkeyctl.errors import FolderError, LockedError, UsageError
from valkeyctl.ops.stateroot import default_root
from valkeyctl.profile.fields import NAME_PATTERN
from valkeyctl.render.artefacts import Artefacts
from valkeyctl.runtime.files import STATE_HINT, private_folder, remove_folder, write_private

KEPT_RENDERS = 10
_RECORD = "record.json"
_NUMBERED = re.compile(r"(\d{6})-[0-9a-f]+\.json")


@dataclass(frozen=True)
class Record:
    """What is known of a deployment.

    Attributes:
        name: Its name.
        runtime: ``podman`` or ``process``.
        reason: Why that runtime was taken.
        url: Where it listens; never with a password.
        digest: Of the artefacts that it was made from.
        image: The image that its profile names.
        version: Of the server, when it was started.
        app: First part of every key.
        deployed_at: Seconds since the epoch.
        stop_grace: Seconds it may take to save and end.
        directives: Its rendered valkey.conf, directive by directive.
        image_id: Of the image that its container was made from, 12 hex digits; empty
            without a container.
    """

    name: str
    runtime: str
    reason: str
    url: str
    digest: str
    image: str
    version: str
    app: str
    deployed_at: float
    stop_grace: float
    directives: Mapping[str, str] = field(default_factory=dict)
    image_id: str = ""

    @classmethod
    def restored(cls, written: object) -> Self:
        """Return the record that *written* is, read from JSON.

        Fields that a later valkeyctl has added are left out: to take the record for lost
        would be to forget which runtime has the data.

        Raises:
            TypeError, ValueError: It is none.
        """
        if not isinstance(written, dict):
            raise TypeError("it is no object")
        known = {one.name for one in fields(cls)}
        record = cls(**{name: value for name, value in written.items() if name in known})
        texts = (getattr(record, one.name) for one in fields(cls) if one.type == "str")
        if not all(isinstance(text, str) for text in texts):
            raise TypeError("a text in it is none")
        if not isinstance(record.directives, dict):
            raise TypeError("its directives are none")
        return replace(
            record, deployed_at=float(record.deployed_at), stop_grace=float(record.stop_grace)
        )


@dataclass(frozen=True)
class Reading:
    """What reading a record has given.

    Attributes:
        record: None when there is none, or none that can be read.
        warning: Why an existing record could not be read; empty otherwise.
    """

    record: Record | None
    warning: str = ""


class StateFolder:
    """The folder in which valkeyctl keeps its own files.

    Nothing is made before something is written.

    Args:
        root: The folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()

    @classmethod
    def default(cls, environ: Mapping[str, str]) -> Self:
        """Return the user's folder: VALKEYCTL_STATE_DIR, else below the XDG state folder."""
        return cls(default_root(environ))

    @property
    def runtimes(self) -> Path:
        """Folder of the runtimes' own files."""
        return self.root / "runtimes"

    def secrets(self, name: str) -> Path:
        """Return the folder of the secrets of *name*, each 0600; it may not exist.

        Raises:
            UsageError: *name* cannot be the name of a deployment.
        """
        return self.root / "secrets" / _checked(name)

    def drill_mark(self, name: str) -> Path:
        """Return the file that tells of a fault in force on *name*; it may not exist.

        Raises:
            UsageError: *name* cannot be the name of a deployment.
        """
        return self._folder(name) / "drill.json"

    def names(self) -> list[str]:
        """Return the names of all deployments that something is known of, sorted."""
        folder = self.root / "deployments"
        if not folder.is_dir():
            return []
        return sorted(entry.name for entry in folder.iterdir() if entry.is_dir())

    def read(self, name: str) -> Reading:
        """Return what is known of *name*.

        A damaged record is no failure: the deployment counts as unknown, and the
        warning says so.

        Raises:
            UsageError: *name* cannot be the name of a deployment.
            FolderError: A file stands where our folder should be.
        """
        file = self._folder(name) / _RECORD
        try:
            record = Record.restored(json.loads(file.read_text(encoding="utf-8")))
            if record.name != name:
                raise ValueError("it belongs to another deployment")  # noqa: TRY301
        except FileNotFoundError:
            return Reading(None)
        except NotADirectoryError as error:
            # Taken for "nothing deployed", it would hide what runs.
            raise FolderError(
                f"{self.root} is a file, not a folder for our state",
                hint="Choose another folder with --state-dir",
            ) from error
        except (OSError, ValueError, TypeError) as error:
            return Reading(None, f"the record {file} cannot be used and is ignored: {error}")
        return Reading(record)

    def write(self, record: Record) -> None:
        """Keep *record*, whole or not at all.

        Raises:
            FolderError: It cannot be written.
        """
        folder = private_folder(self._folder(record.name))
        write_private(folder / _RECORD, json.dumps(asdict(record), indent=2) + "\n")

    def remember(self, artefacts: Artefacts) -> None:
        """Keep *artefacts* as the last good render; the oldest of more than ten goes.

        Raises:
            FolderError: It cannot be written.
        """
        folder = private_folder(self._folder(artefacts.name) / "history")
        renders = self._renders(artefacts.name)
        if renders and renders[-1].stem.endswith(artefacts.digest):
            return
        number = int(renders[-1].name[:6]) + 1 if renders else 1
        text = json.dumps(asdict(artefacts), indent=2) + "\n"
        write_private(folder / f"{number:06}-{artefacts.digest}.json", text)
        for old in renders[: max(len(renders) + 1 - KEPT_RENDERS, 0)]:
            old.unlink(missing_ok=True)

    def history(self, name: str) -> list[Artefacts]:
        """Return the renders of *name* that worked, the last one first.

        Raises:
            UsageError: *name* cannot be the name of a deployment.
        """
        found = (_artefacts(file) for file in reversed(self._renders(name)))
        return [artefacts for artefacts in found if artefacts is not None]

    def write_readings(self, unit: Artefacts, found: Mapping[str, tuple[str, str]]) -> None:
        """Keep how the server of *unit* reads directives otherwise than they are written.

        Args:
            unit: A server.
            found: By directive what is written, and what it reads.

        Raises:
            FolderError: It cannot be written.
        """
        file = self._readings(unit)
        if found or file.exists():
            private_folder(file.parent)
            write_private(file, json.dumps(dict(found), indent=2) + "\n")

    def readings(self, unit: Artefacts) -> dict[str, tuple[str, str]]:
        """Return what `write_readings` has kept of *unit*; empty when nothing."""
        try:
            found = json.loads(self._readings(unit).read_text(encoding="utf-8"))
            return {name: (str(written), str(read)) for name, (written, read) in found.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            return {}

    def last_good(self, name: str) -> Artefacts | None:
        """Return the last render of *name* that worked, or None."""
        return next(iter(self.history(name)), None)

    def forget(self, name: str) -> bool:
        """Remove what is known of *name*, its secrets too; False when there was nothing.

        Raises:
            FolderError: It cannot be removed.
        """
        known = remove_folder(self._folder(name))
        return remove_folder(self.secrets(name)) or known

    @contextlib.contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Keep every other valkeyctl from changing *name* meanwhile.

        The lock ends with the process, however that ends.

        Raises:
            LockedError: Another process, or thread, holds it; names the process.
            FolderError: The lock file cannot be made.
        """
        file = private_folder(self.root / "locks") / f"{_checked(name)}.lock"
        try:
            handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise FolderError(
                f"cannot open {file}: {error.strerror or error}", hint=STATE_HINT
            ) from error
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                holder = os.pread(handle, 32, 0).decode(errors="replace").strip()
                raise LockedError(
                    f"another valkeyctl (pid {holder or 'unknown'}) works on {name}",
                    hint="Wait for it to end, and try again",
                ) from error
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
            # The file stays: who removed it could remove a lock that another one holds.
            yield
        finally:
            os.close(handle)

    def _readings(self, unit: Artefacts) -> Path:
        return self._folder(unit.deployment) / "readings" / f"{unit.name}.json"

    def _folder(self, name: str) -> Path:
        return self.root / "deployments" / _checked(name)

    def _renders(self, name: str) -> list[Path]:
        folder = self._folder(name) / "history"
        if not folder.is_dir():
            return []
        return sorted(file for file in folder.iterdir() if _NUMBERED.fullmatch(file.name))


def _checked(name: str) -> str:
    """Return *name*; it becomes part of a path and so must not be one."""
    if not re.fullmatch(NAME_PATTERN, name):
        raise UsageError(
            f"{name!r} cannot be the name of a deployment",
            hint="Write lower-case letters, digits and inner hyphens, 40 at most",
        )
    return name


def _artefacts(file: Path) -> Artefacts | None:
    """Return the render kept in *file*; None when it cannot be used."""
    try:
        fields = json.loads(file.read_text(encoding="utf-8"))
        return Artefacts.restored(fields)
    except (OSError, ValueError, TypeError, KeyError):
        return None
