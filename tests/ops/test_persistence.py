"""A change of persistence: the data is where the next server looks for it, whatever happens."""

from __future__ import annotations

import shutil
import time

import pytest

from tests.conftest import command
from tests.ops.conftest import at, changed, fact, kill, on_process
from tests.runtime.conftest import unique_profile
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import FolderError, RefusedError
from valkeyctl.ops.deploy import Deployment, deploy, restart, take_down
from valkeyctl.ops.persistence import write_for
from valkeyctl.ops.statefolder import StateFolder
from valkeyctl.profile import Profile
from valkeyctl.runtime.process import ProcessRuntime

_KEYS = [f"k{number}" for number in range(20)]
# What no CONFIG SET changes, so that a server is replaced for it.
_FIXED = {"databases": 4}
_WAYS = [("rdb", "aof"), ("aof", "rdb"), ("rdb", "rdb+aof"), ("none", "aof"), ("none", "rdb")]


def _filled(profile: Profile, state: StateFolder) -> Deployment:
    found = on_process(profile, state)
    command(at(found), "MSET", *(word for key in _KEYS for word in (key, "v")))
    return found


def _kept(found: Deployment) -> int:
    """Return how many of the keys are there; the deploy's own write may be there too."""
    return int(command(at(found), "EXISTS", *_KEYS)[1:])


@pytest.mark.parametrize(("before", "after"), _WAYS)
def test_data_outlives_a_restart_into_another_persistence(
    state: StateFolder, before: str, after: str
) -> None:
    """A server that starts looks for one kind of file alone: the old one writes that before."""
    profile = unique_profile(persistence=before)
    _filled(profile, state)

    done = on_process(changed(profile, persistence=after, tuning=_FIXED), state)

    assert (done.action, done.keys_before, done.keys_after) == ("replaced", 20, 20)
    restart(profile.name, state)
    assert _kept(done) == 20


@pytest.mark.parametrize(("before", "after"), [("rdb", "aof"), ("aof", "rdb")])
def test_a_live_change_of_persistence_outlives_a_crash(
    state: StateFolder, before: str, after: str
) -> None:
    """When deploy says that it is done, all of the data is on disk in the new way."""
    profile = unique_profile(persistence=before)
    _filled(profile, state)
    other = changed(profile, persistence=after)

    done = on_process(other, state)
    kill(done)

    assert done.action == "updated"
    again = on_process(other, state)
    assert _kept(again) == 20


@pytest.mark.parametrize("crash", [False, True])
@pytest.mark.parametrize(("before", "after"), [("rdb", "aof"), ("aof", "rdb+aof"), ("aof", "rdb")])
def test_a_change_of_persistence_while_it_is_down_loses_nothing(
    state: StateFolder, before: str, after: str, crash: bool
) -> None:
    """The server is started as it was, and its data carried over from there."""
    profile = unique_profile(persistence=before)
    found = _filled(profile, state)
    if crash:
        command(at(found), "SAVE")
        kill(found)
    else:
        take_down(profile.name, state)

    done = on_process(changed(profile, persistence=after, tuning=_FIXED), state)

    assert _kept(done) == 20


def test_a_server_that_cannot_be_started_as_it_was_is_not_begun_without_its_data(
    state: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The data stays where it is until the operator says yes."""
    profile = unique_profile(persistence="rdb")
    _filled(profile, state)
    take_down(profile.name, state)
    other = changed(profile, persistence="aof")

    def gone(*_: object) -> None:
        raise FolderError("the disk is gone")

    monkeypatch.setattr(ProcessRuntime, "start", gone)
    with pytest.raises(RefusedError, match=r"lies in its RDB.*the disk is gone"):
        on_process(other, state)
    monkeypatch.undo()

    assert _kept(deploy(other, state, yes=True)) == 0


def test_an_appendonly_switched_off_by_hand_costs_no_data(state: StateFolder) -> None:
    """A restart would load the append-only file of before; it is written anew first."""
    profile = unique_profile(persistence="aof")
    found = on_process(profile, state)
    command(at(found), "CONFIG", "SET", "appendonly", "no")
    command(at(found), "SET", "late", "v")

    done = restart(profile.name, state)

    assert command(at(done), "EXISTS", "late") == b":1\r\n"


def test_a_disk_that_takes_no_data_stops_the_change(state: StateFolder) -> None:
    """The server goes on as it was, in the same process."""
    profile = unique_profile(persistence="aof", eviction="noeviction")
    found = _filled(profile, state)
    process_id = fact(at(found), "process_id")
    folder = state.runtimes / "process" / profile.name / "data"
    # A folder in the way of the file: root is stopped by no permission.
    (folder / "dump.rdb" / "x").mkdir(parents=True)

    with pytest.raises(FolderError, match="cannot write its RDB"):
        on_process(changed(profile, persistence="rdb", tuning=_FIXED), state)

    assert fact(at(found), "process_id") == process_id
    assert _kept(found) == 20


def test_what_is_written_already_is_not_written_again(state: StateFolder) -> None:
    """Nor is anything for a server that is to keep nothing."""
    found = on_process(unique_profile(persistence="rdb+aof"), state)

    assert not write_for(at(found), {"appendonly": "yes", "save": ""})
    assert not write_for(at(found), {"appendonly": "no", "save": ""})
    assert write_for(at(found), {"appendonly": "no", "save": "60 1"})


def test_a_lost_password_is_no_reason_to_begin_without_the_data(state: StateFolder) -> None:
    """A restart makes the new one known, and then the data is carried over."""
    profile = unique_profile(persistence="rdb", auth={"enabled": True})
    on_process(profile, state)
    shutil.rmtree(state.secrets(profile.name))
    other = changed(profile, persistence="aof", tuning=_FIXED)

    with pytest.raises(RefusedError, match="cannot be carried over to its append-only file"):
        on_process(other, state)

    restart(profile.name, state, profile=profile)
    assert on_process(other, state).action == "replaced"


def test_a_server_that_cannot_save_is_not_restarted(state: StateFolder) -> None:
    """It would refuse to end without its last save, be killed, and start with less."""
    profile = unique_profile(persistence="rdb")
    found = _filled(profile, state)
    process_id = fact(at(found), "process_id")
    # As on a full disk: the file cannot take the place of the one before.
    dump = state.runtimes / "process" / profile.name / "data" / "dump.rdb"
    (dump / "in-the-way").mkdir(parents=True)
    command(at(found), "BGSAVE")
    _until(at(found), "rdb_last_bgsave_status", "err")

    with pytest.raises(FolderError, match="cannot write its RDB"):
        on_process(changed(profile, tuning=_FIXED), state)

    assert fact(at(found), "process_id") == process_id
    assert _kept(found) == 20
    shutil.rmtree(dump)


def _until(endpoint: Endpoint, field: str, value: str) -> None:
    """Return when INFO says so: a save is another process's work."""
    until = time.monotonic() + 10
    while fact(endpoint, field) != value:
        assert time.monotonic() < until
        time.sleep(0.01)
