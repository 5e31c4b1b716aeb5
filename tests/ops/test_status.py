"""Status: what runs, and each way in which it can differ from its profile."""

from __future__ import annotations

import json
import os
import signal

import pytest

from tests.conftest import command, free_port
from tests.ops.conftest import at, changed, fact, kill, on_process
from tests.runtime.conftest import unique_profile
from valkeyctl.errors import NotFoundError
from valkeyctl.ops.deploy import take_down
from valkeyctl.ops.statefolder import StateFolder
from valkeyctl.ops.status import Drift, status


def test_a_fresh_deployment_has_no_drift(state: StateFolder) -> None:
    """Every directive that it should have is reported, and as it should be."""
    profile = unique_profile(persistence="rdb+aof", eviction="noeviction")
    found = on_process(profile, state)

    seen = status(profile, state)

    assert seen.running
    assert (seen.drift, seen.unchecked, seen.warnings) == ((), (), ())
    assert (seen.url, seen.digest, seen.version) == (found.url, found.digest, found.version)
    assert (seen.runtime, seen.runtime_reason) == ("process", "process was asked for")
    assert seen.uptime_s is not None
    assert seen.password_file is None


def test_what_was_set_by_hand_is_drift(state: StateFolder) -> None:
    """A CONFIG SET since the deployment shows, by name as by profile."""
    profile = unique_profile()
    command(at(on_process(profile, state)), "CONFIG", "SET", "maxmemory-policy", "noeviction")

    expected = (Drift("maxmemory-policy", "allkeys-lru", "noeviction", "live"),)

    assert status(profile, state).drift == expected
    assert status(profile.name, state).drift == expected


def test_a_changed_profile_says_what_it_takes(state: StateFolder) -> None:
    """Live or restart, each with what is wanted and what is."""
    profile = unique_profile()
    on_process(profile, state)
    other = changed(
        profile,
        eviction="allkeys-lfu",
        tuning={"databases": 4},
        memory={"maxmemory": "30mb"},
    )

    drift = {found.field: found for found in status(other, state).drift}

    assert drift["maxmemory-policy"].kind == "live"
    assert drift["maxmemory"].kind == "live"
    assert drift["databases"] == Drift("databases", "4", "16", "restart")
    assert status(profile.name, state).drift == ()


def test_a_process_differs_in_nothing_that_only_a_container_has(state: StateFolder) -> None:
    """A change of image or probe is none for a process; its address is."""
    profile = unique_profile()
    on_process(profile, state)
    other = changed(profile, image="docker.io/valkey/valkey:9", probes={"interval": "30s"})
    moved = changed(profile, publish=f"127.0.0.1:{free_port()}")

    assert status(other, state).drift == ()
    assert [(drift.field, drift.kind) for drift in status(moved, state).drift] == [
        ("publish", "recreate")
    ]


def test_a_dead_server_is_not_running(state: StateFolder) -> None:
    """It is still known, and where it was."""
    profile = unique_profile()
    found = on_process(profile, state)
    kill(found)

    seen = status(profile, state)

    assert not seen.running
    assert seen.url == found.url
    assert "ended" in seen.detail
    assert (seen.uptime_s, seen.drift) == (None, ())


def test_a_stopped_deployment_is_known_by_name(state: StateFolder) -> None:
    """By its record, which outlives the server."""
    profile = unique_profile()
    found = on_process(profile, state)
    take_down(profile.name, state)

    seen = status(profile.name, state)

    assert (seen.running, seen.url, seen.runtime) == (False, found.url, "process")


def test_a_profile_that_was_never_deployed_is_not_running(state: StateFolder) -> None:
    """A profile can be looked at before; a bare name that nobody knows cannot."""
    profile = unique_profile()

    seen = status(profile, state)

    assert (seen.running, seen.runtime, seen.detail) == (False, "", "not deployed")
    assert seen.url == f"redis://{profile.publish}/0"
    with pytest.raises(NotFoundError, match="nothing is known of a deployment called never"):
        status("never", state)


def test_a_frozen_server_leaves_drift_unknown(
    state: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process runs; that it does not answer is said, not guessed around."""
    monkeypatch.setattr("valkeyctl.ops.drift._TIMEOUT", 0.1)
    profile = unique_profile(stop={"grace": "0.2s"})
    found = on_process(profile, state)
    process_id = int(fact(at(found), "process_id"))
    os.kill(process_id, signal.SIGSTOP)

    seen = status(profile, state)

    assert seen.running
    assert seen.uptime_s is None
    assert seen.warnings[0].startswith("drift is unknown: no answer from")
    os.kill(process_id, signal.SIGKILL)


def test_a_lost_history_is_said(state: StateFolder) -> None:
    """With the profile the directives are compared all the same."""
    profile = unique_profile()
    found = on_process(profile, state)
    for file in (state.root / "deployments" / profile.name / "history").iterdir():
        file.unlink()
    command(at(found), "CONFIG", "SET", "maxclients", "99")

    by_name, by_profile = status(profile.name, state), status(profile, state)

    assert "no render of" in by_name.warnings[0]
    assert [drift.field for drift in by_profile.drift] == ["maxclients"]


def test_a_damaged_record_is_said(state: StateFolder) -> None:
    """The server is found by what runs."""
    profile = unique_profile()
    on_process(profile, state)
    record = state.root / "deployments" / profile.name / "record.json"
    record.write_text(json.dumps({"name": profile.name}))

    seen = status(profile, state)

    assert seen.running
    assert "cannot be used and is ignored" in seen.warnings[0]
    assert seen.drift == ()
