"""What a restore has done, and the steps that are the same for one server and for several."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import FolderError, RefusedError, StartError, ValkeyctlError
from valkeyctl.ops.backup.contents import Progress
from valkeyctl.ops.backup.create import Origin, backup
from valkeyctl.ops.backup.manifest import Shard
from valkeyctl.ops.backup.seal import Key
from valkeyctl.ops.backup.shelf import backups_of, remove_old
from valkeyctl.ops.statefolder import StateFolder
from valkeyctl.render import Artefacts
from valkeyctl.runtime.datafolder import DataFolder
from valkeyctl.runtime.loadtrial import Loaded
from valkeyctl.units import format_size, several

SAFETY = "before-restore"
# Copies of replaced data that stay: nobody asked for them, and each is as large as the data.
SAFETIES = 3
Say = Callable[[str], None]


@dataclass(frozen=True)
class Restoration:
    """What a restore has done.

    Attributes:
        name: Of the deployment.
        folder: Of the backup.
        url: Where the deployment listens; never with a password.
        keys: That its server has loaded.
        expired: Keys of the backup that had expired since, and were left out.
        keys_replaced: That it held before; None when it could not be asked.
        safety: The backup of what was replaced; None when there was nothing to ask.
        removed: Older copies of what restores have replaced: the last three stay.
        kept: Where the replaced files are, when there is no such backup; else empty.
        version: Of the server.
        down_s: Seconds from the stop of the old server to the answer of the new.
        warnings: What the operator should know although it worked.
    """

    name: str
    folder: Path
    url: str
    keys: int
    expired: int
    keys_replaced: int | None
    safety: Path | None
    removed: tuple[Path, ...]
    kept: str
    version: str
    down_s: float
    warnings: tuple[str, ...]


def tried(data: DataFolder, unit: Artefacts, folder: Path, shard: Shard) -> Loaded:
    """Return what the server of *unit* finds in the *shard* that is staged, where that fits.

    Raises:
        RefusedError: It cannot read it, or its maxmemory cannot hold it.
        FolderError: It finds other keys than were found before.
    """
    name = unit.name
    try:
        found = data.try_staged()
    except StartError as error:
        raise RefusedError(
            f"the server of {name} cannot read this backup, which valkey "
            f"{shard.server_version} wrote in RDB version {shard.rdb_version}: "
            f"{error}; nothing was touched",
            hint="Restore it with an image or server that is not older, or use another backup",
        ) from error
    if shard.keys is not None and dict(shard.keys) != dict(found.keys):
        raise FolderError(
            f"{folder / shard.file} holds {several(found.total, 'key')}, and held "
            f"{several(sum(shard.keys.values()), 'key')} when it was verified; "
            "nothing was touched"
        )
    limit = int(unit.directives.get("maxmemory", "0"))
    if limit and found.data_bytes > limit:
        raise RefusedError(
            f"the data of the backup takes {format_size(found.data_bytes)}, and maxmemory of "
            f"{name} is {format_size(limit)}; nothing was touched",
            hint="Raise memory.limit in the profile, deploy it, and try again",
        )
    return found


def copy_present(
    name: str, origin: Origin, state: StateFolder, key: Key | None, progress: Progress
) -> Path:
    """Take a backup of what is about to be replaced, from its primaries, and return its folder.

    Raises:
        RefusedError: It cannot be copied, or not verified; says why.
    """
    shelf = backups_of(state, name)
    try:
        return backup(
            origin, shelf, state.runtimes, key=key, primaries_only=True, progress=progress
        ).folder
    except ValkeyctlError as error:
        # Their own hints are for who takes a backup, and has other options.
        raise RefusedError(
            f"the present data of {name} cannot be copied: {error}; nothing was touched",
            hint=f"Stop it first, and its files are kept: valkeyctl down -p {name}",
        ) from error


def writers_went_on(name: str) -> str:
    """Return the warning that a copy of what was replaced may lack the last writes."""
    return f"writers of {name} could not be held up: what they wrote after the copy began is lost"


def prune(name: str, state: StateFolder, spare: Path, warnings: list[str]) -> tuple[Path, ...]:
    """Remove old copies of replaced data, but never *spare*, which was restored now."""
    try:
        return remove_old(
            backups_of(state, name), f"{name}-{SAFETY}", SAFETIES, spare=spare.absolute()
        )
    except FolderError as error:
        warnings.append(str(error))  # the data is restored all the same
        return ()


def loaded_keys(endpoint: Endpoint) -> tuple[int, int]:
    """Return the keys that the server loaded at its start, and those that had expired.

    Not the keys that it has: its clients are back, and write.
    """
    with Wire(endpoint) as wire:
        facts = wire.info("persistence")
    loaded, expired = (
        int(facts.get(f"rdb_last_load_keys_{what}", "0")) for what in ("loaded", "expired")
    )
    return loaded, expired
