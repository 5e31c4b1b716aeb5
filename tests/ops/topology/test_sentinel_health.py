"""Health behind Sentinel: each fault gets the verdict that it deserves, and no other check does."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

import pytest

from tests.caching.deployments import PRIMARY_NAME, Member, SentinelDeployment
from tests.ops.topology.judged import failing, healthy_again, judged, report_with, verdicts
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import AuthError, UnreachableError, UsageError
from valkeyctl.ops.checks import Thresholds
from valkeyctl.ops.health import probe
from valkeyctl.ops.topology.view import look


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SentinelDeployment]:
    """A primary, two replicas, three sentinels; every test leaves them whole."""
    with SentinelDeployment(tmp_path_factory.mktemp("health"), password="s3cr3t") as deployment:
        yield deployment


@pytest.fixture
def whole(made: SentinelDeployment) -> SentinelDeployment:
    """The deployment, once nothing is the matter with it."""
    healthy_again(made.endpoint)
    return made


def test_a_whole_deployment_passes_every_check(whole: SentinelDeployment) -> None:
    """Nodes and sentinels are all there, and nothing that was written is left."""
    report = report_with(whole.endpoint, {}, only=True)

    assert [check.name for check in report.checks] == [
        *("ping", "write_read", "memory", "eviction", "persistence"),
        *("nodes", "primary", "quorum", "sentinels", "agreement", "seen_down", "failover"),
        *("replicas", "link", "lag_bytes", "lag_seconds", "takeover", "min_replicas", "version"),
    ]
    assert judged(report, "primary").value == whole.primary().endpoint.address
    assert judged(report, "quorum").value == "3 of 3 reach it"
    assert whole.primary().call("KEYS", "t:*") == []


def test_the_picture_has_every_node_once(whole: SentinelDeployment) -> None:
    """Whatever way in was taken, with roles, versions and who follows whom."""
    view = look(whole.endpoint, deadline=2.0)
    from_a_server = look(whole.servers[1].endpoint, deadline=2.0)

    assert [node.role for node in view.nodes] == ["sentinel"] * 3 + [
        "primary",
        "replica",
        "replica",
    ]
    assert len({node.identity for node in view.nodes}) == 6
    assert all(node.reachable and node.version and not node.error for node in view.nodes)
    assert {node.primary for node in view.servers if node.role == "replica"} == {view.primary}
    assert [node.sentinel.quorum for node in view.sentinels if node.sentinel] == [2, 2, 2]
    assert {node.address for node in from_a_server.nodes} == {n.address for n in view.servers}


def test_a_frozen_replica_costs_one_deadline_and_warns(whole: SentinelDeployment) -> None:
    """It accepts connections and says nothing; its primary knows how far it is behind."""
    replica = next(server for server in whole.servers if server is not whole.primary())
    low = Thresholds(lag_warn_bytes=100_000)
    address = replica.endpoint.address
    replica.freeze()
    try:
        whole.primary().call("SET", "big", b"x" * 300_000)
        began = time.monotonic()
        probe(whole.endpoint, app="t", deadline=1.0)
        took = time.monotonic() - began
        report = report_with(
            whole.endpoint,
            {"nodes": "warn", "replicas": "warn", "lag_bytes": "warn", "seen_down": "warn"},
            naming=("seen_down", address),
            deadline=1.0,
            thresholds=low,
        )
    finally:
        replica.thaw()
        whole.primary().call("DEL", "big")

    assert took < 1.5
    assert failing(report) == []
    assert judged(report, "replicas").value == "1 of 2 online"
    assert address in judged(report, "lag_bytes").detail
    assert "no answer" in judged(report, "nodes").detail
    assert judged(report, "write_read").verdict == "ok"


def test_a_silent_replica_lags_in_seconds(whole: SentinelDeployment) -> None:
    """By its primary's clock, past a limit that the caller sets."""
    replica = next(server for server in whole.servers if server is not whole.primary())
    strict = Thresholds(lag_warn_s=1, lag_fail_s=2)
    replica.freeze()
    try:
        report = report_with(
            whole.endpoint, {"lag_seconds": "fail"}, deadline=0.5, thresholds=strict
        )
    finally:
        replica.thaw()

    assert replica.endpoint.address in judged(report, "lag_seconds").detail


def test_a_dead_replica_warns(whole: SentinelDeployment) -> None:
    """Traffic goes on, and the other one could take over."""
    replica = next(server for server in whole.servers if server is not whole.primary())
    address = replica.endpoint.address
    replica.kill()
    try:
        report = report_with(
            whole.endpoint,
            {"nodes": "warn", "replicas": "warn", "seen_down": "warn"},
            only=True,
            naming=("seen_down", address),
        )
    finally:
        replica.start("--replicaof", f"127.0.0.1 {whole.primary().port}")

    assert failing(report) == []
    assert f"{address} does not answer" in judged(report, "replicas").detail
    assert "Connection refused" in judged(report, "nodes").detail


def test_replica_priority_0_everywhere_warns(whole: SentinelDeployment) -> None:
    """All is well, and nobody could take over."""
    replicas = [server for server in whole.servers if server is not whole.primary()]
    for replica in replicas:
        replica.call("CONFIG", "SET", "replica-priority", 0)
    try:
        report = report_with(whole.endpoint, {"takeover": "warn"}, only=True)
        replicas[0].call("CONFIG", "SET", "replica-priority", 100)
        report_with(whole.endpoint, {}, only=True)
    finally:
        for replica in replicas:
            replica.call("CONFIG", "SET", "replica-priority", 100)

    assert "replica-priority 0" in judged(report, "takeover").detail


def test_too_few_good_replicas_for_writing_fail(whole: SentinelDeployment) -> None:
    """The primary refuses writes, and the reason is named."""
    primary = whole.primary()
    primary.call("CONFIG", "SET", "min-replicas-to-write", 3)
    try:
        report = report_with(
            whole.endpoint, {"write_read": "fail", "min_replicas": "fail"}, only=True
        )
    finally:
        primary.call("CONFIG", "SET", "min-replicas-to-write", 0)

    assert judged(report, "write_read").value == "NOREPLICAS"
    assert "2 of 3 good replicas" in judged(report, "min_replicas").detail


def test_a_minority_of_sentinels_cannot_decide(whole: SentinelDeployment) -> None:
    """Two of three are away: the primary serves, and its death would go unanswered."""
    for sentinel in whole.sentinels[1:]:
        sentinel.kill()
    try:
        report = report_with(
            whole.endpoint,
            {"quorum": "fail", "nodes": "warn", "sentinels": "warn", "write_read": "ok"},
        )
    finally:
        for sentinel in whole.sentinels[1:]:
            sentinel.start()

    assert not report.healthy
    assert judged(report, "quorum").value == "0 of 1 reach it"
    assert "NOQUORUM" in judged(report, "quorum").detail


def test_sentinels_that_name_two_primaries_fail(whole: SentinelDeployment) -> None:
    """Clients of one write where clients of the other do not read."""
    other = next(server for server in whole.servers if server is not whole.primary())
    sentinel, right = whole.sentinels[2], whole.primary()

    def monitor(port: int) -> None:
        sentinel.call("SENTINEL", "REMOVE", PRIMARY_NAME)
        sentinel.call("SENTINEL", "MONITOR", PRIMARY_NAME, "127.0.0.1", port, 2)
        for option, value in (("auth-pass", "s3cr3t"), ("down-after-milliseconds", "500")):
            sentinel.call("SENTINEL", "SET", PRIMARY_NAME, option, value)

    monitor(other.port)
    try:
        report = probe(whole.endpoint, app="t")
    finally:
        monitor(right.port)

    assert not report.healthy
    assert judged(report, "agreement").verdict == "fail"
    assert judged(report, "agreement").value == "2 named"
    assert other.endpoint.address in judged(report, "agreement").detail
    assert judged(report, "sentinels").verdict == "warn"


def test_nobody_there_and_no_such_primary_are_failures(whole: SentinelDeployment) -> None:
    """What nobody can tell is no failed check."""
    port = whole.sentinels[0].port
    wrong = Endpoint(topology="sentinel", nodes=(("127.0.0.1", port),), primary_name="other")

    with pytest.raises(UnreachableError, match="knows no primary called other"):
        probe(wrong)
    with pytest.raises(UsageError, match="is a Sentinel"):
        probe(Endpoint(port=port))
    with pytest.raises(AuthError):
        look(whole.servers[0].endpoint.with_password("wrong"), deadline=1.0)


def test_a_dead_primary_fails_until_another_has_taken_over(whole: SentinelDeployment) -> None:
    """Before the sentinels act, while they do, and after: three different answers."""
    primary, (leader, *voters) = whole.primary(), whole.sentinels
    bear(whole.sentinels, 60_000)
    primary.kill()
    try:
        before = probe(whole.endpoint, app="t")
        # One that may begin a failover alone, and is elected by nobody, is stuck in it.
        for voter in voters:
            voter.kill()
        try:
            leader.call("SENTINEL", "SET", PRIMARY_NAME, "quorum", "1")
            bear([leader], 500)
            during = report_with(whole.endpoint, {"failover": "warn"})
        finally:
            bear([leader], 2000)  # or it misses the new primary, too, while it connects to it
            for voter in voters:
                voter.start()
        wanted = {"primary": "ok", "failover": "ok", "replicas": "warn"}
        after = report_with(whole.endpoint, wanted)
    finally:
        leader.call("SENTINEL", "SET", PRIMARY_NAME, "quorum", "2")
        bear(whole.sentinels, 500)
        primary.start("--replicaof", f"127.0.0.1 {whole.primary().port}")

    assert {"write_read": "fail", "primary": "fail", "replicas": "warn"}.items() <= verdicts(
        before
    ).items()
    assert "does not answer" in judged(before, "primary").detail
    assert judged(before, "takeover").verdict == "ok"
    assert judged(during, "seen_down").verdict == "warn"
    assert failing(after) == []
    assert judged(after, "replicas").value == "1 of 2 online"
    assert judged(after, "primary").value != primary.endpoint.address


def bear(sentinels: Iterable[Member], milliseconds: int) -> None:
    """Let *sentinels* miss a server for so long before they act."""
    for sentinel in sentinels:
        sentinel.call("SENTINEL", "SET", PRIMARY_NAME, "down-after-milliseconds", str(milliseconds))
