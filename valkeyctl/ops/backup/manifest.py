"""What a backup says of itself: ``manifest.json``."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from valkeyctl.endpoint import Topology
from valkeyctl.errors import FolderError, NotFoundError, UsageError
from valkeyctl.ops.backup.seal import Key
from valkeyctl.runtime.files import write_private

MANIFEST = "manifest.json"
FORMAT = 1
_FILE = re.compile(r"(dump|shard-\d+)\.rdb(\.age)?")
_YEAR_10000 = 253_402_300_800.0  # no date can be later
_LARGEST = 4 * 2**20  # bytes; a Cluster of a thousand shards needs a tenth of it


@dataclass(frozen=True)
class Shard:
    """One RDB of a backup.

    Attributes:
        file: Its name in the backup's folder.
        bytes: Of that file.
        sha256: Of that file, as hex digits.
        rdb_bytes: Of the RDB itself; less than *bytes* when it is encrypted.
        rdb_version: Of its format, such as 11 or 80.
        server_version: Of the server that wrote it.
        taken_from: Where that server was.
        role: What it was: ``primary`` or ``replica``.
        replication_id: Of the history of the data.
        offset: Place in that history.
        slots: First and last slot of each range that it served; empty without a Cluster.
        keys: By database, as they were found when the backup was loaded; None when it
            was not.
        data_bytes: Memory that the loaded data took; None likewise.
    """

    file: str
    bytes: int
    sha256: str
    rdb_bytes: int
    rdb_version: int
    server_version: str
    taken_from: str
    role: str
    replication_id: str
    offset: int
    slots: tuple[tuple[int, int], ...] = ()
    keys: Mapping[str, int] | None = None
    data_bytes: int | None = None


@dataclass(frozen=True)
class Manifest:
    """A backup's account of itself.

    Attributes:
        deployment: Name of the deployment, or of the server where it has none.
        app: First part of its keys; empty when unknown.
        topology: What the deployment was.
        taken_at: When its last shard was complete, in seconds since the epoch.
        appendonly: Whether the server kept an AOF; None when it did not say. The RDB is
            the same point in time whether it did or not.
        encrypted: Whether the files are encrypted, with age.
        image: Of the deployment; empty when unknown.
        valkeyctl: Version that wrote it.
        shards: One RDB each; a single one but for a Cluster.
        key_id: Tells which key it is encrypted with, and nothing of that key; empty when
            it is not encrypted.
        mac: Of all the rest, made with that key, so that nobody else can change the
            manifest, or put another file in the place of one that it names.
        format: Of this file.
    """

    deployment: str
    app: str
    topology: Topology
    taken_at: float
    appendonly: bool | None
    encrypted: bool
    image: str
    valkeyctl: str
    shards: tuple[Shard, ...] = field(default_factory=tuple)
    key_id: str = ""
    mac: str = ""
    format: int = FORMAT

    @property
    def bytes(self) -> int:
        """Of all its files."""
        return sum(shard.bytes for shard in self.shards)

    @property
    def keys(self) -> int | None:
        """In all databases of all shards; None when it was never loaded."""
        counts = [shard.keys for shard in self.shards]
        if any(count is None for count in counts):
            return None
        return sum(sum(count.values()) for count in counts if count is not None)


def write_manifest(folder: Path, manifest: Manifest, key: Key | None = None) -> None:
    """Write *manifest* into *folder*, with a checksum over itself, and the mark of *key*.

    Raises:
        FolderError: It cannot be written.
    """
    if key is not None:
        manifest = replace(manifest, key_id=key.id)
        manifest = replace(manifest, mac=_mac(manifest, key))
    fields = _plain(asdict(manifest))
    sealed = {**fields, "checksum": _checksum(fields)}
    write_private(folder / MANIFEST, json.dumps(sealed, indent=2) + "\n")


def read_manifest(folder: Path) -> Manifest:
    """Return what the backup in *folder* says of itself.

    Raises:
        NotFoundError: There is no backup.
        UsageError: A newer valkeyctl wrote it.
        FolderError: It cannot be read, or its manifest was changed, or is none.
    """
    file = folder / MANIFEST
    try:
        with file.open("rb") as opened:
            text = opened.read(_LARGEST)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFoundError(
            f"there is no backup in {folder}", hint="See what there is: valkeyctl backup ls"
        ) from error
    except OSError as error:
        raise FolderError(f"cannot read {file}: {error.strerror or error}") from error
    try:
        fields = json.loads(text)
        version = fields.pop("format")
        checksum = fields.pop("checksum")
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise damaged(f"{file} is no manifest of a backup") from error
    if not isinstance(version, int) or version > FORMAT:
        raise UsageError(
            f"{folder} has format {version}, and this valkeyctl knows formats up to {FORMAT}",
            hint="Use the valkeyctl that made it, or a newer one",
        )
    if checksum != _checksum({**fields, "format": version}):
        raise damaged(f"{file} was changed after it was written")
    try:
        manifest = _schema().validate_json(json.dumps({**fields, "format": version}), strict=True)
        _check(manifest)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise damaged(f"{file} lacks what a backup needs: {where}: {first['msg']}") from error
    except ValueError as error:
        raise damaged(f"{file} lacks what a backup needs: {error}") from error
    return manifest


def authenticate(folder: Path, manifest: Manifest, key: Key | None) -> None:
    """Make sure that the backup in *folder* is of the holder of *key*, and can be read with it.

    Raises:
        UsageError: It is encrypted, and there is no key, or another one; or it is not
            encrypted, and there is a key.
        FolderError: Somebody without the key has changed it.
    """
    if not manifest.encrypted:
        if key is None:
            return
        # Whoever expects an encrypted backup must not be given somebody else's plain one.
        raise UsageError(
            f"{folder} is not encrypted, and --key-file is given",
            hint="Leave --key-file out when you trust the folder that it is in",
        )
    if key is None:
        raise UsageError(
            f"{folder} is encrypted", hint="Give the key that it was made with: --key-file FILE"
        )
    if manifest.key_id != key.id:
        raise UsageError(
            f"{folder} was encrypted with another key than the one in {key.file}",
            hint="Give the key file that it was made with: --key-file FILE",
        )
    if not hmac.compare_digest(manifest.mac.encode(), _mac(manifest, key).encode()):
        raise damaged(f"{folder / MANIFEST} was changed by somebody who does not have the key")


def _mac(manifest: Manifest, key: Key) -> str:
    return key.mac(_canonical(_plain(asdict(replace(manifest, mac="")))))


@cache
def _schema() -> TypeAdapter[Manifest]:
    return TypeAdapter(Manifest)


def _check(manifest: Manifest) -> None:
    """Refuse what its types let pass: a manifest may come from anywhere."""
    if not manifest.shards:
        raise ValueError("it names no data")
    for shard in manifest.shards:
        # It becomes a path.
        if not _FILE.fullmatch(shard.file):
            raise ValueError(f"{shard.file[:80]!r} is no file of a backup")
        if shard.file.endswith(".age") is not manifest.encrypted:
            raise ValueError(f"{shard.file} is encrypted, or is not, against its own word")
    if not 0 <= manifest.taken_at < _YEAR_10000:
        raise ValueError(f"taken_at is {manifest.taken_at}")


def _plain(fields: dict[str, object]) -> dict[str, object]:
    """Return *fields* with lists for tuples, as they come back from JSON."""
    found: dict[str, object] = json.loads(json.dumps(fields))
    return found


def _checksum(fields: Mapping[str, object]) -> str:
    """Return the sha256 of *fields*, whatever their order.

    It finds accidents and careless edits; who can forge a file can forge it too.
    """
    return hashlib.sha256(_canonical(fields)).hexdigest()


def _canonical(fields: Mapping[str, object]) -> bytes:
    return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()


def damaged(what: str) -> FolderError:
    """Return the failure of a backup that is not what it says it is."""
    return FolderError(what, hint="Use another backup: valkeyctl backup ls")
