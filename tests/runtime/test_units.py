"""Servers and sentinels of a topology, as units of each runtime, with real servers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.conftest import PODMANS, command, free_ports, require_podman
from tests.runtime.conftest import unique_profile
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import RefusedError
from valkeyctl.profile import Profile
from valkeyctl.render import Artefacts, render
from valkeyctl.runtime.podman import PodmanRuntime
from valkeyctl.runtime.process import ProcessRuntime
from valkeyctl.runtime.protocol import Runtime

RUNTIMES = ["process", *(pytest.param(name, marks=pytest.mark.podman) for name in PODMANS)]
DEADLINE = 30.0


@dataclass
class Units:
    """Some units of a topology, started on a runtime.

    Attributes:
        runtime: That runs them.
        profile: Of the deployment.
        whole: What it renders to.
        chosen: The names of those that run.
    """

    runtime: Runtime
    profile: Profile
    whole: Artefacts
    chosen: list[str] = field(default_factory=list)

    def unit(self, name: str) -> Artefacts:
        """Return the unit whose name ends in *name*."""
        return next(unit for unit in self.whole.units if unit.name.endswith(f"-{name}"))

    def start(self, name: str) -> None:
        """Start the unit whose name ends in *name*."""
        self.chosen.append(name)
        self.runtime.start(self.unit(name))

    def ask(self, name: str, *words: str) -> str:
        """Return the raw reply of that unit, through its published address."""
        unit = self.unit(name)
        return command(Endpoint(host=unit.host, port=unit.port), *words).decode()

    def wait_for(self, name: str, *words: str, answer: str) -> None:
        """Return when the reply of that unit holds *answer*."""
        wait_until(lambda: answer in self.ask(name, *words), f"{name} {words}: {answer}")

    def restart(self, name: str) -> None:
        """Stop that unit cleanly and start it again."""
        self.runtime.stop(self.unit(name).name, 5)
        self.runtime.start(self.unit(name))


def wait_until(done: Callable[[], bool], what: str) -> None:
    """Ask servers that replicate in their own time until they are *done*."""
    deadline = time.monotonic() + DEADLINE
    while not done():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)  # their clock cannot be moved


def topology(runtime: Runtime, kind: str, **fields: object) -> Units:
    """Return the units of a small deployment; nothing runs yet."""
    profile = unique_profile(
        topology=kind,
        persistence="aof",
        publish=f"127.0.0.1:{free_ports(16)}",
        replication={"output_buffer": "8Mi", "backlog": "1Mi"},
        **fields,
    )
    return Units(runtime, profile, render(profile))


@pytest.fixture(scope="module", params=RUNTIMES)
def shared_runtime(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Runtime:
    """Each runtime in turn, for units that all tests of this file share."""
    root = tmp_path_factory.mktemp("units")
    if request.param == "process":
        return ProcessRuntime(root)
    require_podman(request.param)
    return PodmanRuntime(root, request.param)


def remove(units: Units) -> None:
    """Stop and purge whatever runs of *units*."""
    for name in dict.fromkeys(units.chosen):
        unit = units.unit(name)
        units.runtime.stop(unit.name, 5)
        units.runtime.purge(unit.name)


@pytest.fixture(scope="module")
def watched(shared_runtime: Runtime) -> Iterator[Units]:
    """A primary, a replica and one of the sentinels."""
    units = topology(shared_runtime, "sentinel")
    try:
        for name in ("node-1", "node-2", "sentinel-1"):
            units.start(name)
        yield units
    finally:
        remove(units)


@pytest.fixture(scope="module")
def clustered(shared_runtime: Runtime) -> Iterator[Units]:
    """Two nodes of a Cluster that have met."""
    units = topology(shared_runtime, "cluster")
    try:
        units.start("node-1")
        units.start("node-2")
        peer = shared_runtime.peer(units.unit("node-2"))
        units.ask("node-1", "CLUSTER", "MEET", peer.host, str(peer.port), str(peer.bus_port))
        units.wait_for("node-2", "CLUSTER", "INFO", answer="cluster_known_nodes:2")
        yield units
    finally:
        remove(units)


def test_each_unit_is_found_as_what_it_was_started_from(watched: Units) -> None:
    """It listens at its own published port, and starting it again changes nothing."""
    for name in watched.chosen:
        unit = watched.unit(name)

        again = watched.runtime.start(unit)

        instance = watched.runtime.find(unit.name)
        assert instance is not None
        assert instance.running
        assert (instance.endpoint.host, instance.endpoint.port) == (unit.host, unit.port)
        assert again == instance.endpoint
        assert instance.digest == unit.digest


def test_a_replica_follows_the_primary_where_its_peers_reach_it(watched: Units) -> None:
    """On the bridge of the pods, or on the loopback interface."""
    primary = watched.runtime.peer(watched.unit("node-1"))

    watched.wait_for("node-2", "INFO", "replication", answer="master_link_status:up")

    said = watched.ask("node-2", "INFO", "replication")
    assert f"master_host:{primary.host}\r\n" in said
    assert f"master_port:{primary.port}\r\n" in said


def test_a_sentinel_watches_the_primary_and_finds_its_replica(watched: Units) -> None:
    """It names the primary by the profile's name, at the address that clients can use."""
    primary = watched.runtime.peer(watched.unit("node-1"))
    name = watched.profile.name

    said = watched.ask("sentinel-1", "SENTINEL", "GET-PRIMARY-ADDR-BY-NAME", name)

    assert f"\r\n{primary.host}\r\n" in said
    assert f"\r\n{primary.port}\r\n" in said
    replica = watched.runtime.peer(watched.unit("node-2"))
    watched.wait_for("sentinel-1", "SENTINEL", "REPLICAS", name, answer=f"\r\n{replica.port}\r\n")


def test_a_sentinel_that_starts_again_is_the_same_one(watched: Units) -> None:
    """With another name for itself the others would count one sentinel more."""
    before = watched.ask("sentinel-1", "SENTINEL", "MYID")

    watched.restart("sentinel-1")

    assert watched.ask("sentinel-1", "SENTINEL", "MYID") == before


def test_what_the_profile_says_of_sentinels_arrives_with_a_start(watched: Units) -> None:
    """Whom it knows stays; after how long a primary is down, and the quorum, are new."""
    before = watched.ask("sentinel-1", "SENTINEL", "MYID")
    fields = {**watched.profile.model_dump(), "sentinel": {"down_after": 77, "quorum": 3}}
    changed = render(Profile.model_validate(fields))

    watched.runtime.start(changed.units[0])

    said = watched.ask("sentinel-1", "SENTINEL", "PRIMARY", watched.profile.name)
    assert "down-after-milliseconds\r\n$5\r\n77000\r\n" in said
    assert "quorum\r\n$1\r\n3\r\n" in said
    assert watched.ask("sentinel-1", "SENTINEL", "MYID") == before


def test_a_replica_hears_at_once_that_its_primary_has_ended(watched: Units) -> None:
    """Not after repl-timeout, which is a minute: the network outlives the server."""
    watched.wait_for("node-2", "INFO", "replication", answer="master_link_status:up")

    watched.runtime.stop(watched.unit("node-1").name, 5)

    watched.wait_for("node-2", "INFO", "replication", answer="master_link_status:down")
    watched.runtime.start(watched.unit("node-1"))
    watched.wait_for("node-2", "INFO", "replication", answer="master_link_status:up")


def test_roles_that_were_changed_outlive_a_restart(watched: Units) -> None:
    """As Sentinel leaves them behind: REPLICAOF, and then CONFIG REWRITE."""
    heir = watched.runtime.peer(watched.unit("node-2"))
    watched.runtime.stop(watched.unit("sentinel-1").name, 5)
    watched.ask("node-2", "REPLICAOF", "NO", "ONE")
    watched.ask("node-2", "CONFIG", "REWRITE")
    watched.ask("node-1", "REPLICAOF", heir.host, str(heir.port))
    watched.ask("node-1", "CONFIG", "REWRITE")

    watched.restart("node-1")
    watched.restart("node-2")

    assert "role:master" in watched.ask("node-2", "INFO", "replication")
    watched.wait_for("node-1", "INFO", "replication", answer="master_link_status:up")


def test_prove_tries_the_configuration_of_each_kind(watched: Units) -> None:
    """A sentinel reads nothing back, and its trial is seen by no other sentinel."""
    server = watched.runtime.prove(watched.unit("node-2"))
    sentinel = watched.runtime.prove(watched.unit("sentinel-1"))

    assert any("valkey.conf accepted by valkey" in line for line in server)
    assert any("sentinel.conf accepted by valkey" in line for line in sentinel)


def test_a_unit_with_data_is_not_started_where_nobody_looks_for_it(watched: Units) -> None:
    """Its peers have written its address down; the refusal says what to leave as it was."""
    fields = watched.profile.model_dump()
    other = {**fields, "publish": watched.profile.port + 8, "network": {"subnet": "10.9.8.0/24"}}
    unit = render(Profile.model_validate(other)).units[3]

    with pytest.raises(RefusedError, match=r"know .* at ") as caught:
        watched.runtime.prove(unit)

    assert caught.value.hint is not None
    assert "as it was" in caught.value.hint


def test_nodes_of_a_cluster_meet_over_their_buses(clustered: Units) -> None:
    """Each knows the other where clients, too, can reach it."""
    for name in clustered.chosen:
        peer = clustered.runtime.peer(clustered.unit(name))
        place = f" {peer.host}:{peer.port}@{peer.bus_port} "
        clustered.wait_for("node-1", "CLUSTER", "NODES", answer=place)


def test_a_node_that_starts_again_is_known_to_the_others(clustered: Units) -> None:
    """It keeps its name and its view of the Cluster, beside its data."""
    before = clustered.ask("node-2", "CLUSTER", "MYID")

    clustered.restart("node-2")

    assert clustered.ask("node-2", "CLUSTER", "MYID") == before
    clustered.wait_for("node-2", "CLUSTER", "INFO", answer="cluster_known_nodes:2")


def test_a_cluster_node_is_proven_without_a_bus(clustered: Units) -> None:
    """Its directives are read back all the same."""
    lines = clustered.runtime.prove(clustered.unit("node-1"))

    assert any("directives read back as written" in line for line in lines)


@pytest.mark.podman
def test_a_stopped_topology_leaves_its_volumes_and_nothing_else(
    podman_command: str, tmp_path: Path
) -> None:
    """The bridge goes with the last pod, not with the first."""
    runtime = PodmanRuntime(tmp_path / "podman", podman_command)
    units = topology(runtime, "cluster")
    network = units.whole.network
    assert network is not None
    try:
        units.start("node-1")
        units.start("node-2")
        first, last = units.unit("node-1"), units.unit("node-2")

        runtime.stop(first.name, 5)
        still = runtime.podman.run("network", "exists", network.name).ok
        runtime.stop(last.name, 5)

        assert still
        assert not runtime.podman.run("network", "exists", network.name).ok
        assert runtime.podman.run("volume", "exists", first.volume).ok
        assert runtime.purge(first.name)
        assert not runtime.podman.run("volume", "exists", first.volume).ok
    finally:
        remove(units)
