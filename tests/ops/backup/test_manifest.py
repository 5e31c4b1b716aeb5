"""What a backup says of itself, and what is believed of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.ops.backup.conftest import edit
from valkeyctl.errors import FolderError, NotFoundError, UsageError
from valkeyctl.ops.backup.manifest import Manifest, Shard, read_manifest, write_manifest

SHARD = Shard(
    file="dump.rdb",
    bytes=10,
    sha256="00",
    rdb_bytes=10,
    rdb_version=11,
    server_version="8.1.1",
    taken_from="127.0.0.1:6379",
    role="primary",
    replication_id="r",
    offset=1,
    slots=((0, 5), (7, 9)),
    keys={"0": 3, "2": 1},
    data_bytes=99,
)
MANIFEST = Manifest(
    deployment="shop",
    app="shop",
    topology="standalone",
    taken_at=1.5,
    appendonly=True,
    encrypted=False,
    image="",
    valkeyctl="1",
    shards=(SHARD,),
)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    """Each field, and only for the owner's eyes."""
    write_manifest(tmp_path, MANIFEST)

    assert read_manifest(tmp_path) == MANIFEST
    assert read_manifest(tmp_path).keys == 4
    assert (tmp_path / "manifest.json").stat().st_mode & 0o777 == 0o600


def test_an_edited_manifest_is_not_believed(tmp_path: Path) -> None:
    """A number that somebody corrected by hand proves nothing any more."""
    write_manifest(tmp_path, MANIFEST)
    edit(tmp_path, app="other")

    with pytest.raises(FolderError, match="was changed after it was written"):
        read_manifest(tmp_path)


def test_a_newer_format_asks_for_a_newer_valkeyctl(tmp_path: Path) -> None:
    """And is told apart from a damaged one."""
    write_manifest(tmp_path, MANIFEST)
    edit(tmp_path, format=2)

    with pytest.raises(UsageError, match="has format 2, and this valkeyctl knows formats up to 1"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", '"x"', "{}", '{"format": 1}', "\x00"])
def test_what_is_no_manifest_is_said_to_be_none(tmp_path: Path, text: str) -> None:
    """Never a traceback."""
    (tmp_path / "manifest.json").write_text(text)

    with pytest.raises(FolderError, match="is no manifest of a backup"):
        read_manifest(tmp_path)


def test_a_folder_without_a_manifest_is_no_backup(tmp_path: Path) -> None:
    """It is written last."""
    with pytest.raises(NotFoundError, match="there is no backup in"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "x.rdb", "dump.rdb/.."])
def test_a_manifest_from_elsewhere_names_no_foreign_file(tmp_path: Path, name: str) -> None:
    """Its files lie beside it, whatever it says."""
    write_manifest(tmp_path, replace(MANIFEST, shards=(replace(SHARD, file=name),)))

    with pytest.raises(FolderError, match="is no file of a backup"):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"taken_at": "x"}, "taken_at"),
        ({"taken_at": 1e300}, "taken_at"),
        ({"deployment": 3}, "deployment"),
        ({"topology": "odd"}, "topology"),
        ({"shards": ()}, "no data"),
        ({"shards": (replace(SHARD, bytes=None),)}, r"shards\.0\.bytes"),  # type: ignore[arg-type]  # forged
        ({"encrypted": True}, "against its own word"),
    ],
)
def test_a_forged_manifest_is_refused_and_not_stumbled_over(
    tmp_path: Path, fields: dict[str, object], word: str
) -> None:
    """Its checksum is right; what it says makes no sense."""
    write_manifest(tmp_path, replace(MANIFEST, **fields))  # type: ignore[arg-type]  # forged

    with pytest.raises(FolderError, match=f"lacks what a backup needs: .*{word}"):
        read_manifest(tmp_path)


def test_a_backup_that_was_not_loaded_knows_no_count() -> None:
    """Rather no number than a wrong one."""
    unknown = replace(MANIFEST, shards=(SHARD, replace(SHARD, keys=None)))

    assert unknown.keys is None
    assert json.dumps(unknown.bytes) == "20"
