"""The files of a backup: read back, and compared with what its manifest says."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from valkeyctl.errors import FolderError
from valkeyctl.ops.backup.manifest import Manifest, Shard, damaged
from valkeyctl.ops.backup.seal import Key, Writable
from valkeyctl.units import format_size

_PART = 2**20

Progress = Callable[[str, int, int | None], None]
"""Told what is done, how many bytes of it are, and how many there will be; None: unknown."""


def unheard(_what: str, _done: int, _total: int | None) -> None:
    """Say nothing: the progress of a caller that does not want to hear any."""


def check_files(folder: Path, manifest: Manifest, progress: Progress = unheard) -> None:
    """Return when each file of the backup in *folder* is as long as it was, and the same.

    Raises:
        FolderError: One is missing, was cut or was changed.
    """
    done = 0
    for shard in manifest.shards:
        file = folder / shard.file
        digest = hashlib.sha256()
        try:
            size = file.stat().st_size
            if size != shard.bytes:
                raise damaged(
                    f"{file} has {format_size(size)} ({size:,} bytes), and had "
                    f"{format_size(shard.bytes)} ({shard.bytes:,} bytes) when it was written"
                )
            with file.open("rb") as opened:
                while part := opened.read(_PART):
                    digest.update(part)
                    done += len(part)
                    progress("checking", done, manifest.bytes)
        except OSError as error:
            raise damaged(f"cannot read {file}: {error.strerror or error}") from error
        if digest.hexdigest() != shard.sha256:
            raise damaged(f"{file} was changed after it was written: its checksum is another")


def pour_shard(folder: Path, shard: Shard, key: Key | None, sink: Writable) -> None:
    """Write the RDB of *shard*, decrypted, to *sink*; raises what *sink* raises.

    Raises:
        UsageError: It was encrypted with another key.
        FolderError: It cannot be read, or was changed.
    """
    file = folder / shard.file
    counted = _Counted(sink)
    try:
        with file.open("rb") as opened:
            if key is not None and file.name.endswith(".age"):
                key.unseal(opened, counted, file.name)
            else:
                while part := opened.read(_PART):
                    counted.write(part)
    except OSError as error:
        raise FolderError(f"cannot read {file}: {error.strerror or error}") from error
    if counted.bytes != shard.rdb_bytes:
        raise damaged(f"{file} holds {counted.bytes:,} bytes of data, and had {shard.rdb_bytes:,}")


class _Counted:
    """Passes bytes on, and counts them."""

    def __init__(self, sink: Writable) -> None:
        self._sink = sink
        self.bytes = 0

    def write(self, data: bytes, /) -> int:
        self.bytes += len(data)
        return self._sink.write(data)
