"""What a measurement says of the servers behind it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.caching.deployments import ClusterDeployment, SentinelDeployment
from tests.conftest import command, free_port
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import UnreachableError
from valkeyctl.ops.keyspace.nodes import primaries
from valkeyctl.ops.serverfacts import server_facts, server_info


def test_settings_are_under_the_servers_own_names(endpoint: Endpoint) -> None:
    """One server has no topology to speak of."""
    facts = server_facts(endpoint)

    assert facts["server"].startswith("valkey ")
    assert (facts["save"], facts["appendonly"]) == ("", "no")
    assert "topology" not in facts


def test_counters_grow_with_what_is_done(endpoint: Endpoint) -> None:
    """Hits, misses, keys and bytes, all of one life of the server."""
    before = server_info(endpoint)
    command(endpoint, "SET", "a", "x" * 1000)
    for key in ("a", "a", "absent"):
        command(endpoint, "GET", key)

    after = server_info(endpoint)

    assert after["run_id"] == before["run_id"]
    grown = {name: float(after[name]) - float(before[name]) for name in before if name != "run_id"}
    assert (grown["keyspace_hits"], grown["keyspace_misses"], grown["keys"]) == (2, 1, 1)
    assert grown["net_output_bytes"] > 2000
    assert grown["commands"] >= 4
    assert grown["cpu_s"] >= 0
    assert float(after["used_memory_bytes"]) > 100_000


def test_a_server_that_is_away_has_no_facts() -> None:
    """The caller decides what that means."""
    away = Endpoint(port=free_port())

    for asked in (server_facts, server_info):
        with pytest.raises(UnreachableError):
            asked(away)


@pytest.mark.slow
def test_of_a_cluster_the_counters_are_of_all_primaries(tmp_path: Path) -> None:
    """And of Sentinel, of the primary that it names."""
    with ClusterDeployment(tmp_path / "cluster") as cluster:
        before = server_info(cluster.endpoint)
        for node in primaries(cluster.endpoint).nodes:
            command(node, "INFO")
        after = server_info(cluster.endpoint)
        facts = server_facts(cluster.endpoint)
    assert float(after["commands"]) - float(before["commands"]) >= 3
    assert len(str(after["run_id"]).split(",")) == 3
    assert facts["topology"] == "cluster of 3 primaries"

    with SentinelDeployment(tmp_path / "sentinel") as sentinel:
        assert server_facts(sentinel.endpoint)["topology"] == "sentinel"
        assert server_info(sentinel.endpoint)["keys"] == 0
