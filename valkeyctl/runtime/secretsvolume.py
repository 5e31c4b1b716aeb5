"""The secret files of a unit on Podman: a named volume, filled through standard input.

Tried on Podman 4.3.1 and 5.4.2, which behave alike here; kube Secrets cannot be used on
4.3 (files with base64 text in them). ``podman volume import NAME -`` takes owner and mode
from the archive; the pod claims the volume read-only; nothing of it stands in ``podman
inspect``. It works while a container has the volume mounted, and the container sees the
new files at once.

What an import is not: atomic (a file is removed and made anew; 4 of 10 imports were seen
by a reader in a loop as "no such file", none as half a file), and complete (a file that is
not in the archive stays). So nobody may look while it runs: a server reads these files
when it starts and when it is told to. One that Podman restarts in just that moment fails
once, and is restarted again. And a file that is of no use any more is emptied by name.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from valkeyctl.errors import ToolError
from valkeyctl.render.artefacts import PROFILE_LABEL, Artefacts
from valkeyctl.runtime.material import Material
from valkeyctl.runtime.podmancli import PodmanCommand
from valkeyctl.runtime.tarball import tar_of

_MODE = 0o400


class _File(NamedTuple):
    """What is in a file, and who may read it."""

    contents: bytes
    user: int
    group: int


class SecretsVolume:
    """The volume of secrets of one unit.

    Args:
        podman: To reach it.
        unit: Name of the unit.
    """

    def __init__(self, podman: PodmanCommand, unit: str) -> None:
        self._podman = podman
        self._name = _name(unit)

    def fill(self, artefacts: Artefacts, material: Material, *, rest: bool = False) -> bool:
        """Bring *material* into the volume, made where it is missing; False when it was there.

        Args:
            artefacts: Whose user reads the files.
            material: The files.
            rest: Whether to empty the files that are not of *material*, such as the key
                of a certificate that is used no more.

        Raises:
            ToolError: podman failed.
        """
        found: dict[str, _File] = {}
        if self._podman.run("volume", "exists", self._name).ok:
            found = self._read()
        else:
            label = f"{PROFILE_LABEL}={artefacts.deployment}"
            self._podman.require("volume", "create", "--label", label, self._name)
        wanted = dict(material.files)
        if rest:
            wanted.update(dict.fromkeys(found.keys() - wanted.keys(), b""))
        owner = artefacts.user, artefacts.group
        if all(found.get(name) == _File(file, *owner) for name, file in wanted.items()):
            return False
        archive = tar_of(wanted, user=owner[0], group=owner[1], mode=_MODE)
        self._podman.require("volume", "import", self._name, "-", stdin=archive)
        return True

    def remove(self) -> None:
        """Remove the volume, unless somebody else has made it, or still uses it."""
        _remove(self._podman, [self._name])

    def _read(self) -> dict[str, _File]:
        """Return what is in the volume: the truth, and not what we remember of it."""
        archive = self._podman.fetch("volume", "export", self._name)
        try:
            with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
                return {
                    entry.name.removeprefix("./"): _File(file.read(), entry.uid, entry.gid)
                    for entry in tar
                    if (file := tar.extractfile(entry)) is not None
                }
        except tarfile.TarError as error:
            raise ToolError(f"{self._podman} volume export gave no archive: {error}") from error


def remove_secrets(podman: PodmanCommand, units: Iterable[str]) -> None:
    """Remove the volumes of secrets of *units*; see `SecretsVolume.remove`."""
    _remove(podman, [_name(unit) for unit in units])


def _name(unit: str) -> str:
    return f"{unit}-secrets"


def _remove(podman: PodmanCommand, names: Sequence[str]) -> None:
    ours = []
    for volume in podman.inspect_all("volume", names):
        labels = volume.get("Labels")
        if isinstance(labels, dict) and PROFILE_LABEL in labels:
            ours.append(str(volume.get("Name")))
    if ours:
        podman.run("volume", "rm", *ours)
