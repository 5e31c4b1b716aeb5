"""Proof that a backup is worth something: its files are whole, and a server loads them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from valkeyctl.errors import FolderError, StartError
from valkeyctl.ops.backup.contents import (
    Progress,
    check_files,
    pour_shard,
    unheard,
)
from valkeyctl.ops.backup.manifest import Manifest, Shard, authenticate, damaged, read_manifest
from valkeyctl.ops.backup.seal import Key
from valkeyctl.ops.backup.trial import Trial, find_trial, newest, require_memory
from valkeyctl.units import several


@dataclass(frozen=True)
class Verification:
    """What verifying a backup has shown.

    Attributes:
        folder: Of the backup.
        sound: Whether it can be restored.
        problem: Why not; empty when it can.
        deployment: What it is a backup of; empty when the manifest cannot be read.
        taken_at: Seconds since the epoch; None likewise.
        keys: By database, over all shards, as they were loaded.
        bytes: Of its files.
        loaded_by: The servers that loaded it.
    """

    folder: Path
    sound: bool
    problem: str = ""
    deployment: str = ""
    taken_at: float | None = None
    keys: Mapping[str, int] | None = None
    bytes: int = 0
    loaded_by: str = ""


def verify_backup(
    folder: Path, runtimes: Path, key: Key | None = None, progress: Progress = unheard
) -> Verification:
    """Return whether the backup in *folder* is what it says, and can be loaded.

    Args:
        folder: Of the backup.
        runtimes: Folder of the runtimes' files.
        key: Of an encrypted one.
        progress: Told how far it is.

    Raises:
        NotFoundError: There is no backup.
        UsageError: It needs a key, or another one; or a newer valkeyctl wrote it.
        MissingError: There is no server to load it.
        RefusedError: There is not enough memory to load it.
    """
    try:
        manifest = read_manifest(folder)
        authenticate(folder, manifest, key)
    except FolderError as error:
        return Verification(folder, sound=False, problem=str(error))
    require_memory(
        max(shard.data_bytes or shard.rdb_bytes for shard in manifest.shards),
        "Verify it on another machine",
    )
    trial = find_trial(
        newest(shard.server_version for shard in manifest.shards), runtimes, image=manifest.image
    )
    try:
        check_files(folder, manifest, progress)
        loaded, server = load(folder, manifest, trial, key, progress)
    except (FolderError, StartError) as error:
        return Verification(
            folder,
            sound=False,
            problem=str(error),
            deployment=manifest.deployment,
            taken_at=manifest.taken_at,
            bytes=manifest.bytes,
        )
    return Verification(
        folder,
        sound=True,
        deployment=manifest.deployment,
        taken_at=manifest.taken_at,
        keys=by_database(loaded.shards),
        bytes=loaded.bytes,
        loaded_by=server,
    )


def load(
    folder: Path, manifest: Manifest, trial: Trial, key: Key | None, progress: Progress = unheard
) -> tuple[Manifest, str]:
    """Return the manifest with the keys that a throwaway server found, and that server.

    Raises:
        StartError: It cannot load them; carries its own words.
        FolderError: It found other keys than were found before, or a file was changed.
    """
    shards = []
    server = ""
    for number, shard in enumerate(manifest.shards, 1):
        what = f"loading {number} of {len(manifest.shards)} for a trial"
        progress(what, number - 1, len(manifest.shards))
        found = trial(lambda sink, shard=shard: pour_shard(folder, shard, key, sink))  # type: ignore[misc]  # mypy sees no default in a lambda
        server = found.server
        if shard.keys is not None and dict(shard.keys) != dict(found.keys):
            raise damaged(
                f"{folder / shard.file} holds {several(found.total, 'key')}, and held "
                f"{several(sum(shard.keys.values()), 'key')} when it was verified first"
            )
        shards.append(replace(shard, keys=dict(found.keys), data_bytes=found.data_bytes))
    return replace(manifest, shards=tuple(shards)), server


def by_database(shards: tuple[Shard, ...]) -> dict[str, int]:
    """Return the keys of all *shards* by database."""
    total: dict[str, int] = {}
    for shard in shards:
        for database, count in (shard.keys or {}).items():
            total[database] = total.get(database, 0) + count
    return dict(sorted(total.items(), key=lambda item: int(item[0])))
