"""Taking a backup: copied, verified, and only then given its name."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from valkeyctl import __version__
from valkeyctl.endpoint import Endpoint, Topology
from valkeyctl.errors import FolderError, StartError
from valkeyctl.ops.backup.contents import Progress, check_files, unheard
from valkeyctl.ops.backup.manifest import Manifest, Shard, write_manifest
from valkeyctl.ops.backup.rdbstream import RdbStream
from valkeyctl.ops.backup.seal import SUFFIX, Key
from valkeyctl.ops.backup.shelf import finish, remove_old, unfinished, unwritable
from valkeyctl.ops.backup.sources import Source, sources
from valkeyctl.ops.backup.trial import find_trial, newest, require_memory
from valkeyctl.ops.backup.verify import by_database, load

_PART = 2**18
_UNVERIFIED = "Take it unverified, and verify it on another machine: --no-verify"


@dataclass(frozen=True)
class Origin:
    """What a backup is of.

    Attributes:
        name: Of the deployment, or of the server where it has none.
        endpoint: How to reach it.
        app: First part of its keys; empty when unknown.
        image: Of the deployment; empty when unknown.
    """

    name: str
    endpoint: Endpoint
    app: str = ""
    image: str = ""


@dataclass(frozen=True)
class BackupReport:
    """A backup that was taken.

    Attributes:
        folder: Where it is.
        deployment: What it is of.
        topology: What that was.
        taken_from: ``host:port (role)`` of each server that was asked.
        bytes: Of its files.
        keys: By database; None when it was not verified.
        encrypted: Whether it is.
        appendonly: Whether the servers kept an AOF.
        verified_by: The server that loaded it; empty when it was not verified.
        seconds: That it took.
        removed: Older backups that were removed.
        warnings: What the operator should know although it worked.
    """

    folder: Path
    deployment: str
    topology: Topology
    taken_from: tuple[str, ...]
    bytes: int
    keys: Mapping[str, int] | None
    encrypted: bool
    appendonly: bool
    verified_by: str
    seconds: float
    removed: tuple[Path, ...]
    warnings: tuple[str, ...]


def backup(
    origin: Origin,
    shelf: Path,
    runtimes: Path,
    *,
    key: Key | None = None,
    verified: bool = True,
    keep: int | None = None,
    primaries_only: bool = False,
    progress: Progress = unheard,
) -> BackupReport:
    """Take a backup of *origin* into a new folder in *shelf*, and return what it is.

    Each RDB is its server's data at one moment; those of a Cluster are of moments that
    lie as far apart as the copying takes.

    Args:
        origin: What to take it of.
        shelf: The folder that backups of it are kept in.
        runtimes: Folder of the runtimes' files.
        key: Encrypts it.
        verified: Load it in a throwaway server before it gets its name.
        keep: Remove older backups of the same name but for so many, the new one included.
        primaries_only: Ask no replica: it may lack the last writes.
        progress: Told how far it is.

    Raises:
        UnreachableError, AuthError, TlsError, ServerReplyError: A server does not give
            its data.
        MissingError: There is no server to verify it with.
        RefusedError: There is not enough memory to verify it.
        StartError: It was copied, and cannot be loaded.
        FolderError: It cannot be written; nothing is left of it.
    """
    began = time.monotonic()
    asked = sources(origin.endpoint, primaries_only=primaries_only)
    version = newest(part.version for part in asked.parts)
    # Before anything is copied: whoever cannot verify shall know it at once.
    trial = None
    if verified:
        require_memory(max(part.data_bytes for part in asked.parts), _UNVERIFIED)
        trial = find_trial(version, runtimes, image=origin.image)
    with unfinished(shelf, origin.name) as folder:
        shards = []
        for number, part in enumerate(asked.parts, 1):
            name = "dump.rdb" if asked.topology != "cluster" else f"shard-{number}.rdb"
            what = (
                f"copying from {part.endpoint.address}"
                if len(asked.parts) == 1
                else f"copying {number} of {len(asked.parts)} from {part.endpoint.address}"
            )
            shards.append(_copy(part, folder / name, key, what, progress))
        manifest = Manifest(
            deployment=origin.name,
            app=origin.app,
            topology=asked.topology,
            taken_at=time.time(),
            appendonly=any(part.appendonly for part in asked.parts),
            encrypted=key is not None,
            image=origin.image,
            valkeyctl=__version__,
            shards=tuple(shards),
        )
        server = ""
        if trial is not None:
            check_files(folder, manifest)
            try:
                manifest, server = load(folder, manifest, trial, key, progress)
            except StartError as error:
                raise StartError(
                    f"the data was copied, and {error}; the copy is removed",
                    log=error.log,
                    hint="Try again; with --no-verify it is kept unverified",
                ) from error
        write_manifest(folder, manifest, key)
        final = finish(folder, shelf, origin.name, manifest.taken_at)
    warnings = list(asked.warnings)
    removed: tuple[Path, ...] = ()
    try:
        removed = remove_old(shelf, origin.name, keep) if keep is not None else ()
    except FolderError as error:
        warnings.append(str(error))  # the new one is there all the same
    return BackupReport(
        folder=final,
        deployment=origin.name,
        topology=asked.topology,
        taken_from=tuple(f"{part.endpoint.address} ({part.role})" for part in asked.parts),
        bytes=manifest.bytes,
        keys=by_database(manifest.shards) if server else None,
        encrypted=manifest.encrypted,
        appendonly=bool(manifest.appendonly),
        verified_by=server,
        seconds=time.monotonic() - began,
        removed=removed,
        warnings=tuple(warnings),
    )


def _copy(part: Source, file: Path, key: Key | None, what: str, progress: Progress) -> Shard:
    """Copy the data of *part* to *file*, and return what it has become."""
    file = file.with_name(file.name + SUFFIX) if key else file
    with RdbStream(part.endpoint, part.version) as stream, _File(file) as sink:
        source = _Heard(stream, what, progress)
        if key is not None:
            key.seal(source, sink)
        else:
            while arrived := source.read(_PART):
                sink.write(arrived)
        sink.flush()
    return Shard(
        file=file.name,
        bytes=sink.bytes,
        sha256=sink.sha256,
        rdb_bytes=stream.received,
        rdb_version=stream.rdb_version,
        server_version=part.version,
        taken_from=part.endpoint.address,
        role=part.role,
        replication_id=stream.replication_id,
        offset=stream.offset,
        slots=part.slots,
    )


class _Heard:
    """A stream whose progress is told."""

    def __init__(self, stream: RdbStream, what: str, progress: Progress) -> None:
        self._stream = stream
        self._what = what
        self._progress = progress

    def read(self, size: int = -1, /) -> bytes:
        part = self._stream.read(size)
        self._progress(self._what, self._stream.received, self._stream.size)
        return part


class _File:
    """A new file with mode 0600, and the checksum of what is written to it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._digest = hashlib.sha256()
        self._handle = -1
        self.bytes = 0

    def __enter__(self) -> Self:
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            self._handle = os.open(self._path, flags, 0o600)
        except OSError as error:
            raise unwritable(self._path, error) from error
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._handle)

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def write(self, data: bytes, /) -> int:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._handle, rest) :]
        except OSError as error:
            raise unwritable(self._path, error) from error
        self._digest.update(data)
        self.bytes += len(data)
        return len(data)

    def flush(self) -> None:
        try:
            os.fsync(self._handle)
        except OSError as error:
            raise unwritable(self._path, error) from error
