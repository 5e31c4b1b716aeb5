"""Health of a Cluster: slots, nodes that see each other fail, moves, and who could take over."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.caching.deployments import ClusterDeployment, Member, until
from tests.ops.topology.judged import failing, healthy_again, judged, report_with
from valkeyctl.caching.driver.slots import SLOTS
from valkeyctl.ops.health import probe
from valkeyctl.ops.topology.picture import count_slots
from valkeyctl.ops.topology.view import look


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterDeployment]:
    """Three primaries with a replica each; every test leaves them whole."""
    with ClusterDeployment(tmp_path_factory.mktemp("health")) as deployment:
        yield deployment


@pytest.fixture
def whole(made: ClusterDeployment) -> ClusterDeployment:
    """The Cluster, once nothing is the matter with it."""
    healthy_again(made.endpoint)
    return made


def test_a_whole_cluster_passes_every_check(whole: ClusterDeployment) -> None:
    """Each primary is written to, and nothing is left there."""
    report = report_with(whole.endpoint, {}, only=True)

    assert [check.name for check in report.checks] == [
        *("ping", "write_read", "memory", "eviction", "persistence"),
        *("nodes", "primary", "slots", "cluster_state", "quorum", "owners", "seen_down"),
        *("failover", "moving_slots", "spread"),
        *("replicas", "link", "lag_bytes", "lag_seconds", "takeover", "min_replicas", "version"),
    ]
    assert judged(report, "write_read").value == "the same value on each"
    assert judged(report, "slots").value == "16,384 of 16,384 served"
    assert [node.call("KEYS", "*") for node in whole.nodes] == [[]] * 6


def test_the_url_of_one_node_leads_to_all(whole: ClusterDeployment) -> None:
    """Each once, with its slots; the plain URL says nothing of a Cluster."""
    view = look(whole.nodes[4].endpoint, deadline=2.0)
    report = report_with(whole.nodes[1].endpoint, {}, only=True)

    assert view.topology == "cluster"
    assert [node.role for node in view.nodes] == ["primary"] * 3 + ["replica"] * 3
    assert sum(count_slots(shard.ranges) for shard in view.shards) == SLOTS
    assert all(len(shard.replicas) == 1 for shard in view.shards)
    assert len({node.config_epoch for node in view.primaries}) == 3
    assert judged(report, "nodes").value == "6 of 6 answer"


def test_an_uncovered_slot_fails(whole: ClusterDeployment) -> None:
    """Its keys can be stored nowhere; the slot is named."""
    for node in whole.nodes:
        node.call("CLUSTER", "DELSLOTS", 7)
    owner = whole.nodes[0] if _is_primary(whole, 0) else whole.nodes[3]
    try:
        report = report_with(whole.endpoint, {"slots": "fail"}, naming=("slots", "no node has 7"))
    finally:
        owner.call("CLUSTER", "ADDSLOTS", 7)

    assert not report.healthy
    assert judged(report, "slots").value == "16,383 of 16,384 served"


def test_a_slot_on_its_way_warns(whole: ClusterDeployment) -> None:
    """From where to where; and the key that health writes is in another one."""
    owner = whole.owner(100)
    target = next(node for node in whole.nodes if node is not owner and whole._is_primary(node))
    whole.begin_move(100, owner, target)
    try:
        report = report_with(whole.endpoint, {"moving_slots": "warn"}, only=True)
    finally:
        for node in (owner, target):
            node.call("CLUSTER", "SETSLOT", 100, "STABLE")

    assert judged(report, "moving_slots").value == "1"
    told = f"100 from {owner.endpoint.address} to {target.endpoint.address}"
    assert judged(report, "moving_slots").detail == told


def test_a_frozen_primary_fails_and_the_others_see_it(whole: ClusterDeployment) -> None:
    """It costs one deadline, and what the others hold of it is told."""
    missed = whole.owner(0)
    address = missed.endpoint.address
    bear(whole, 60_000)
    missed.freeze()
    try:
        began = time.monotonic()
        before = probe(whole.endpoint, app="t", deadline=0.6)
        took = time.monotonic() - began
        bear(whole, 1000, but=missed)
        after = report_with(
            whole.endpoint, {"seen_down": "warn"}, naming=("seen_down", address), deadline=0.6
        )
    finally:
        missed.thaw()
        bear(whole, 1000)

    assert took < 1.8
    assert judged(before, "primary").verdict == "fail"
    assert "no answer" in judged(before, "primary").detail
    assert judged(before, "write_read").verdict == "fail"
    assert "of 5 nodes" in judged(after, "seen_down").detail


def test_a_dead_primary_fails_until_its_replica_has_its_slots(whole: ClusterDeployment) -> None:
    """Before the others act its slots wait; afterwards a primary has no replica."""
    owner = whole.owner(0)
    address = owner.endpoint.address
    bear(whole, 60_000)
    owner.kill()
    try:
        before = probe(whole.endpoint, app="t")
        bear(whole, 1000, but=owner)
        after = report_with(whole.endpoint, {"slots": "ok", "seen_down": "warn", "spread": "warn"})
    finally:
        owner.start()
        until(whole.whole, 20, "the old primary is a replica")

    assert not before.healthy
    assert judged(before, "slots").verdict == "fail"
    assert judged(before, "failover").verdict == "warn"
    assert judged(before, "takeover").verdict == "ok"
    assert f"{address} does not answer" in judged(before, "primary").detail
    assert failing(after) == []
    assert judged(after, "takeover").value == "2 of 3 covered"


def test_a_shard_that_is_gone_cannot_come_back(whole: ClusterDeployment) -> None:
    """Primary and replica are away: its slots fail, the others are served."""
    owner = whole.owner(0)
    replica = next(
        node
        for node in whole.nodes
        if not whole._is_primary(node) and _primary_port(whole, node) == owner.port
    )
    replica.kill()
    owner.kill()
    try:
        report = probe(whole.endpoint, app="t")
    finally:
        owner.start()
        replica.start()
        until(whole.whole, 20, "both are back")

    assert judged(report, "slots").verdict == "fail"
    assert judged(report, "replicas").verdict == "fail"
    assert judged(report, "takeover").verdict == "warn"
    assert judged(report, "quorum").verdict == "ok"
    assert "no answer" in judged(report, "write_read").value


def bear(whole: ClusterDeployment, milliseconds: int, but: Member | None = None) -> None:
    """Let nodes miss each other for so long before they act; not on a schedule of their own."""
    for node in whole.nodes:
        if node is not but:
            node.call("CONFIG", "SET", "cluster-node-timeout", milliseconds)


def _is_primary(whole: ClusterDeployment, number: int) -> bool:
    return whole._is_primary(whole.nodes[number])


def _primary_port(whole: ClusterDeployment, node: object) -> int:
    role = node.call("ROLE")  # type: ignore[attr-defined]  # a Member
    assert isinstance(role, list)
    return int(str(role[2]))
