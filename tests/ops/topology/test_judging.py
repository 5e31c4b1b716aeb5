"""Pictures that no deployment shows on request, made from a real one's, and judged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.caching.deployments import ClusterDeployment, SentinelDeployment
from valkeyctl.ops.checks import Check
from valkeyctl.ops.topology.health import topology_checks
from valkeyctl.ops.topology.picture import ClusterOpinion, NodeView, Peer, TopologyView
from valkeyctl.ops.topology.view import look


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TopologyView]:
    """The picture of three primaries with a replica each."""
    with ClusterDeployment(tmp_path_factory.mktemp("cluster")) as deployment:
        yield look(deployment.endpoint, deadline=5.0)


@pytest.fixture(scope="module")
def sentinel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TopologyView]:
    """The picture of a primary, two replicas and three sentinels."""
    with SentinelDeployment(tmp_path_factory.mktemp("sentinel")) as deployment:
        yield look(deployment.endpoint, deadline=5.0)


def judge(view: TopologyView, name: str) -> Check:
    """Return one check of *view*."""
    return next(check for check in topology_checks(view) if check.name == name)


def with_node(view: TopologyView, number: int, changed: NodeView) -> TopologyView:
    """Return *view* with another node at a place."""
    nodes = list(view.nodes)
    nodes[number] = changed
    return replace(view, nodes=tuple(nodes))


def with_peer(view: TopologyView, seer: int, seen: int, **facts: object) -> TopologyView:
    """Return *view* where one node thinks otherwise of another."""
    node, other = view.nodes[seer], view.nodes[seen].node_id
    opinion = node.cluster
    assert opinion is not None
    peers: tuple[Peer, ...] = tuple(
        replace(peer, **facts) if peer.node_id == other else peer  # type: ignore[arg-type]
        for peer in opinion.peers
    )
    changed: ClusterOpinion = replace(opinion, peers=peers)
    return with_node(view, seer, replace(node, cluster=changed))


def test_a_node_that_sees_another_as_failed_alone_warns(cluster: TopologyView) -> None:
    """The others disagree, and so do we: it answers."""
    check = judge(with_peer(cluster, 5, 1, suspected=True), "seen_down")

    assert (check.verdict, check.value) == ("warn", "1 node")
    assert check.detail == (
        f"{cluster.nodes[1].address} by 1 of 6 nodes (suspected), and answers us: "
        f"{cluster.nodes[5].address}"
    )


def test_nodes_that_disagree_on_owners_warn(cluster: TopologyView) -> None:
    """One node has slots elsewhere than the others do; the slots are named."""
    first, last = cluster.shards[0].ranges[0]
    shifted = with_peer(
        cluster, 5, cluster.nodes.index(_primary(cluster, 0)), ranges=((first, last - 3),)
    )

    check = judge(shifted, "owners")

    assert (check.verdict, check.value) == ("warn", "1 differ")
    assert f"{cluster.nodes[5].address} has {last - 2}-{last} elsewhere" in check.detail
    assert judge(cluster, "owners").verdict == "ok"


def test_two_primaries_of_one_slot_fail(cluster: TopologyView) -> None:
    """Each believes it of itself: a node that was cut off and has come back."""
    one, two = _primary(cluster, 0), _primary(cluster, 1)
    mine = cluster.shards[1].ranges[0]
    place = cluster.nodes.index(two)
    both = with_peer(cluster, place, place, ranges=((0, 0), mine))

    check = judge(both, "primary")

    assert check.verdict == "fail"
    assert "slots 0 are served by" in check.detail
    assert one.address in check.detail
    assert two.address in check.detail


def test_a_replica_that_says_fail_is_no_failure(cluster: TopologyView) -> None:
    """A primary that says it is one."""
    for number, verdict in ((5, "warn"), (0, "fail")):
        node = cluster.nodes[number]
        assert node.cluster is not None
        cut_off = replace(node, cluster=replace(node.cluster, state="fail"))

        assert judge(with_node(cluster, number, cut_off), "cluster_state").verdict == verdict


def test_a_cluster_without_a_majority_of_primaries_cannot_decide(cluster: TopologyView) -> None:
    """One of three is left."""
    view = cluster
    for number in (0, 1):
        view = with_node(view, number, replace(cluster.nodes[number], reachable=False))

    assert judge(view, "quorum").verdict == "fail"
    assert (
        judge(with_node(cluster, 0, replace(cluster.nodes[0], reachable=False)), "quorum").verdict
        == "ok"
    )


def test_replicas_that_may_not_take_over_warn(cluster: TopologyView) -> None:
    """A Cluster goes by cluster-replica-no-failover, not by the priority."""
    view = cluster
    for number in range(6):
        for replica in (3, 4, 5):
            view = with_peer(view, number, replica, can_take_over=False)

    assert judge(view, "takeover").value == "0 of 3 covered"
    assert judge(view, "takeover").verdict == "warn"
    other = with_node(cluster, 3, replace(cluster.nodes[3], priority=0))
    assert judge(other, "takeover").verdict == "ok"


def test_a_version_of_its_own_warns(sentinel: TopologyView) -> None:
    """An upgrade that has stopped half-way; who has which is told."""
    check = judge(with_node(sentinel, 4, replace(sentinel.nodes[4], version="8.1.1")), "version")

    assert check.verdict == "warn"
    assert f"8.1.1: {sentinel.nodes[4].address}" in check.detail


def test_a_second_primary_behind_sentinel_fails(sentinel: TopologyView) -> None:
    """An old one that came back and has not heard of its successor."""
    old = replace(sentinel.nodes[5], role="primary", primary="", link="")

    check = judge(with_node(sentinel, 5, old), "primary")

    assert (check.verdict, check.value) == ("fail", "2 found")
    assert f"{old.address} takes writes, too" in check.detail


def test_a_replica_of_somebody_else_warns(sentinel: TopologyView) -> None:
    """It follows a server that the sentinels do not name."""
    stray = replace(sentinel.nodes[5], primary="127.0.0.1:1")

    check = judge(with_node(sentinel, 5, stray), "link")

    assert check.verdict == "warn"
    assert "follows 127.0.0.1:1" in check.detail


@pytest.mark.parametrize(
    ("facts", "name", "verdict", "words"),
    [
        ({"tilt": True}, "sentinels", "warn", "TILT"),
        ({"replicas": 1}, "sentinels", "warn", "the same replicas"),
        ({"sentinels": 2}, "sentinels", "warn", "the same sentinels"),
        ({"quorum": 3}, "sentinels", "warn", "the same quorum"),
        ({"failover": "wait_start"}, "failover", "warn", "wait_start"),
        ({"quorum_reachable": False, "quorum_says": "NOQUORUM"}, "quorum", "warn", "NOQUORUM"),
        ({"quorum_reachable": None, "quorum_says": "NOPERM"}, "quorum", "warn", "NOPERM"),
    ],
)
def test_what_one_sentinel_says_otherwise_warns(
    sentinel: TopologyView, facts: dict[str, object], name: str, verdict: str, words: str
) -> None:
    """One of three: an operator should look, and traffic goes on."""
    node = sentinel.nodes[0]
    assert node.sentinel is not None
    changed = replace(node, sentinel=replace(node.sentinel, **facts))  # type: ignore[arg-type]

    check = judge(with_node(sentinel, 0, changed), name)

    assert check.verdict == verdict
    assert words in check.detail


def test_a_replica_that_fetches_a_full_copy_is_not_online(sentinel: TopologyView) -> None:
    """It follows, and has not the data yet; with all of them so nobody can take over."""
    view = sentinel
    for number in (4, 5):
        node = replace(sentinel.nodes[number], syncing=True, link="down")
        view = with_node(view, number, node)

    assert judge(view, "replicas").verdict == "fail"
    assert "fetches a full copy" in judge(view, "link").detail
    assert judge(view, "takeover").verdict == "warn"


def _primary(view: TopologyView, shard: int) -> NodeView:
    node = view.shards[shard].primary
    assert node is not None
    return node
