"""Which servers hold the keys of an endpoint."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.caching.deployments import ClusterDeployment, SentinelDeployment
from tests.ops.keyspace.scripted import bulk, scripted_server
from valkeyctl.caching.keys import SHARDS
from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import UnreachableError, UsageError
from valkeyctl.ops.keyspace.nodes import primaries
from valkeyctl.ops.keyspace.scan import Walker


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterDeployment]:
    """Three primaries with a replica each."""
    with ClusterDeployment(tmp_path_factory.mktemp("cluster")) as made:
        yield made


def test_a_server_is_taken_as_it_is(endpoint: Endpoint) -> None:
    """One server, no slots, plain keys."""
    found = primaries(endpoint)

    assert (found.nodes, found.has_slots) == ((endpoint,), False)
    assert found.scheme("t").shards == 1


def test_a_cluster_url_leads_to_all_primaries(cluster: ClusterDeployment) -> None:
    """No replica among them; a seed that does not answer is passed over."""
    dead = Endpoint(topology="cluster", nodes=(("127.0.0.1", 1), *cluster.endpoint.nodes))

    found = primaries(dead)

    assert len(found.nodes) == 3
    assert found.has_slots
    assert found.scheme("t").shards == SHARDS
    for node in found.nodes:
        with Wire(node) as wire:
            assert wire.info("replication")["role"] == "master"


def test_the_plain_url_of_any_node_leads_to_all_primaries(cluster: ClusterDeployment) -> None:
    """A part of the keys is never passed off as all of them."""
    host, port = cluster.endpoint.nodes[-1]

    found = primaries(Endpoint(host=host, port=port))

    assert set(found.nodes) == set(primaries(cluster.endpoint).nodes)


def test_a_walk_gives_the_keys_of_all_primaries_once(cluster: ClusterDeployment) -> None:
    """With progress by the keys in the slots, however unequal they are."""
    keys = {f"k{number}".encode() for number in range(600)}
    keys |= {f"t:n:{{t.{shard}}}:{number}".encode() for shard in range(3) for number in range(900)}
    for node in primaries(cluster.endpoint).nodes:
        with Wire(node) as wire:
            wire.call("FLUSHALL")
            wire.pipeline(("SET", key, "v") for key in keys)  # MOVED where it is another's

    given_keys: list[bytes] = []
    errors = []
    with Walker(cluster.endpoint) as walker:
        for batch in walker.walk():
            given_keys += batch.keys
            errors.append(abs(batch.visited - len(given_keys) / len(keys)))
        surveyed = [key for page in walker.survey() for key in page.keys]

    assert len(given_keys) == len(keys)
    assert set(given_keys) == keys
    assert sorted(surveyed) == sorted(keys)
    assert errors[-1] == 0
    assert max(errors) < 0.05


def test_a_sentinel_url_leads_to_the_primary(tmp_path: Path) -> None:
    """The one that the sentinels name."""
    with SentinelDeployment(tmp_path) as made:
        found = primaries(made.endpoint)

        with Wire(found.nodes[0]) as wire:
            assert wire.info("replication")["role"] == "master"
    assert len(found.nodes) == 1
    assert not found.has_slots


def test_a_name_that_no_sentinel_knows_is_an_answer() -> None:
    """Told apart from a server that is down."""
    answers = {b"SENTINEL": [b"*-1\r\n", b"-ERR No such master with that name\r\n"]}

    with scripted_server(answers) as server:
        asked = Endpoint(
            topology="sentinel", nodes=((server.host, server.port),), primary_name="nobody"
        )
        with pytest.raises(UnreachableError, match="knows no primary called nobody"):
            primaries(asked)


def test_a_sentinel_is_not_taken_for_a_server() -> None:
    """Its empty keyspace is never passed off as the cache's."""
    answers = {b"HELLO": [bulk("server", "valkey", "mode", "sentinel")]}

    with (
        scripted_server(answers) as endpoint,
        pytest.raises(UsageError, match="is a Sentinel"),
    ):
        primaries(endpoint)
