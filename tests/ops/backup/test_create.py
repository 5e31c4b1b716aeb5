"""Taking backups: whole and verified, or nothing that looks like one."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.conftest import command
from tests.ops.backup.conftest import AT_ONCE, back_up, names_in
from tests.ops.conftest import Start
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import FolderError, MissingError, StartError, UnreachableError, UsageError
from valkeyctl.ops.backup import create
from valkeyctl.ops.backup.create import Origin, backup
from valkeyctl.ops.backup.manifest import read_manifest
from valkeyctl.ops.backup.seal import Key
from valkeyctl.ops.backup.shelf import listed
from valkeyctl.ops.backup.verify import verify_backup
from valkeyctl.runtime.loadtrial import Pour


def test_a_backup_holds_what_the_server_held(server: Endpoint, tmp_path: Path) -> None:
    """By database, with its place in the history of the data."""
    found = back_up(server, tmp_path)

    manifest = read_manifest(found.folder)
    (shard,) = manifest.shards
    assert found.keys == {"0": 2, "3": 1}
    assert (shard.keys, shard.role, shard.taken_from) == (found.keys, "primary", server.address)
    assert (shard.rdb_version, manifest.appendonly, manifest.encrypted) == (80, False, False)
    assert len(shard.replication_id) == 40
    assert names_in(found.folder) == ["dump.rdb", "manifest.json"]
    assert names_in(tmp_path / "shelf") == [found.folder.name]


def test_nobody_else_can_read_a_backup(server: Endpoint, tmp_path: Path) -> None:
    """It holds all that the server's passwords protect."""
    found = back_up(server, tmp_path)

    assert found.folder.stat().st_mode & 0o777 == 0o700
    assert [file.stat().st_mode & 0o777 for file in found.folder.iterdir()] == [0o600, 0o600]


def test_keys_that_expire_are_counted_alike_later(server: Endpoint, tmp_path: Path) -> None:
    """A key that has expired since is still in the backup."""
    command(server, "SET", "short", "1", "PX", "200")
    found = back_up(server, tmp_path)
    pause = threading.Event()
    pause.wait(0.25)

    assert verify_backup(found.folder, tmp_path / "runtimes").keys == {"0": 3, "3": 1}


def test_an_empty_server_has_a_backup_too(start: Start, tmp_path: Path) -> None:
    """With no keys, which is not the same as keys that nobody counted."""
    found = back_up(start(*AT_ONCE), tmp_path)

    assert found.keys == {}
    assert verify_backup(found.folder, tmp_path / "runtimes").sound


def test_a_server_with_an_aof_gives_the_same_point_in_time(start: Start, tmp_path: Path) -> None:
    """The manifest says that it had one."""
    server = start(*AT_ONCE, "--appendonly", "yes")
    command(server, "SET", "k", "v")

    found = back_up(server, tmp_path)

    assert (found.appendonly, found.keys) == (True, {"0": 1})


def test_an_encrypted_backup_opens_with_its_key_alone(
    server: Endpoint, tmp_path: Path, key: Key
) -> None:
    """Nothing of the data lies on the disk in clear text."""
    command(server, "SET", "secret", "sesame-open")
    found = back_up(server, tmp_path, key=key)

    assert names_in(found.folder) == ["dump.rdb.age", "manifest.json"]
    assert verify_backup(found.folder, tmp_path / "runtimes", key).keys == {"0": 3, "3": 1}
    assert b"sesame" not in (found.folder / "dump.rdb.age").read_bytes()
    with pytest.raises(UsageError, match="is encrypted"):
        verify_backup(found.folder, tmp_path / "runtimes")
    with pytest.raises(UsageError, match="with another key"):
        verify_backup(found.folder, tmp_path / "runtimes", Key.make(tmp_path / "other"))


def test_the_copying_needs_no_memory_for_the_data(start: Start, tmp_path: Path, key: Key) -> None:
    """24 MiB of data, and this process grows by far less."""
    server = start(*AT_ONCE)
    for number in range(3):
        command(server, "SETRANGE", f"k{number}", str(8 * 2**20 - 1), "x")
    command(server, "CONFIG", "SET", "rdbcompression", "no")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    plain, sealed = back_up(server, tmp_path), back_up(server, tmp_path, key=key)

    assert min(plain.bytes, sealed.bytes) > 24 * 2**20
    unit = 1 if sys.platform == "darwin" else 1024
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * unit < 12 * 2**20


def test_old_backups_go_when_a_new_one_is_there(server: Endpoint, tmp_path: Path) -> None:
    """Of this name only; what cannot be read stays."""
    first, second = back_up(server, tmp_path), back_up(server, tmp_path)
    origin = Origin("other", server)
    other = backup(origin, tmp_path / "shelf", tmp_path / "runtimes").folder
    (second.folder / "manifest.json").write_text("{")

    third = back_up(server, tmp_path, keep=1)

    assert third.removed == (first.folder,)
    left = [one.folder.name for one in listed(tmp_path / "shelf")]
    assert sorted(left) == sorted([other.name, second.folder.name, third.folder.name])


def test_old_backups_stay_when_the_new_one_cannot_be_loaded(
    server: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the new one is gone."""
    first = back_up(server, tmp_path)

    def refuse(_pour: Pour) -> None:
        raise StartError("valkey 9.1.2 cannot load it: RDB CRC error")

    monkeypatch.setattr(create, "find_trial", lambda *_args, **_named: refuse)

    with pytest.raises(StartError, match=r"was copied, and .*CRC error; the copy is removed"):
        back_up(server, tmp_path, keep=1)

    assert names_in(tmp_path / "shelf") == [first.folder.name]


def test_a_server_that_is_too_new_to_be_verified_is_not_copied(
    server: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is known before the first byte is, and --no-verify is named."""
    monkeypatch.setattr("valkeyctl.ops.backup.trial.find_binary", _none)

    with pytest.raises(MissingError, match="no server on this machine can load") as caught:
        back_up(server, tmp_path)

    assert "--no-verify" in str(caught.value.hint)
    assert names_in(tmp_path / "shelf") == []


def _none(**_named: object) -> None:
    raise MissingError("none")


def test_a_server_that_dies_in_the_middle_leaves_nothing(start: Start, tmp_path: Path) -> None:
    """Neither a folder nor a file."""
    server = start(*AT_ONCE, "--rdb-key-save-delay", "300000")
    command(server, "MSET", *[word for n in range(50) for word in (f"k{n}", "v" * 100)])
    stopping = threading.Timer(0.4, lambda: command(server, "SHUTDOWN", "NOSAVE", "NOW", "FORCE"))
    stopping.start()

    with pytest.raises(UnreachableError, match=r"ended the transfer|broke|closed"):
        back_up(server, tmp_path)

    stopping.join()
    assert names_in(tmp_path / "shelf") == []


def test_a_full_disk_leaves_nothing(server: Endpoint, tmp_path: Path) -> None:
    """And names the folder that has no room."""
    command(server, "SETRANGE", "big", str(2**20), "x")
    command(server, "CONFIG", "SET", "rdbcompression", "no")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(FolderError, match=r"cannot write .*dump\.rdb: File too large"):
            back_up(server, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)

    assert names_in(tmp_path / "shelf") == []


def test_one_that_was_killed_looks_like_no_backup_and_is_removed_by_the_next(
    start: Start, tmp_path: Path
) -> None:
    """SIGKILL in the middle of the copying."""
    server = start(*AT_ONCE)
    command(server, "SET", "k", "v")
    script = (
        "import sys, time; from pathlib import Path; from valkeyctl.endpoint import Endpoint;"
        "from valkeyctl.ops.backup.create import Origin, backup;"
        "backup(Origin('shop', Endpoint(port=int(sys.argv[1]))), Path(sys.argv[2]),"
        "Path(sys.argv[2]), progress=lambda *_: (print('going', flush=True), time.sleep(60)))"
    )
    shelf = tmp_path / "shelf"
    with subprocess.Popen(
        [sys.executable, "-c", script, str(server.port), str(shelf)], stdout=subprocess.PIPE
    ) as killed:
        assert killed.stdout is not None
        killed.stdout.readline()
        os.kill(killed.pid, signal.SIGKILL)

    assert len(names_in(shelf)) == 1
    assert listed(shelf) == []

    found = back_up(server, tmp_path)

    assert names_in(shelf) == [found.folder.name]


@pytest.mark.parametrize("damage", ["cut", "flip", "gone", "manifest"])
def test_a_damaged_backup_is_found_out(server: Endpoint, tmp_path: Path, damage: str) -> None:
    """And what is wrong with it is said."""
    folder = back_up(server, tmp_path).folder
    file = folder / "dump.rdb"
    data = file.read_bytes()
    words = {
        "cut": "bytes) when it was written",
        "flip": "its checksum is another",
        "gone": "cannot read",
        "manifest": "was changed after it was written",
    }
    if damage == "cut":
        file.write_bytes(data[:-1])
    elif damage == "flip":
        file.write_bytes(data[:50] + bytes([data[50] ^ 1]) + data[51:])
    elif damage == "gone":
        file.unlink()
    else:
        manifest = folder / "manifest.json"
        manifest.write_text(manifest.read_text().replace('"0": 2', '"0": 3'))

    found = verify_backup(folder, tmp_path / "runtimes")

    assert not found.sound
    assert words[damage] in found.problem
