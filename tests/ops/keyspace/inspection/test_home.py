"""Where a key lies: the slot and the server of any key."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.caching.deployments import ClusterDeployment, until
from tests.conftest import free_port, start_server
from valkeyctl.caching import CacheService, ValkeyClient
from valkeyctl.caching.driver.slots import slot_of
from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import NotFoundError, ServerReplyError, UnreachableError
from valkeyctl.ops.keyspace.inspection.home import EntryName, Home
from valkeyctl.ops.keyspace.inspection.inspect import inspect_key
from valkeyctl.ops.keyspace.inspection.listing import Filters, KeyPages, list_keys


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """A Cluster node that serves no slot."""
    folder = tmp_path_factory.mktemp("node")
    options = ("--cluster-enabled", "yes", "--cluster-port", str(free_port()))
    process, endpoint = start_server(folder, *options)
    yield endpoint
    process.kill()
    process.wait()


@given(key=st.binary(max_size=30) | st.text("a{}", max_size=9).map(str.encode))
@example(b"opencode:metadata:{opencode.49}:gpt-x")
@example(b"{}a")
@example(b"a{b}{c}")
def test_a_slot_is_the_one_that_the_server_says(node: Endpoint, key: bytes) -> None:
    """Hash tags, empty and nested ones included."""
    with Wire(node) as wire:
        assert slot_of(key) == wire.call("CLUSTER", "KEYSLOT", key)


def test_a_cluster_without_slots_is_one_sentence(node: Endpoint) -> None:
    """Nobody holds the key."""
    with pytest.raises(UnreachableError):
        Home.of(node)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterDeployment]:
    """Three primaries with a replica each."""
    with ClusterDeployment(tmp_path_factory.mktemp("cluster")) as made:
        yield made


@pytest.mark.slow
class TestOnACluster:
    """Whose keys are on three primaries."""

    async def test_an_entry_is_found_by_its_name(self, cluster: ClusterDeployment) -> None:
        """Its shard is computed; any node, a replica too, leads to it."""
        async with ValkeyClient(cluster.endpoint) as client:
            cache = CacheService(client, app="opencode", budget=5.0)
            for number in range(20):
                await cache.set("metadata", f"k{number}", number, ttl=300)

        for endpoint in (cluster.endpoint, *(node.endpoint for node in cluster.nodes)):
            for number in (3, 11, 19):
                name = EntryName("opencode", "metadata", f"k{number}")
                detail = inspect_key(endpoint, name)
                assert detail.entry is not None
                assert detail.entry.version == "current"
                assert detail.preview.lines == (str(number),)
                assert inspect_key(endpoint, detail.display).key == detail.key
        with pytest.raises(NotFoundError, match=r"opencode\.[0-9]+}:gone on"):
            inspect_key(cluster.endpoint, EntryName("opencode", "metadata", "gone"))

    def test_all_primaries_are_listed(self, cluster: ClusterDeployment) -> None:
        """At once, and page by page over the borders between them."""
        keys = {b"listed:n:%d" % number for number in range(300)}
        for key in keys:
            cluster.owner(slot_of(key)).call("SET", key, "v")
        filters = Filters(match=b"listed:*")

        once = [row.key for page in list_keys(cluster.endpoint, filters) for row in page]
        paged: list[bytes] = []
        after = None
        while True:
            pages = KeyPages(cluster.endpoint, filters, limit=35, after=after)
            paged += [row.key for page in pages for row in page]
            if (after := pages.next) is None:
                break

        assert len(once) == len(paged) == 300
        assert set(once) == set(paged) == keys

    def test_a_key_on_the_move_is_one_sentence(self, cluster: ClusterDeployment) -> None:
        """It is where neither of the two says that it is."""
        slot = slot_of(b"moving")
        source = cluster.owner(slot)
        source.call("SET", "moving", "v")
        target = next(node for node in cluster.nodes[:3] if node is not source)
        cluster.begin_move(slot, source, target)
        cluster.move_keys(slot, source, target)
        try:
            with pytest.raises(ServerReplyError, match="moving is being moved from"):
                inspect_key(cluster.endpoint, "moving")
        finally:
            cluster.end_move(slot, source, target)

        assert inspect_key(cluster.endpoint, "moving").preview.lines == ("v",)


@pytest.mark.slow
def test_a_replica_is_asked_as_it_is(endpoint: Endpoint, tmp_path: Path) -> None:
    """The one that was named answers, and nothing is written there."""
    options = ("--replicaof", f"{endpoint.host} {endpoint.port}", "--repl-diskless-sync-delay", "0")
    with Wire(endpoint) as wire:
        wire.call("SET", "a:n:k", "v")
    process, replica = start_server(tmp_path, *options)
    try:
        with Wire(replica) as wire:
            until(lambda: wire.call("EXISTS", "a:n:k") == 1, 20, "the replica catches up")
        detail = inspect_key(replica, "a:n:k")
        listed = [row.display for page in list_keys(replica, Filters()) for row in page]
    finally:
        process.kill()
        process.wait()

    assert detail.preview.lines == ("v",)
    assert listed == ["a:n:k"]
