"""A tar archive in memory: how files enter a Podman volume, on any Podman and over any distance."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping


def tar_of(
    files: Mapping[str, bytes], *, user: int = 0, group: int = 0, mode: int = 0o644
) -> bytes:
    """Return an archive of *files*, each owned by *user* and *group*, with *mode*.

    Args:
        files: Name, without folders, to contents.
        user: Number of the owner inside the container.
        group: Number of its group.
        mode: Permission bits.
    """
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in sorted(files):
            entry = tarfile.TarInfo(name)
            entry.size = len(files[name])
            entry.uid, entry.gid, entry.mode = user, group, mode
            tar.addfile(entry, io.BytesIO(files[name]))
    return archive.getvalue()
