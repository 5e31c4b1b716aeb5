"""Encrypted backups that somebody without the key has changed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import command
from tests.ops.backup.conftest import back_up
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import UsageError
from valkeyctl.ops.backup.manifest import Manifest, read_manifest, write_manifest
from valkeyctl.ops.backup.seal import Key
from valkeyctl.ops.backup.verify import verify_backup


def forge(folder: Path, manifest: Manifest) -> None:
    """Write *manifest* with a right checksum, and the marks of the key that it had."""
    write_manifest(folder, manifest)


def test_an_edited_manifest_is_found_although_its_checksum_is_right(
    server: Endpoint, tmp_path: Path, key: Key
) -> None:
    """Whoever can write the folder can make a checksum, but no mark of the key."""
    folder = back_up(server, tmp_path, key=key).folder
    (shard,) = read_manifest(folder).shards
    forge(folder, replace(read_manifest(folder), shards=(replace(shard, keys=None),)))

    found = verify_backup(folder, tmp_path / "runtimes", key)

    assert not found.sound
    assert "was changed by somebody who does not have the key" in found.problem


def test_a_file_that_was_sealed_for_the_public_key_is_found(
    server: Endpoint, tmp_path: Path, key: Key
) -> None:
    """Anybody can make one that opens; its checksum is bound to the secret key."""
    folder = back_up(server, tmp_path, key=key).folder
    command(server, "SET", "planted", "1")
    planted = back_up(server, tmp_path, key=key).folder
    data = (planted / "dump.rdb.age").read_bytes()
    (folder / "dump.rdb.age").write_bytes(data)
    (shard,) = read_manifest(planted).shards
    forge(folder, replace(read_manifest(folder), shards=(shard,)))

    found = verify_backup(folder, tmp_path / "runtimes", key)

    assert not found.sound
    assert "does not have the key" in found.problem


def test_a_plain_backup_does_not_pass_for_an_encrypted_one(
    server: Endpoint, tmp_path: Path, key: Key
) -> None:
    """Where a key is given one is expected."""
    sealed, plain = back_up(server, tmp_path, key=key).folder, back_up(server, tmp_path).folder
    (sealed / "dump.rdb.age").unlink()
    (sealed / "dump.rdb").write_bytes((plain / "dump.rdb").read_bytes())
    (sealed / "manifest.json").write_bytes((plain / "manifest.json").read_bytes())

    with pytest.raises(UsageError, match="is not encrypted, and --key-file is given"):
        verify_backup(sealed, tmp_path / "runtimes", key)


def test_what_tells_keys_apart_tells_nothing_of_them(
    server: Endpoint, tmp_path: Path, key: Key
) -> None:
    """The manifest names neither the secret key nor the one to encrypt with."""
    folder = back_up(server, tmp_path, key=key).folder
    secret, public = key.file.read_text().split()[-1], key.file.read_text().split()[6]

    text = (folder / "manifest.json").read_text()

    assert public.startswith("age1")
    assert secret not in text
    assert public not in text
    assert json.loads(text)["key_id"] == Key.read(key.file).id != Key.make(tmp_path / "k2").id
