"""Deploying on the embedded server: what changes, what does not, and what is put back."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import command, free_port
from tests.ops.conftest import at, changed, fact, kill, on_process, servers_of
from tests.runtime.conftest import unique_profile, with_conf_line
from valkeyctl.errors import (
    FolderError,
    LockedError,
    MissingError,
    NotFoundError,
    PortTakenError,
    ProfileError,
    RefusedError,
    StartError,
)
from valkeyctl.ops.deploy import changes, deploy, restart, roll_back, take_down
from valkeyctl.ops.statefolder import StateFolder
from valkeyctl.profile import Profile
from valkeyctl.render import Artefacts, render
from valkeyctl.runtime import ready
from valkeyctl.runtime.binary import find_binary
from valkeyctl.runtime.process import ProcessRuntime

# What no CONFIG SET changes, so that a server is replaced for it.
FIXED_AT_START = {"databases": 4}


@pytest.fixture
def broken_render(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Call it: from then on every render holds a directive that no server knows."""

    def break_it() -> None:
        def broken(profile: Profile) -> Artefacts:
            return with_conf_line(render(profile), "no-such 1")

        monkeypatch.setattr("valkeyctl.ops.deploy.render", broken)

    return break_it


def test_a_profile_is_started(state: StateFolder) -> None:
    """The result says where, on what and why, and a record of it is kept."""
    profile = unique_profile()

    found = on_process(profile, state)

    assert (found.action, found.changed) == ("started", True)
    assert found.url == f"redis://{profile.publish}/0"
    assert found.runtime == "process"
    assert found.runtime_reason == "process was asked for"
    assert found.version[0].isdigit()
    assert len(found.proofs) == 3
    assert (found.write_gap_ms, found.keys_before, found.keys_after) == (None, None, None)
    assert command(at(found), "PING") == b"+PONG\r\n"
    record = state.read(profile.name).record
    assert record is not None
    assert (record.digest, record.url, record.version) == (found.digest, found.url, found.version)
    assert record.directives["maxmemory-policy"] == "allkeys-lru"
    assert state.last_good(profile.name) == render(profile)


def test_deploying_again_changes_nothing(state: StateFolder) -> None:
    """The second deploy says so, and the server is the same process."""
    profile = unique_profile()
    first = on_process(profile, state)
    process_id = fact(at(first), "process_id")

    second = deploy(profile, state)

    assert (second.action, second.changed) == ("unchanged", False)
    assert second.digest == first.digest
    assert fact(at(second), "process_id") == process_id


def test_a_change_replaces_the_server_and_tells_the_gap(state: StateFolder) -> None:
    """Data that persists is there again; a writer's longest wait is measured."""
    profile = unique_profile(persistence="rdb")
    before = on_process(profile, state)
    for number in range(20):
        command(at(before), "SET", f"k{number}", "v")

    after = on_process(changed(profile, tuning=FIXED_AT_START), state)

    assert after.action == "replaced"
    assert after.digest != before.digest
    assert b"\r\n4\r\n" in command(at(after), "CONFIG", "GET", "databases")
    assert (after.keys_before, after.keys_after) == (20, 20)
    assert after.write_gap_ms is not None
    assert 5 < after.write_gap_ms < 5000
    assert after.warnings == ()
    assert b"~probe" not in command(at(after), "KEYS", "*")


def test_a_cache_that_keeps_no_data_says_what_is_gone(state: StateFolder) -> None:
    """Without persistence a replacement starts empty, which a dry run says beforehand."""
    profile = unique_profile()
    command(at(on_process(profile, state)), "SET", "k", "v")
    other = changed(profile, tuning=FIXED_AT_START)

    outlook = on_process(other, state, dry_run=True)
    after = on_process(other, state)

    assert outlook.warnings == ("1 keys would be lost: the running server keeps no data",)
    assert after.warnings == ("1 keys before, 0 after: the server kept no data",)


def test_what_can_be_set_live_is_set_live(state: StateFolder) -> None:
    """The same process goes on, no write is refused, and the next start has it too."""
    profile = unique_profile()
    before = on_process(profile, state)
    process_id = fact(at(before), "process_id")
    command(at(before), "SET", "k", "v")
    other = changed(profile, eviction="allkeys-lfu", tuning={"maxclients": 500})

    outlook = on_process(other, state, dry_run=True)
    after = on_process(other, state)

    assert outlook.action == "would update"
    assert (after.action, after.changed, after.write_gap_ms) == ("updated", True, 0.0)
    assert {change.field for change in after.changes} == {"maxmemory-policy", "maxclients"}
    assert (after.keys_before, after.keys_after) == (1, 1)
    assert fact(at(after), "process_id") == process_id
    assert on_process(other, state).action == "unchanged"
    restart(profile.name, state)
    assert b"allkeys-lfu" in command(at(after), "CONFIG", "GET", "maxmemory-policy")


def test_a_directive_changed_by_hand_is_set_back(state: StateFolder) -> None:
    """The next deploy brings a server to its profile without a restart."""
    profile = unique_profile()
    found = on_process(profile, state)
    command(at(found), "CONFIG", "SET", "maxclients", "77")

    again = on_process(profile, state)

    assert again.action == "updated"
    assert b"1000" in command(at(found), "CONFIG", "GET", "maxclients")


def test_a_smaller_maxmemory_evicts_nothing_by_surprise(state: StateFolder) -> None:
    """What is in use must fit, unless the operator says yes."""
    profile = unique_profile(memory={"limit": "128Mi", "maxmemory": "30Mi"})
    found = on_process(profile, state)
    for number in range(16):
        command(at(found), "SETRANGE", f"k{number}", str(2**20), "v")
    smaller = changed(profile, memory={"limit": "128Mi", "maxmemory": "8Mi"})

    with pytest.raises(RefusedError, match="keys would be evicted"):
        on_process(smaller, state)
    done = deploy(smaller, state, yes=True)

    assert done.action == "updated"
    assert done.keys_after is not None
    assert done.keys_after < 16


def test_a_rollback_goes_to_the_render_before(state: StateFolder) -> None:
    """Done twice, it is undone; without an earlier render it says so."""
    profile = unique_profile(persistence="rdb")
    first = on_process(profile, state)
    with pytest.raises(NotFoundError, match="no earlier render"):
        roll_back(profile, state)
    command(at(first), "SET", "k", "kept")
    second = on_process(changed(profile, tuning=FIXED_AT_START), state)

    back = roll_back(profile, state)

    assert (back.action, back.digest) == ("replaced", first.digest)
    assert command(at(back), "GET", "k") == b"$4\r\nkept\r\n"
    assert roll_back(profile, state).digest == second.digest


def test_changes_are_told_before_they_are_made(state: StateFolder) -> None:
    """Each with what it takes, and how the files differ; afterwards there are none."""
    profile = unique_profile()
    on_process(profile, state)
    other = changed(profile, eviction="allkeys-lfu", tuning=FIXED_AT_START)

    told = changes(other, state)

    assert {(drift.field, drift.kind) for drift in told.drift} == {
        ("maxmemory-policy", "live"),
        ("databases", "restart"),
    }
    assert told.takes == "restart"
    assert any("+maxmemory-policy allkeys-lfu" in file.diff for file in told.files)
    on_process(other, state)
    assert not changes(other, state).any


def test_a_store_that_keeps_no_data_is_not_emptied(state: StateFolder) -> None:
    """Losing what noeviction was to keep needs a yes."""
    profile = unique_profile(eviction="noeviction")
    command(at(on_process(profile, state)), "SET", "k", "v")
    other = changed(profile, eviction="noeviction", tuning=FIXED_AT_START)

    with pytest.raises(RefusedError, match=r"1 keys of .* would be lost"):
        on_process(other, state)

    assert deploy(other, state, yes=True).action == "replaced"


def test_a_dry_run_only_looks(state: StateFolder) -> None:
    """It proves, says what would be done, and writes nothing."""
    profile = unique_profile()

    outlook = on_process(profile, state, dry_run=True)

    assert (outlook.action, outlook.changed) == ("would start", False)
    assert len(outlook.proofs) == 3
    assert not state.root.exists()
    assert servers_of(state) == []


def test_a_dry_run_of_a_change_leaves_the_server_alone(state: StateFolder) -> None:
    """What runs is compared with what would."""
    profile = unique_profile()
    found = on_process(profile, state)
    process_id = fact(at(found), "process_id")

    outlook = on_process(changed(profile, tuning=FIXED_AT_START), state, dry_run=True)

    assert outlook.action == "would replace"
    assert on_process(profile, state, dry_run=True).action == "unchanged"
    assert fact(at(found), "process_id") == process_id


def test_a_killed_server_is_started_again(state: StateFolder) -> None:
    """Nothing needs to be cleaned up by hand after a crash."""
    profile = unique_profile()
    found = on_process(profile, state)
    kill(found)

    again = deploy(profile, state)

    assert again.action == "started"
    assert again.runtime == "process"
    assert command(at(again), "PING") == b"+PONG\r\n"


def test_a_configuration_that_is_refused_touches_nothing(
    state: StateFolder, broken_render: Callable[[], None]
) -> None:
    """It is found out in a throwaway run, while the old server serves."""
    profile = unique_profile()
    found = on_process(profile, state)
    process_id = fact(at(found), "process_id")
    broken_render()

    with pytest.raises(StartError, match=r"line \d+ >>> 'no-such 1' Bad directive"):
        on_process(profile, state)

    assert fact(at(found), "process_id") == process_id
    record = state.read(profile.name).record
    assert record is not None
    assert record.digest == found.digest


def test_a_start_that_fails_puts_the_last_good_render_back(
    state: StateFolder, broken_render: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What no proof has caught is undone, with the data, and the message says so."""
    profile = unique_profile(persistence="rdb")
    found = on_process(profile, state)
    command(at(found), "SET", "k", "kept")
    broken_render()
    monkeypatch.setattr(ProcessRuntime, "prove", lambda *_: [])

    with pytest.raises(StartError, match=r"no-such 1.*the last good render runs again") as caught:
        on_process(changed(profile, tuning=FIXED_AT_START), state)

    assert any("no-such" in line for line in caught.value.log)
    assert command(at(found), "GET", "k") == b"$4\r\nkept\r\n"
    monkeypatch.undo()
    assert deploy(profile, state).action == "unchanged"


def test_a_first_start_that_fails_leaves_nothing(
    state: StateFolder, broken_render: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is nothing to put back, and nothing half-started."""
    broken_render()
    monkeypatch.setattr(ProcessRuntime, "prove", lambda *_: [])
    profile = unique_profile()

    with pytest.raises(StartError, match="no-such 1") as caught:
        on_process(profile, state)

    assert "last good" not in str(caught.value)
    assert servers_of(state) == []
    assert state.read(profile.name).record is None


def test_an_interrupted_replacement_puts_the_old_server_back(
    state: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C while the new server comes up ends it and starts the old one again."""
    profile = unique_profile(persistence="rdb")
    found = on_process(profile, state)
    command(at(found), "SET", "k", "kept")
    first = iter([True])
    really_wait: Callable[..., float] = ready.wait_until_ready

    def interrupted(*args: object, **options: object) -> float:
        if next(first, False):
            raise KeyboardInterrupt
        return really_wait(*args, **options)

    monkeypatch.setattr("valkeyctl.runtime.process.wait_until_ready", interrupted)
    said: list[str] = []

    with pytest.raises(KeyboardInterrupt):
        deploy(changed(profile, tuning=FIXED_AT_START), state, progress=said.append)

    assert ready.ask(at(found)) == "ready"
    assert "putting the last good render back" in said
    assert command(at(found), "GET", "k") == b"$4\r\nkept\r\n"
    assert b"\r\n16\r\n" in command(at(found), "CONFIG", "GET", "databases")
    assert len(servers_of(state)) == 1


def test_ctrl_c_at_a_terminal_leaves_no_process(state: StateFolder, tmp_path: Path) -> None:
    """A real SIGINT to a real command whose server never comes up."""
    server = tmp_path / "slow-server"
    server.write_text(
        f'#!/bin/sh\ncase $1 in\n*{state.root.name}/runtimes/*) exec tail -f /dev/null "$1";;\n'
        f'*) exec {find_binary({}).path} "$@";;\nesac\n'
    )
    server.chmod(0o755)
    profile = unique_profile()
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from valkeyctl.ops.deploy import deploy\n"
        "from valkeyctl.ops.statefolder import StateFolder\n"
        "from valkeyctl.profile import Profile\n"
        "profile = Profile.model_validate_json(sys.argv[1])\n"
        "deploy(profile, StateFolder(Path(sys.argv[2])), runtime='process')\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, profile.model_dump_json(exclude_unset=True), state.root],
        env={**os.environ, "VALKEYCTL_SERVER": str(server)},
        stderr=subprocess.PIPE,
    ) as deploying:
        record = state.runtimes / "process" / profile.name / "process.json"
        until = time.monotonic() + 20
        while not (record.exists() and '"pid": 0' not in record.read_text()):
            assert deploying.poll() is None
            assert time.monotonic() < until
            time.sleep(0.02)

        deploying.send_signal(signal.SIGINT)

        _, problem = deploying.communicate(timeout=20)
    assert b"KeyboardInterrupt" in problem
    assert servers_of(state) == []
    assert state.read(profile.name).record is None


def test_two_deploys_at_once_do_not_interleave(state: StateFolder) -> None:
    """The second is told about the first, and changes nothing."""
    profile = unique_profile()

    with state.lock(profile.name), pytest.raises(LockedError, match=f"works on {profile.name}"):
        on_process(profile, state)

    assert servers_of(state) == []


def test_a_taken_port_is_named(state: StateFolder) -> None:
    """Before anything is made."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        profile = unique_profile(publish=f"127.0.0.1:{other.getsockname()[1]}")

        with pytest.raises(PortTakenError, match="is taken by"):
            on_process(profile, state)

    assert state.read(profile.name).record is None


def test_a_move_to_another_port_frees_the_old_one(state: StateFolder) -> None:
    """One deployment is one server, wherever it listens."""
    profile = unique_profile()
    before = on_process(profile, state)

    after = on_process(changed(profile, publish=f"127.0.0.1:{free_port()}"), state)

    assert command(at(after), "PING") == b"+PONG\r\n"
    with pytest.raises(ConnectionRefusedError):
        command(at(before), "PING")
    assert after.write_gap_ms is not None


def test_a_deployment_stays_on_its_runtime(state: StateFolder) -> None:
    """Asking for the other one would start a second server, and is refused."""
    profile = unique_profile()
    found = on_process(profile, state)

    with pytest.raises(RefusedError, match="is on process; podman would start a second"):
        deploy(profile, state, runtime="podman")

    assert fact(at(found), "process_id")
    assert deploy(profile, state, runtime="auto").action == "unchanged"


def test_a_stopped_deployment_comes_back_where_its_data_is(state: StateFolder) -> None:
    """`auto` is not asked again: the other runtime has none of its data."""
    profile = unique_profile(persistence="rdb")
    command(at(on_process(profile, state)), "SET", "k", "kept")
    take_down(profile.name, state)

    found = deploy(profile, state, runtime="auto")

    assert (found.runtime, found.action) == ("process", "started")
    assert command(at(found), "GET", "k") == b"$4\r\nkept\r\n"


def test_the_profile_can_name_the_runtime(state: StateFolder) -> None:
    """Without a wish on the command line the profile's is honoured."""
    assert deploy(unique_profile(runtime="process"), state).runtime == "process"


@pytest.mark.parametrize("damage", ["lost", "garbled", "unknown runtime"])
def test_a_lost_record_starts_no_second_server(state: StateFolder, damage: str) -> None:
    """The server is found by what runs, and the record is made anew."""
    profile = unique_profile()
    found = on_process(profile, state)
    file = state.root / "deployments" / profile.name / "record.json"
    if damage == "lost":
        file.unlink()
    elif damage == "garbled":
        file.write_text("{")
    else:
        file.write_text(file.read_text().replace('"process"', '"docker"'))

    again = deploy(profile, state)

    assert (again.action, again.runtime) == ("unchanged", "process")
    assert again.url == found.url
    assert bool(again.warnings) == (damage != "lost")
    assert state.read(profile.name).warning == ""
    assert state.read(profile.name).record is not None


def test_an_unwritable_state_folder_is_named(tmp_path: Path) -> None:
    """A file stands where the folder should be made."""
    (tmp_path / "file").touch()

    with pytest.raises(FolderError, match="cannot make the folder"):
        on_process(unique_profile(), StateFolder(tmp_path / "file"))


def test_a_profile_that_cannot_be_deployed_is_refused(state: StateFolder) -> None:
    """Before the lock is taken or a folder made."""
    with pytest.raises(ProfileError, match="a primary without persistence"):
        on_process(unique_profile(topology="cluster"), state)

    assert not state.root.exists()


def test_a_missing_server_is_named(state: StateFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable that names it is in the message."""
    monkeypatch.setenv("VALKEYCTL_SERVER", "/no/such/valkey-server")

    with pytest.raises(MissingError, match="VALKEYCTL_SERVER names /no/such/valkey-server"):
        on_process(unique_profile(), state)


def test_a_tight_budget_is_a_warning(state: StateFolder) -> None:
    """It fits, and leaves little to spare."""
    tight = unique_profile(memory={"limit": "64Mi", "maxmemory": "25mb"})

    found = on_process(tight, state, dry_run=True)

    assert found.warnings[0].startswith("the memory budget is tight: 9")
