"""Starting a topology, for the first time or again: all of it, or nothing; and no old data."""

from __future__ import annotations

import socket
import time

import pytest

from tests.conftest import command, free_ports
from tests.ops.conftest import changed, fact, servers_of
from tests.ops.topology.judged import failing
from tests.ops.topology.profiles import KINDS, primary_of, sentinels, servers, topology
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import PortTakenError, RefusedError, StartError
from valkeyctl.ops.access import access
from valkeyctl.ops.deploy import deploy, take_down
from valkeyctl.ops.health import probe
from valkeyctl.ops.orders import access_to
from valkeyctl.ops.statefolder import StateFolder
from valkeyctl.ops.topology.forming import Forming
from valkeyctl.ops.topology.handover import hand_over
from valkeyctl.ops.topology.members import member
from valkeyctl.profile import Profile
from valkeyctl.render import Artefacts, render
from valkeyctl.runtime.process import ProcessRuntime

pytestmark = pytest.mark.slow


def forming(profile: Profile, state: StateFolder, *, patience: float) -> Forming:
    """Return the forming of a deployment of processes."""
    return Forming(
        render(profile),
        ProcessRuntime(state.runtimes / "process"),
        access_to(profile, state),
        lambda _: None,
        patience,
    )


def switch(profile: Profile, state: StateFolder) -> None:
    """Let a replica of the first primary take over from it."""
    formed = forming(profile, state, patience=10)
    first = next(unit for unit in formed.artefacts.units if unit.name == primary_of(profile))
    hand_over(formed, member(first, formed.runtime, formed.access))


@pytest.mark.parametrize("kind", KINDS)
def test_a_taken_port_is_found_before_anything_starts(kind: str, state: StateFolder) -> None:
    """That of the last unit, too."""
    profile = topology(kind)
    last = max(unit.port for unit in render(profile).units)

    with socket.create_server(("127.0.0.1", last)), pytest.raises(PortTakenError, match=f"{last}"):
        deploy(profile, state, runtime="process")

    assert not servers_of(state)
    assert not list(state.runtimes.glob("process/*"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_first_deploy_that_fails_leaves_nothing_in_the_way(
    kind: str, state: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing runs, and the next one may have other ports."""
    profile = topology(kind)
    real = ProcessRuntime.start

    def failing(self: ProcessRuntime, unit: Artefacts, material: object) -> object:
        if unit.name.endswith("node-3"):
            raise StartError("the disk is full")
        return real(self, unit, material)  # type: ignore[arg-type]

    monkeypatch.setattr(ProcessRuntime, "start", failing)
    with pytest.raises(StartError, match="the disk is full"):
        deploy(profile, state, runtime="process")
    monkeypatch.undo()

    assert not servers_of(state)
    assert not list(state.runtimes.glob("process/*"))
    elsewhere = changed(profile, publish=f"127.0.0.1:{free_ports(12)}")
    assert deploy(elsewhere, state, runtime="process").action == "started"


@pytest.mark.parametrize(("kind", "step"), [("cluster", "form"), ("sentinel", "wait_until_whole")])
def test_a_topology_that_does_not_form_is_stopped_again(
    kind: str, step: str, state: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is left with six servers that know nothing of each other."""
    profile = topology(kind)

    def unable(_: Forming) -> None:
        raise StartError("after 60 s: nobody knows anybody")

    monkeypatch.setattr(Forming, step, unable)
    with pytest.raises(StartError, match="nobody knows anybody"):
        deploy(profile, state, runtime="process")

    assert not servers_of(state)


def test_a_second_start_that_fails_keeps_the_data(
    state: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only what the failed deploy has made for data itself is removed."""
    profile = topology("sentinel")
    deploy(profile, state, runtime="process")
    command(servers(profile)[primary_of(profile)], "SET", "k", "kept")
    take_down(profile.name, state)

    def failing(_: Forming) -> None:
        raise StartError("after 60 s: no")

    monkeypatch.setattr(Forming, "form", failing)
    with pytest.raises(StartError, match="after 60 s: no"):
        deploy(profile, state)
    monkeypatch.undo()

    assert not servers_of(state)
    deploy(profile, state)
    assert command(servers(profile)[primary_of(profile)], "GET", "k") == b"$4\r\nkept\r\n"


@pytest.mark.parametrize(
    ("kind", "persistence"), [("sentinel", "rdb"), ("sentinel", "aof"), ("cluster", "rdb")]
)
def test_the_newest_data_is_there_after_down_and_deploy(
    kind: str, persistence: str, state: StateFolder
) -> None:
    """Also of a key that only the last primary has, which was not the first one."""
    profile = topology(kind, persistence=persistence)
    deploy(profile, state, runtime="process")
    switch(profile, state)
    runtime = ProcessRuntime(state.runtimes / "process")
    primary = primary_of(profile)
    roles = {name: fact(one, "role") for name, one in servers(profile).items()}
    for name in [*sentinels(profile), *servers(profile)]:
        if roles.get(name) != "master":  # as `down` does it: whoever is left alone is newest
            runtime.stop(name, 5)
    key = own_key(servers(profile)[primary])
    assert command(servers(profile)[primary], "SET", key, "x") == b"+OK\r\n"
    take_down(profile.name, state)

    deploy(profile, state)

    assert {name: fact(one, "role") for name, one in servers(profile).items()} == roles
    assert command(servers(profile)[primary], "GET", key) == b"$1\r\nx\r\n"
    assert failing(probe(access(profile, state), app=profile.app, deadline=5)) == []


def own_key(primary: Endpoint) -> str:
    """Return a key that *primary* may take: of a Cluster one of its slots."""
    keys = (f"k{number}" for number in range(500))
    return next(key for key in keys if command(primary, "GET", key) == b"$-1\r\n")


def test_a_primary_that_starts_slowly_is_not_replaced_by_older_data(
    state: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No sentinel watches before the primary is there."""
    profile = topology("sentinel", sentinel={"down_after": "500ms", "failover_timeout": "1s"})
    deploy(profile, state, runtime="process")
    switch(profile, state)
    primary = primary_of(profile)
    runtime = ProcessRuntime(state.runtimes / "process")
    for name in servers(profile):
        if name != primary:
            runtime.stop(name, 5)
    command(servers(profile)[primary], "CONFIG", "SET", "min-replicas-to-write", "0")
    assert command(servers(profile)[primary], "SET", "k", "newest") == b"+OK\r\n"
    take_down(profile.name, state)
    real = ProcessRuntime.start

    def slowly(self: ProcessRuntime, unit: Artefacts, material: object) -> object:
        if unit.name == primary:
            time.sleep(6)  # as long as a failover takes
        return real(self, unit, material)  # type: ignore[arg-type]

    monkeypatch.setattr(ProcessRuntime, "start", slowly)
    deploy(profile, state)

    assert primary_of(profile) == primary
    assert command(servers(profile)[primary], "GET", "k") == b"$6\r\nnewest\r\n"


def test_what_sentinels_say_wrongly_turns_no_primary_into_a_replica(state: StateFolder) -> None:
    """A server that follows another loses what that one has not."""
    profile = topology("sentinel")
    deploy(profile, state, runtime="process")
    first, second, _ = servers(profile)
    command(servers(profile)[first], "SET", "k", "kept")
    for sentinel in list(sentinels(profile).values())[:2]:
        command(sentinel, "SENTINEL", "REMOVE", profile.name)
        port = str(servers(profile)[second].port)
        command(sentinel, "SENTINEL", "MONITOR", profile.name, "127.0.0.1", port, "2")

    # Sentinel mends this by itself, sooner or later.
    with pytest.raises(StartError):
        forming(profile, state, patience=0.2).form()

    assert fact(servers(profile)[first], "role") == "master"
    assert command(servers(profile)[first], "GET", "k") == b"$4\r\nkept\r\n"


def test_a_failover_under_way_is_waited_for_and_an_added_replica_follows(
    state: StateFolder,
) -> None:
    """Deploy says nothing while two servers take writes; and it follows who is primary by then."""
    profile = topology("sentinel")
    deploy(profile, state, runtime="process")
    before, sentinel = primary_of(profile), next(iter(sentinels(profile).values()))
    # It has begun; for some seconds from now on the old primary serves, too.
    assert command(sentinel, "SENTINEL", "FAILOVER", profile.name) == b"+OK\r\n"

    done = deploy(profile, state)

    assert failing(probe(access(profile, state), app=profile.app, deadline=5)) == []
    assert primary_of(profile) != before
    assert (done.action, done.warnings) == ("unchanged", ())

    # Not whom the rendered file names: that one is a replica now.
    more = {"replicas": 3, "output_buffer": "8Mi", "backlog": "4Mi"}
    deploy(changed(profile, replication=more), state)

    added = servers(changed(profile, replication=more))[f"{profile.name}-node-4"]
    assert fact(added, "master_port") == str(servers(profile)[primary_of(profile)].port)
    assert fact(added, "master_link_status") == "up"


def test_nobody_hands_over_beside_a_second_primary(state: StateFolder) -> None:
    """The other one may have older data, and would be taken for the heir."""
    profile = topology("sentinel")
    deploy(profile, state, runtime="process")
    first, second, _ = servers(profile)
    for sentinel in sentinels(profile).values():
        command(sentinel, "SENTINEL", "REMOVE", profile.name)  # nobody mends it meanwhile
    command(servers(profile)[second], "REPLICAOF", "NO", "ONE")
    formed = forming(profile, state, patience=0.2)
    unit = next(unit for unit in formed.artefacts.units if unit.name == first)

    with pytest.raises(RefusedError, match=f"{second} is a primary beside {first}"):
        hand_over(formed, member(unit, formed.runtime, formed.access))

    assert b"OK" in command(servers(profile)[first], "SET", "k", "v")
