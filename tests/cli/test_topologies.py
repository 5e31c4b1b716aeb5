"""``health`` and ``smoke`` on several servers, as a person and a program see them."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.caching.deployments import ClusterDeployment, SentinelDeployment
from tests.cli.conftest import Run
from valkeyctl.cli.console import Console

CASES = ["health", "set_get", "ttl", "namespace_flush", "reconnect", "cleanup"]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterDeployment]:
    """Three primaries with a replica each."""
    with ClusterDeployment(tmp_path_factory.mktemp("cluster")) as deployment:
        yield deployment


@pytest.fixture(scope="module")
def sentinel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SentinelDeployment]:
    """A primary, two replicas and three sentinels, with a password."""
    with SentinelDeployment(tmp_path_factory.mktemp("sentinel"), password="s3cr3t") as deployment:
        yield deployment


def test_health_of_a_cluster_fits_a_terminal(
    ctl: Run, cluster: ClusterDeployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line a check, a line a node, none wider than 80."""
    monkeypatch.setattr(Console, "width", 80)

    done = ctl("health", "--url", cluster.endpoint.url())

    assert done.status == 0, done.out
    lines = done.out.splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.startswith("ok   slots         16,384 of 16,384") for line in lines)
    assert sum(line.startswith(("primary  ", "replica  ")) for line in lines) == 6


def test_health_as_json_has_checks_and_nodes(ctl: Run, sentinel: SentinelDeployment) -> None:
    """The same names and values; no password anywhere."""
    url = sentinel.endpoint.url(show_secret=True)

    done = ctl("health", "--url", url, "-o", "json")

    assert done.status == 0, done.out
    assert {"address", "healthy", "checks", "elapsed_ms", "topology", "nodes"} == set(done.data)
    checks, nodes = done.data["checks"], done.data["nodes"]
    assert isinstance(checks, list)
    assert isinstance(nodes, list)
    assert {"name", "value", "threshold", "verdict", "detail"} == set(checks[0])
    assert [node["role"] for node in nodes].count("sentinel") == 3
    assert all(node["lag_bytes"] is not None for node in nodes if node["role"] == "replica")
    assert "s3cr3t" not in done.out


def test_a_limit_on_the_lag_fails_when_it_is_passed(ctl: Run, sentinel: SentinelDeployment) -> None:
    """An acknowledgement comes each second, so that none is younger than no time at all."""
    url = sentinel.endpoint.url(show_secret=True)
    replica = next(server for server in sentinel.servers if server is not sentinel.primary())
    replica.freeze()
    try:
        sentinel.primary().call("SET", "big", b"x" * 100_000)
        done = ctl(
            "health", "--url", url, "--max-lag-bytes", "50kb", "--deadline", "1", "-o", "json"
        )
        wrong = ctl("health", "--url", url, "--max-lag", "soon")
    finally:
        replica.thaw()

    checks = done.data["checks"]
    assert isinstance(checks, list)
    assert done.status == 1
    assert {check["name"]: check["verdict"] for check in checks}["lag_bytes"] == "fail"
    assert wrong.status == 2


@pytest.mark.parametrize("kind", ["cluster", "sentinel", "node"])
def test_smoke_passes_on_several_servers(
    ctl: Run, cluster: ClusterDeployment, sentinel: SentinelDeployment, kind: str
) -> None:
    """Every case, in JUnit too, and nothing is left on any of them."""
    endpoint = {
        "cluster": cluster.endpoint,
        "sentinel": sentinel.endpoint,
        "node": cluster.nodes[1].endpoint,
    }[kind]

    url = endpoint.url(show_secret=True)
    done = ctl("smoke", "--app", "t", "--url", url, "--junit", "smoke.xml", "-o", "json")

    assert done.status == 0, done.out
    suite = ET.parse("smoke.xml").getroot()  # noqa: S314 - we wrote it
    assert [case.get("name") for case in suite.iter("testcase")] == CASES
    assert not list(suite.iter("failure"))
    for server in (*cluster.nodes, *sentinel.servers):
        assert server.call("KEYS", "t:*") == []


def test_smoke_names_what_a_dead_shard_breaks(ctl: Run, tmp_path: Path) -> None:
    """The run goes on to its end and says which slots are away."""
    with ClusterDeployment(tmp_path / "broken", replicas=False) as broken:
        broken.nodes[0].kill()
        url = broken.endpoint.url()

        done = ctl("smoke", "--app", "t", "--url", url, "-o", "json")

    assert done.status == 1
    cases = done.data["cases"]
    assert isinstance(cases, list)
    messages = {case["name"]: case["message"] for case in cases}
    assert list(messages) == CASES
    assert "slots is 10,923 of 16,384 served" in messages["health"]
    assert json.dumps(messages)
