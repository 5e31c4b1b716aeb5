"""A server that somebody has told something by hand, behind the back of its profile."""

from __future__ import annotations

import shutil

import pytest

from tests.conftest import command, free_port
from tests.ops.conftest import at, fact, on_process
from tests.runtime.conftest import unique_profile
from valkeyctl.caching.wire import Wire
from valkeyctl.ops.access import access
from valkeyctl.ops.deploy import changes, take_down
from valkeyctl.ops.statefolder import StateFolder


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait less for the first write where none can be accepted."""
    monkeypatch.setattr("valkeyctl.ops.writeprobe._FIRST_WRITE", 0.1)


@pytest.mark.parametrize(
    "by_hand", [("CONFIG", "SET", "requirepass", "typed"), ("ACL", "SETUSER", "default", "off")]
)
def test_a_server_that_lets_nobody_in_any_more_is_opened_again(
    state: StateFolder, by_hand: tuple[str, ...]
) -> None:
    """Its data is kept, and what a deploy would do is told before."""
    profile = unique_profile(persistence="rdb")
    found = on_process(profile, state)
    command(at(found), "SET", "k", "kept")
    command(at(found), *by_hand)

    told = changes(profile, state)
    outlook = on_process(profile, state, dry_run=True)
    again = on_process(profile, state)

    assert [(one.field, one.actual, one.kind) for one in told.drift] == [
        ("login", "refused", "restart")
    ]
    assert outlook.action == "would replace"
    assert again.action == "replaced"
    # No write was accepted before the restart either; it cannot be said to have cost none.
    assert again.write_gap_ms
    assert command(at(again), "GET", "k") == b"$4\r\nkept\r\n"
    assert not changes(profile, state).any


def test_an_administrator_who_is_locked_out_is_let_in_again(state: StateFolder) -> None:
    """The password in our file is the one that counts; the server reads it when it starts."""
    profile = unique_profile(persistence="rdb", auth={"enabled": True})
    on_process(profile, state)
    with Wire(access(profile, state)) as wire:
        wire.call("ACL", "SETUSER", "admin", "resetpass", ">typed")

    told = changes(profile, state)
    again = on_process(profile, state)

    assert [one.field for one in told.drift] == ["login"]
    assert again.action == "replaced"
    with Wire(access(profile, state)) as wire:
        assert wire.call("PING") == b"PONG"


def test_a_server_that_follows_another_is_a_primary_again(state: StateFolder) -> None:
    """Without a restart, beside the directives that differ too."""
    profile = unique_profile()
    found = on_process(profile, state)
    process_id = fact(at(found), "process_id")
    command(at(found), "CONFIG", "SET", "maxclients", "77")
    command(at(found), "REPLICAOF", "127.0.0.1", str(free_port()))

    told = changes(profile, state)
    again = on_process(profile, state)

    assert {(one.field, one.kind) for one in told.drift} == {
        ("maxclients", "live"),
        ("replicaof", "live"),
    }
    assert again.action == "updated"
    assert fact(at(found), "role") == "master"
    assert fact(at(found), "process_id") == process_id
    assert command(at(found), "SET", "k", "v") == b"+OK\r\n"
    assert not changes(profile, state).any


def test_data_that_somebody_has_removed_is_told(state: StateFolder) -> None:
    """The server starts without it as if it had never been there."""
    profile = unique_profile(persistence="rdb")
    first = on_process(profile, state)
    take_down(profile.name, state)
    shutil.rmtree(state.runtimes / "process" / profile.name)

    again = on_process(profile, state)

    assert first.warnings == ()
    assert again.action == "started"
    assert again.warnings == (
        f"the data that process kept of {profile.name} is not there any more",
    )
