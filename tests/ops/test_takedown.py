"""Restarting and taking down: what stays, what goes, and what is said."""

from __future__ import annotations

import socket
import time

import pytest

from tests.conftest import command
from tests.ops.conftest import at, changed, fact, on_process, servers_of
from tests.ops.topology.profiles import KINDS, topology
from tests.runtime.conftest import unique_profile
from valkeyctl.errors import NotFoundError, RefusedError
from valkeyctl.ops.deploy import read_logs, restart, take_down
from valkeyctl.ops.statefolder import StateFolder
from valkeyctl.render import render
from valkeyctl.runtime import ready


def test_a_restart_keeps_data_and_tells_the_gap(state: StateFolder) -> None:
    """Another process, the same data, and how long writers waited."""
    profile = unique_profile(persistence="rdb")
    found = on_process(profile, state)
    command(at(found), "SET", "k", "kept")
    process_id = fact(at(found), "process_id")

    again = restart(profile.name, state)

    assert (again.action, again.changed) == ("restarted", True)
    assert again.write_gap_ms is not None
    assert fact(at(again), "process_id") != process_id
    assert command(at(again), "GET", "k") == b"$4\r\nkept\r\n"


def test_a_stopped_deployment_can_be_restarted(state: StateFolder) -> None:
    """From the render that is kept; no profile is needed."""
    profile = unique_profile()
    on_process(profile, state)
    take_down(profile.name, state)

    again = restart(profile.name, state)

    assert again.action == "started"
    assert command(at(again), "PING") == b"+PONG\r\n"


def test_nothing_can_be_restarted_that_was_never_deployed(state: StateFolder) -> None:
    """The hint names the command that deploys it."""
    with pytest.raises(NotFoundError, match="no render of never"):
        restart("never", state)


def test_taking_down_leaves_the_data(state: StateFolder) -> None:
    """The server goes, and a second call finds nothing to stop."""
    profile = unique_profile(persistence="rdb")
    found = on_process(profile, state)
    command(at(found), "SET", "k", "v")

    first = take_down(profile.name, state)
    second = take_down(profile.name, state)

    assert (first.found, first.stopped, first.purged, first.keys) == (True, True, False, 1)
    assert (second.found, second.stopped) == (True, False)
    assert servers_of(state) == []
    assert (state.runtimes / "process" / profile.name / "data" / "dump.rdb").exists()


def test_purging_leaves_nothing(state: StateFolder) -> None:
    """Data, renders and record are gone, and so is the name."""
    profile = unique_profile(persistence="rdb")
    on_process(profile, state)

    first = take_down(profile.name, state, purge=True)
    second = take_down(profile.name, state, purge=True)

    assert (first.stopped, first.purged) == (True, True)
    assert (second.found, second.stopped, second.purged) == (False, False, False)
    assert not list(state.runtimes.glob("*/*"))
    assert state.names() == []


def test_a_server_that_must_be_killed_is_a_warning(state: StateFolder) -> None:
    """It is down all the same, and what it may have lost is said."""
    profile = unique_profile(stop={"grace": "0.2s"})
    found = on_process(profile, state)
    with socket.create_connection((at(found).host, at(found).port)) as busy:
        busy.sendall(b"EVAL 'while true do end' 0\r\n")  # it hears of nothing any more
        until = time.monotonic() + 5
        while ready.ask(at(found), timeout=0.05) == "ready" and time.monotonic() < until:
            pass

        removal = take_down(profile.name, state)

    assert removal.stopped
    assert "was killed; what it had not saved is lost" in removal.warnings[0]
    assert servers_of(state) == []


def test_logs_are_those_of_the_deployment(state: StateFolder) -> None:
    """Also after it was taken down; an unknown name is not found."""
    profile = unique_profile()
    on_process(profile, state)

    assert "Ready to accept connections" in "\n".join(read_logs(profile.name, state, lines=3))
    with pytest.raises(NotFoundError):
        read_logs("never", state)


def test_purging_takes_what_earlier_renders_have_left(state: StateFolder) -> None:
    """Data of a server that has become a topology since is data of the deployment, too."""
    profile = unique_profile(persistence="rdb")
    on_process(profile, state)
    take_down(profile.name, state)
    state.remember(render(topology("sentinel", name=profile.name)))

    removal = take_down(profile.name, state, purge=True)

    assert (removal.stopped, removal.purged) == (False, True)
    assert not list(state.runtimes.glob("*/*"))


def test_a_profile_that_cannot_be_rendered_keeps_nobody_from_stopping(state: StateFolder) -> None:
    """It is stopped as it was deployed, and told why its profile was left aside."""
    profile = unique_profile()
    on_process(profile, state)
    broken = changed(profile, memory={"limit": "160Mi", "maxmemory": "159Mi"})

    removal = take_down(profile.name, state, profile=broken)

    assert removal.stopped
    assert "the profile is left aside" in removal.warnings[0]
    assert servers_of(state) == []


@pytest.mark.parametrize("kind", KINDS)
def test_one_server_is_not_joined_by_a_topology_of_its_name(state: StateFolder, kind: str) -> None:
    """At another address both would run, and nobody would end the first one any more."""
    profile = unique_profile()
    on_process(profile, state)
    other = topology(kind, name=profile.name)

    with pytest.raises(RefusedError, match="is deployed as standalone"):
        on_process(other, state)

    assert take_down(profile.name, state, profile=other).stopped
    assert servers_of(state) == []
