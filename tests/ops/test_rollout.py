"""A rollout where something is odd: values not taken, files lost, servers silent or older."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from tests.conftest import command
from tests.ops.conftest import at, changed, fact, on_process
from tests.runtime.conftest import unique_profile
from valkeyctl.errors import RefusedError
from valkeyctl.ops.deploy import changes, deploy, restart, roll_back, take_down
from valkeyctl.ops.statefolder import StateFolder
from valkeyctl.ops.status import status
from valkeyctl.runtime.binary import find_binary
from valkeyctl.runtime.process import ProcessRuntime

# What no CONFIG SET changes, so that a server is replaced for it.
_FIXED = {"databases": 4}


def test_a_value_that_the_server_does_not_take_is_no_endless_drift(
    state: StateFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One deploy says so; the next has nothing to do, and a change by hand is still seen."""
    server = tmp_path / "few-files"
    server.write_text(f'#!/bin/sh\nulimit -n 4096\nexec {find_binary({}).path} "$@"\n')
    server.chmod(0o755)
    monkeypatch.setenv("VALKEYCTL_SERVER", str(server))
    profile = unique_profile()
    on_process(profile, state)
    many = changed(profile, tuning={"maxclients": 6000})

    first = on_process(many, state)
    process_id = fact(at(first), "process_id")

    assert "not changed while it runs" in first.warnings[0]
    assert on_process(many, state).action == "unchanged"
    assert status(many, state).drift == ()
    other = on_process(changed(many, eviction="allkeys-lfu"), state)
    assert [one.field for one in other.changes] == ["maxmemory-policy"]
    assert fact(at(first), "process_id") == process_id
    command(at(first), "CONFIG", "SET", "maxclients", "77")
    assert [one.actual for one in status(many, state).drift if one.field == "maxclients"] == ["77"]


def test_a_record_of_a_later_version_still_names_the_runtime(state: StateFolder) -> None:
    """A field that is not known here is left out, and the rest is used."""
    profile = unique_profile()
    on_process(profile, state)
    take_down(profile.name, state)
    file = state.root / "deployments" / profile.name / "record.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "colour": "red"}))

    reading = state.read(profile.name)

    assert reading.warning == ""
    assert reading.record is not None
    assert reading.record.runtime == "process"


@pytest.mark.parametrize("damage", [{"stop_grace": "long"}, {"image": 9}, {"directives": []}])
def test_a_record_with_a_wrong_value_is_ignored(
    state: StateFolder, damage: dict[str, object]
) -> None:
    """And said, instead of a failure later on."""
    profile = unique_profile()
    on_process(profile, state)
    file = state.root / "deployments" / profile.name / "record.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **damage}))

    assert "cannot be used and is ignored" in state.read(profile.name).warning
    assert deploy(profile, state).action == "unchanged"


def test_a_render_of_a_later_version_is_still_used(state: StateFolder) -> None:
    """So that a rollback, and what is put back on failure, are not lost with it."""
    profile = unique_profile()
    on_process(profile, state)
    (file,) = (state.root / "deployments" / profile.name / "history").iterdir()
    file.write_text(json.dumps({**json.loads(file.read_text()), "colour": "red"}))

    assert state.last_good(profile.name) is not None


def test_a_rollback_starts_from_what_runs(state: StateFolder) -> None:
    """Who was killed before the new render was kept goes back to the last that was."""
    profile = unique_profile(persistence="rdb")
    first = on_process(profile, state)
    on_process(changed(profile, tuning=_FIXED), state)
    (*_, last) = sorted((state.root / "deployments" / profile.name / "history").iterdir())
    last.unlink()

    back = roll_back(profile, state)

    assert (back.action, back.digest) == ("replaced", first.digest)


def test_a_silent_server_differs_from_its_profile(
    state: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deploy would replace it, and so `--diff` must not call it in order."""
    monkeypatch.setattr("valkeyctl.ops.drift._TIMEOUT", 0.1)
    profile = unique_profile(stop={"grace": "0.2s"})
    process_id = int(fact(at(on_process(profile, state)), "process_id"))
    os.kill(process_id, signal.SIGSTOP)

    told = changes(profile, state)

    os.kill(process_id, signal.SIGKILL)
    assert told.any
    assert [(one.wanted, one.actual, one.kind) for one in told.drift] == [
        ("answering", "silent", "recreate")
    ]


@pytest.mark.parametrize("lost", [False, True])
def test_a_restart_that_would_empty_a_store_needs_a_yes(state: StateFolder, lost: bool) -> None:
    """Also where nothing but the server itself can tell that it keeps no data."""
    profile = unique_profile(eviction="noeviction")
    found = on_process(profile, state)
    command(at(found), "SET", "k", "v")
    other = changed(profile, eviction="noeviction", tuning=_FIXED)
    if lost:
        for file in (state.root / "deployments" / profile.name / "history").iterdir():
            file.unlink()
        with pytest.raises(RefusedError, match=r"1 keys of .* would be lost"):
            on_process(other, state)
    else:
        with pytest.raises(RefusedError, match=r"1 keys of .* would be lost"):
            restart(profile.name, state)

    assert command(at(found), "GET", "k") == b"$1\r\nv\r\n"
    if not lost:
        assert restart(profile.name, state, yes=True).action == "restarted"


def test_a_smaller_maxmemory_evicts_nothing_by_a_restart_either(state: StateFolder) -> None:
    """What is in use must fit, whatever else changes."""
    profile = unique_profile(persistence="rdb", memory={"limit": "128Mi", "maxmemory": "30Mi"})
    found = on_process(profile, state)
    for number in range(16):
        command(at(found), "SETRANGE", f"k{number}", str(2**20), "v")
    smaller = changed(profile, memory={"limit": "128Mi", "maxmemory": "8Mi"}, tuning=_FIXED)

    with pytest.raises(RefusedError, match="keys would be evicted"):
        on_process(smaller, state)

    assert command(at(found), "DBSIZE") == b":16\r\n"


def test_an_older_server_is_not_given_the_data_of_a_newer_one(
    state: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused while the newer one serves, and also while it is down."""
    profile = unique_profile(persistence="rdb")
    found = on_process(profile, state)
    other = changed(profile, tuning=_FIXED)
    monkeypatch.setattr(ProcessRuntime, "server_version", lambda *_: "7.2.5")

    with pytest.raises(RefusedError, match=r"valkey 7\.2\.5 may not be able to read"):
        on_process(other, state)

    assert command(at(found), "PING") == b"+PONG\r\n"
    take_down(profile.name, state)
    with pytest.raises(RefusedError, match="may not be able to read"):
        on_process(profile, state, dry_run=True)
    assert deploy(profile, state, yes=True).action == "started"


def test_a_cache_that_keeps_nothing_may_go_to_an_older_server(
    state: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is nothing that it could not read."""
    profile = unique_profile()
    on_process(profile, state)
    monkeypatch.setattr(ProcessRuntime, "server_version", lambda *_: "7.2.5")

    assert on_process(changed(profile, tuning=_FIXED), state).action == "replaced"
