"""Encryption: what was sealed opens with its key, whole, or not at all."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from valkeyctl.errors import FolderError, MissingError, RefusedError, UsageError
from valkeyctl.ops.backup.seal import Key

TEXT = bytes(range(256)) * 2048  # half a MiB: several parts of age


@pytest.fixture
def sealed(key: Key) -> bytes:
    """The text, encrypted."""
    out = io.BytesIO()
    key.seal(io.BytesIO(TEXT), out)
    return out.getvalue()


def opened(key: Key, data: bytes) -> bytes:
    """Return what *data* decrypts to."""
    out = io.BytesIO()
    key.unseal(io.BytesIO(data), out, "dump.rdb.age")
    return out.getvalue()


def test_what_was_sealed_opens_again(key: Key, sealed: bytes) -> None:
    """With the key as it was read from its file."""
    assert opened(Key.read(key.file), sealed) == TEXT
    assert TEXT[:64] not in sealed


@pytest.mark.parametrize("change", ["cut", "cut a part", "flip", "swap", "empty", "more"])
def test_what_was_changed_does_not_open(key: Key, sealed: bytes, change: str) -> None:
    """Cut anywhere, one bit flipped, two parts exchanged, something added."""
    part = 65536 + 16
    begin = len(sealed) % part  # the header and the last, shorter part
    head, rest = sealed[:200], sealed[200:]
    changed = {
        "cut": sealed[:-1],
        "cut a part": sealed[: -part - begin],
        "flip": sealed[:5000] + bytes([sealed[5000] ^ 1]) + sealed[5001:],
        "swap": head + rest[part : 2 * part] + rest[:part] + rest[2 * part :],
        "empty": b"",
        "more": sealed + b"x",
    }[change]

    with pytest.raises(FolderError, match="cannot be decrypted: it was cut or changed"):
        opened(key, changed)


def test_another_key_is_named_as_such(key: Key, sealed: bytes, tmp_path: Path) -> None:
    """Status 2: the option names the wrong file, and nothing is wrong with the backup."""
    other = Key.make(tmp_path / "other.key")

    with pytest.raises(UsageError, match="was encrypted with another key than the one in"):
        opened(other, sealed)


def test_a_key_is_for_its_owner_only(key: Key) -> None:
    """It is made so, is refused otherwise, and is never shown."""
    assert key.file.stat().st_mode & 0o777 == 0o600
    assert "SECRET" not in repr(key)

    key.file.chmod(0o640)

    with pytest.raises(RefusedError, match="is open to others"):
        Key.read(key.file)


def test_a_key_is_never_written_over(key: Key) -> None:
    """Whoever loses it loses all backups that were made with it."""
    with pytest.raises(RefusedError, match="is there already"):
        Key.make(key.file)


@pytest.mark.parametrize("text", [b"", b"hello\n", b"AGE-SECRET-KEY-1QQ\n", b"\xff\xfe"])
def test_a_file_without_a_key_is_said_to_have_none(tmp_path: Path, text: bytes) -> None:
    """Whatever is in it; it is not repeated."""
    file = tmp_path / "no.key"
    file.write_bytes(text)
    file.chmod(0o600)

    with pytest.raises(UsageError, match="holds no age key"):
        Key.read(file)


def test_a_missing_key_file_is_missing(tmp_path: Path) -> None:
    """With the way to make one."""
    with pytest.raises(MissingError, match="cannot read the key file"):
        Key.read(tmp_path / "none")


class Full:
    """A disk that is full."""

    def write(self, data: bytes, /) -> int:
        raise FolderError("no space left")


def test_the_failure_of_a_disk_is_not_taken_for_one_of_the_key(key: Key, sealed: bytes) -> None:
    """Neither while sealing nor while opening."""
    with pytest.raises(FolderError, match="no space left"):
        key.seal(io.BytesIO(TEXT), Full())
    with pytest.raises(FolderError, match="no space left"):
        key.unseal(io.BytesIO(sealed), Full(), "x")
