"""Restoring into a deployment: a whole data set is there at every moment."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import command
from tests.ops.backup.conftest import back_up_deployment, deployed, names_in
from tests.ops.conftest import Start
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import FolderError, RefusedError, StartError, UsageError
from valkeyctl.ops.backup.create import Origin, backup
from valkeyctl.ops.backup.manifest import read_manifest
from valkeyctl.ops.backup.restore import restore
from valkeyctl.ops.backup.restoreplan import plan_restore
from valkeyctl.ops.backup.seal import Key
from valkeyctl.ops.deploy import deploy, restart, take_down
from valkeyctl.ops.statefolder import StateFolder
from valkeyctl.runtime.datafolder import ProcessData
from valkeyctl.runtime.loadtrial import Loaded
from valkeyctl.runtime.process import ProcessRuntime

MODES = ("none", "rdb", "rdb+aof")


def keys(endpoint: Endpoint) -> set[bytes]:
    """Return the names of all keys in database 0."""
    return set(command(endpoint, "KEYS", "*").split(b"\r\n")[2::2])


def data_of(state: StateFolder, name: str) -> Path:
    """Return the data folder of a process."""
    return state.runtimes / "process" / name / "data"


def leftovers(state: StateFolder, name: str) -> list[str]:
    """Return what a restore has put beside the data and not removed."""
    return [one for one in names_in(data_of(state, name)) if one[:2] in ("re", "ke")]


@pytest.mark.parametrize("mode", MODES)
def test_a_restore_brings_the_data_back(state: StateFolder, mode: str) -> None:
    """All of it and nothing else; what was there before is in a backup of its own."""
    profile, endpoint = deployed(state, persistence=mode)
    command(endpoint, "MSET", "a", "1", "b", "2")
    folder = back_up_deployment(profile, endpoint, state)
    command(endpoint, "SET", "later", "1")
    command(endpoint, "DEL", "a")

    done = restore(folder, profile, state)

    assert keys(endpoint) == {b"a", b"b"}
    assert (done.keys, done.keys_replaced, done.kept, done.warnings) == (2, 2, "", ())
    assert done.safety is not None
    assert read_manifest(done.safety).keys == 2
    assert leftovers(state, profile.name) == []

    restore(done.safety, profile, state)

    assert keys(endpoint) == {b"b", b"later"}


@pytest.mark.parametrize("mode", ["none", "rdb", "aof"])
def test_restored_data_lives_as_long_as_the_profile_says(state: StateFolder, mode: str) -> None:
    """Over a clean restart with persistence, and never again after one without."""
    profile, endpoint = deployed(state, persistence=mode)
    command(endpoint, "SET", "k", "1")
    restore(back_up_deployment(profile, endpoint, state), profile, state)
    command(endpoint, "SET", "after", "1")

    restart(profile.name, state)

    assert keys(endpoint) == (set() if mode == "none" else {b"k", b"after"})


def test_a_deployment_that_never_was_gets_the_data_at_its_first_start(
    state: StateFolder, start: Start, tmp_path: Path
) -> None:
    """A backup of one machine starts a deployment on another."""
    profile, endpoint = deployed(state, persistence="aof")
    command(endpoint, "SET", "k", "1")
    folder = back_up_deployment(profile, endpoint, state)
    take_down(profile.name, state, purge=True)

    plan = plan_restore(folder, profile, state)
    done = restore(folder, profile, state)

    assert (plan.running, plan.keys_now, plan.keys) == (False, None, 1)
    assert (done.safety, done.kept, done.keys) == (None, "", 1)
    assert keys(endpoint) == {b"k"}


def test_the_files_of_a_stopped_deployment_are_kept(state: StateFolder) -> None:
    """Nobody can be asked for a copy, so its files stay beside."""
    profile, endpoint = deployed(state, persistence="rdb")
    folder = back_up_deployment(profile, endpoint, state)
    command(endpoint, "SET", "old", "1")
    take_down(profile.name, state)

    done = restore(folder, profile, state)

    assert Path(done.kept).parent == data_of(state, profile.name)
    assert b"old" in (Path(done.kept) / "dump.rdb").read_bytes()
    assert keys(endpoint) == set()


def test_an_encrypted_backup_is_restored(state: StateFolder, key: Key) -> None:
    """And what it replaces is encrypted with the same key."""
    profile, endpoint = deployed(state, persistence="rdb")
    command(endpoint, "SET", "k", "1")
    origin = Origin(profile.name, endpoint)
    folder = backup(origin, state.root / "b", state.runtimes, key=key).folder
    command(endpoint, "FLUSHALL")

    with pytest.raises(UsageError, match="is encrypted"):
        restore(folder, profile, state)
    done = restore(folder, profile, state, key=key)

    assert keys(endpoint) == {b"k"}
    assert done.safety is not None
    assert read_manifest(done.safety).encrypted


def test_a_backup_that_the_server_cannot_read_touches_nothing(
    state: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is loaded by the deployment's own server, before that is stopped."""
    profile, endpoint = deployed(state, persistence="rdb")
    command(endpoint, "SET", "k", "1")
    folder = back_up_deployment(profile, endpoint, state)
    run_id = command(endpoint, "INFO", "server")

    def refuse(_self: ProcessData) -> Loaded:
        raise StartError("valkey 8.0.1 cannot load it: Can't handle RDB format version 80")

    monkeypatch.setattr(ProcessData, "try_staged", refuse)

    with pytest.raises(
        RefusedError,
        match=r"valkey 9\.\S+ wrote in RDB version 80.*untouched|.*nothing was touched",
    ):
        restore(folder, profile, state)

    assert (
        command(endpoint, "INFO", "server").split(b"run_id")[1][:40]
        == run_id.split(b"run_id")[1][:40]
    )
    assert names_in(data_of(state, profile.name)) == []


def test_data_that_does_not_fit_touches_nothing(state: StateFolder, start: Start) -> None:
    """A cache would evict most of it at once, a store refuse every write."""
    profile, endpoint = deployed(
        state, persistence="rdb", memory={"limit": "96Mi", "maxmemory": "4Mi"}
    )
    command(endpoint, "SET", "k", "1")
    big = start("--repl-diskless-sync-delay", "0")
    command(big, "SETRANGE", "big", str(6 * 2**20), "x")
    folder = backup(Origin("big", big), state.root / "b", state.runtimes).folder

    with pytest.raises(RefusedError, match=r"takes [67]\.. MiB, and maxmemory of .* is 4\.0 MiB"):
        restore(folder, profile, state)

    assert keys(endpoint) == {b"k"}


def test_a_damaged_backup_touches_nothing(state: StateFolder) -> None:
    """Its checksum is looked at first."""
    profile, endpoint = deployed(state, persistence="rdb")
    command(endpoint, "SET", "k", "1")
    folder = back_up_deployment(profile, endpoint, state)
    with (folder / "dump.rdb").open("r+b") as file:
        file.seek(60)
        file.write(b"!")

    with pytest.raises(FolderError, match="its checksum is another"):
        restore(folder, profile, state)

    assert keys(endpoint) == {b"k"}


@pytest.mark.parametrize("mode", ["none", "rdb", "aof"])
def test_on_a_failed_start_the_old_data_runs_again(
    state: StateFolder, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    """Whatever the server kept its data in, also when it kept none."""
    profile, endpoint = deployed(state, persistence=mode)
    folder = back_up_deployment(profile, endpoint, state)
    command(endpoint, "SET", "old", "1")
    begin = ProcessRuntime.start
    starts: list[object] = []

    def fail_once(self: ProcessRuntime, *words: object) -> Endpoint:
        starts.append(words)
        if len(starts) == 1:
            raise StartError("the server ended")
        return begin(self, *words)  # type: ignore[arg-type]  # passed on as they came

    monkeypatch.setattr(ProcessRuntime, "start", fail_once)

    with pytest.raises(StartError, match="the server ended; the old data runs again"):
        restore(folder, profile, state)

    assert keys(endpoint) == {b"old"}
    assert leftovers(state, profile.name) == []
    command(endpoint, "SET", "new", "1")
    restart(profile.name, state)
    assert keys(endpoint) == (set() if mode == "none" else {b"old", b"new"})


def test_a_server_that_loads_less_than_there_is_is_not_kept(
    state: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The keys that it says it has loaded are compared with the backup's."""
    profile, endpoint = deployed(state, persistence="aof")
    folder = back_up_deployment(profile, endpoint, state)
    command(endpoint, "SET", "old", "1")
    monkeypatch.setattr("valkeyctl.ops.backup.restore.loaded_keys", lambda _at: (7, 0))

    with pytest.raises(StartError, match=r"has loaded 7 keys of 0 keys; the old data runs again"):
        restore(folder, profile, state)

    assert keys(endpoint) == {b"old"}


def test_the_last_copies_of_replaced_data_stay(state: StateFolder) -> None:
    """Three of them, and the one that is restored."""
    profile, endpoint = deployed(state, persistence="rdb")
    shelf = state.root / "backups" / profile.name
    safety = Origin(f"{profile.name}-before-restore", endpoint)
    old = [backup(safety, shelf, state.runtimes, verified=False).folder for _ in range(4)]
    other = back_up_deployment(profile, endpoint, state)

    done = restore(old[0], profile, state)

    assert done.safety is not None
    assert done.removed == (old[1],)
    assert names_in(shelf) == sorted(
        one.name for one in (other, old[0], old[2], old[3], done.safety)
    )


def test_writers_wait_while_the_present_data_is_copied(
    state: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a writer was told is written is in the copy."""
    profile, endpoint = deployed(state, persistence="rdb")
    folder = back_up_deployment(profile, endpoint, state)
    seen: list[bytes] = []

    def watched(*words: object, **named: object) -> object:
        seen.append(command(endpoint, "INFO", "clients"))
        return backup(*words, **named)  # type: ignore[arg-type]  # passed on as they came

    monkeypatch.setattr("valkeyctl.ops.backup.restoration.backup", watched)

    restore(folder, profile, state)

    assert b"paused_actions:write" in seen[0]
    command(endpoint, "SET", "k", "1")
    assert keys(endpoint) == {b"k"}


KILLING = """
import os, signal, sys
from pathlib import Path
from valkeyctl.ops.backup.restore import restore
from valkeyctl.ops.statefolder import StateFolder
from valkeyctl.profile import Profile
from valkeyctl.runtime import datafolder
from valkeyctl.runtime.datafolder import ProcessData
from valkeyctl.runtime.process import ProcessRuntime

def killing(kind, name, verb, after):
    original = getattr(kind, name)
    def call(self, *words, **named):
        hit = not verb or verb in words
        if hit and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        found = original(self, *words, **named)
        if hit:
            os.kill(os.getpid(), signal.SIGKILL)
        return found
    setattr(kind, name, call)

word, after = sys.argv[4], sys.argv[5] == "after"
if sys.argv[5] == "within":
    # Its script goes on without us, slowly, and has not replaced anything yet.
    head, tail = datafolder.SCRIPT.split("switch)", 1)
    tail = tail.replace("  old=$5", "  kill -9 $PPID; sleep 0.6; old=$5", 1)
    datafolder.SCRIPT = f"{head}switch){tail}"
elif word in ("start", "stop"):
    killing(ProcessRuntime, word, "", after)
else:
    killing(ProcessData, "_run", word, after)
profile = Profile.model_validate_json(sys.argv[3])
restore(Path(sys.argv[1]), profile, StateFolder(Path(sys.argv[2])))
"""


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["rdb", "aof"])
def test_killed_at_any_moment_the_next_deploy_finds_a_whole_data_set(
    state: StateFolder, mode: str
) -> None:
    """SIGKILL around each step: until the switch the old keys are there, and then the new."""
    profile, endpoint = deployed(state, persistence=mode)
    command(endpoint, "MSET", "new1", "1", "new2", "1")
    folder = back_up_deployment(profile, endpoint, state)
    told = profile.model_dump_json(exclude_unset=True)
    old, new = {b"old1", b"old2", b"old3"}, {b"new1", b"new2"}
    command(endpoint, "FLUSHALL")
    command(endpoint, "MSET", "old1", "1", "old2", "1", "old3", "1")

    for word, when, expected in (
        ("stage", "after", old),
        ("stop", "after", old),
        ("switch", "within", new),
        ("switch", "after", new),
        ("start", "after", new),
    ):
        ended = subprocess.run(
            [sys.executable, "-c", KILLING, str(folder), str(state.root), told, word, when],
            check=False,
        )
        assert ended.returncode == -signal.SIGKILL

        deploy(profile, state)

        assert keys(endpoint) == expected, (word, when)
        if when == "within":
            restart(profile.name, state)
            assert keys(endpoint) == expected

    assert restore(folder, profile, state).keys == 2
    assert leftovers(state, profile.name) == []
