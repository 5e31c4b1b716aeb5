"""An invalidation from a terminal keeps what the library's promises."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import pytest

from tests.caching.deployments import ClusterDeployment, SentinelDeployment
from tests.ops.keyspace.scripted import bulk, scripted_server
from valkeyctl.caching import CacheService, NamespacePolicy, ValkeyClient
from valkeyctl.caching.announcement import LEASE, near_channel
from valkeyctl.caching.keys import SHARDS, KeyScheme
from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import AuthError, ServerReplyError, UnreachableError
from valkeyctl.ops.keyspace.removal.invalidate import Invalidated, invalidate
from valkeyctl.ops.keyspace.removal.selection import Selection

SPACE = Selection("a", namespace="n")
TAG = Selection("a", tag="t")
POLICIES = {name: NamespacePolicy(ttl=300, near=60) for name in ("n", "m")}


async def _invalidated(endpoint: Endpoint, selection: Selection) -> Invalidated:
    """Do it as the command line does, beside this event loop."""
    return await asyncio.to_thread(invalidate, endpoint, selection)


@pytest.fixture
async def readers(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[list[CacheService]]:
    """Two processes that hold an entry of each of two namespaces in their near caches."""
    # They answer at once, but a machine that stutters may take longer than a lease.
    monkeypatch.setattr("valkeyctl.ops.keyspace.removal.invalidate.LEASE", 5.0)
    async with AsyncExitStack() as stack:
        services = []
        for _ in range(2):
            client = await stack.enter_async_context(ValkeyClient(endpoint))
            service = CacheService(client, app="a", budget=5.0, policies=POLICIES)
            services.append(await stack.enter_async_context(service))
        await services[0].set("n", "x", "old", tags=["t"])
        await services[0].set("m", "x", "old", tags=["t"])
        for service in services:
            await _held(service)
        yield services


async def _held(service: CacheService) -> None:
    """Read until both entries are served without asking the server."""
    async with asyncio.timeout(5):
        while True:
            stats = service.near_stats()
            assert stats is not None
            if stats.entries == 2 and stats.tracking:
                return
            for namespace in ("n", "m"):
                await service.get(namespace, "x")
            await asyncio.sleep(0.001)


async def test_every_entry_misses_from_then_on(client: ValkeyClient, endpoint: Endpoint) -> None:
    """Those of the namespace, and no others; the entries themselves stay."""
    cache = CacheService(client, app="a", budget=5.0)
    await cache.set("n", "x", "v", ttl=300)
    await cache.set("m", "x", "v", ttl=300)

    done = await _invalidated(endpoint, SPACE)

    assert (done.app, done.namespace, done.tag) == ("a", "n", None)
    assert (done.versions, done.holders, done.acknowledged) == (1, 0, True)
    assert await cache.get("m", "x") == "v"
    assert await cache.get("n", "x") is None


async def test_a_tag_reaches_all_namespaces(client: ValkeyClient, endpoint: Endpoint) -> None:
    """Entries with it miss, those without it stay."""
    cache = CacheService(client, app="a", budget=5.0)
    for namespace in ("n", "m"):
        await cache.set(namespace, "with", "v", ttl=300, tags=["t"])
        await cache.set(namespace, "without", "v", ttl=300, tags=["u"])

    done = await _invalidated(endpoint, TAG)

    assert (done.tag, done.versions) == ("t", 1)
    for namespace in ("n", "m"):
        assert await cache.get(namespace, "with") is None
        assert await cache.get(namespace, "without") == "v"


def test_what_was_never_written_is_invalidated_too(endpoint: Endpoint) -> None:
    """Nothing to do is no failure, and is told apart."""
    assert invalidate(endpoint, SPACE).versions == 0


def test_a_dry_run_changes_nothing(endpoint: Endpoint, wire: Wire) -> None:
    """It counts the versions that there are."""
    wire.call("SET", "a:~version:n", "v")

    done = invalidate(endpoint, SPACE, dry_run=True)

    assert (done.versions, done.dry_run) == (1, True)
    assert wire.call("EXISTS", "a:~version:n") == 1


async def test_near_caches_have_dropped_it_when_it_returns(
    readers: list[CacheService], endpoint: Endpoint
) -> None:
    """Each of them acknowledges, and none serves the old entry once more."""
    done = await _invalidated(endpoint, SPACE)

    for reader in readers:
        assert await reader.get("n", "x") is None
        assert await reader.get("m", "x") == "old"
    assert (done.holders, done.acknowledged) == (2, True)


async def test_near_caches_drop_a_tag(readers: list[CacheService], endpoint: Endpoint) -> None:
    """As a namespace."""
    done = await _invalidated(endpoint, TAG)

    for reader in readers:
        assert await reader.get("n", "x") is None
        assert await reader.get("m", "x") is None
    assert (done.holders, done.acknowledged) == (2, True)


def test_an_answer_right_behind_the_subscription_is_heard(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One to the first announcement may be late, and counts for nothing."""
    monkeypatch.setattr("valkeyctl.ops.keyspace.removal.invalidate.LEASE", 5.0)
    confirmed = b"*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n"
    early, late = (bulk("message", "c", f"{number} holder") for number in (1, 2))
    answers = {
        b"HELLO": [b"*0\r\n"],
        b"UNLINK": [b":1\r\n"],
        b"PUBLISH": [b":1\r\n"],
        b"SUBSCRIBE": [confirmed + early + late],
    }
    with scripted_server(answers) as server:
        done = invalidate(server, SPACE)

    assert (done.versions, done.holders, done.acknowledged) == (1, 1, True)


def test_the_lease_of_a_silent_holder_is_waited_out(endpoint: Endpoint) -> None:
    """One that hangs serves nothing when its lease is over; until then nothing is promised."""
    with Wire(endpoint) as silent:
        silent.call("SUBSCRIBE", near_channel("a"))

        done = invalidate(endpoint, SPACE)

    assert (done.holders, done.acknowledged) == (1, False)
    assert done.ms >= LEASE * 1000


def test_a_user_who_may_tell_nobody_waits_for_the_leases(endpoint: Endpoint, wire: Wire) -> None:
    """He cannot know whether there are near caches."""
    wire.call("ACL", "SETUSER", "u", "on", ">p", "~*", "+@all", "-publish")
    user = Endpoint(port=endpoint.port, username="u", password="p")
    try:
        done = invalidate(user, SPACE)
    finally:
        wire.call("ACL", "DELUSER", "u")

    assert (done.holders, done.acknowledged) == (None, False)
    assert done.ms >= LEASE * 1000


def test_a_user_who_may_hear_nobody_waits_for_the_leases(endpoint: Endpoint, wire: Wire) -> None:
    """Without a subscription no acknowledgement arrives."""
    wire.call("ACL", "SETUSER", "u", "on", ">p", "~*", "&*", "+@all", "-subscribe")
    user = Endpoint(port=endpoint.port, username="u", password="p")
    try:
        with Wire(endpoint) as silent:
            silent.call("SUBSCRIBE", near_channel("a"))
            done = invalidate(user, SPACE)
    finally:
        wire.call("ACL", "DELUSER", "u")

    assert (done.holders, done.acknowledged) == (1, False)
    assert done.ms >= LEASE * 1000


def test_a_user_who_may_not_delete_gets_one_sentence(endpoint: Endpoint, wire: Wire) -> None:
    """And nothing is called invalid that is not."""
    wire.call("SET", "a:~version:n", "v")
    wire.call("ACL", "SETUSER", "u", "on", ">p", "~*", "&*", "+@all", "-unlink")
    user = Endpoint(port=endpoint.port, username="u", password="p")
    try:
        with pytest.raises(AuthError, match="NOPERM"):
            invalidate(user, SPACE)
    finally:
        wire.call("ACL", "DELUSER", "u")

    assert wire.call("EXISTS", "a:~version:n") == 1


def test_a_replica_refuses(endpoint: Endpoint, wire: Wire) -> None:
    """Its own answer says why; the hint where to go."""
    wire.call("REPLICAOF", "127.0.0.1", 1)
    try:
        with pytest.raises(ServerReplyError, match="READONLY") as caught:
            invalidate(endpoint, SPACE)
    finally:
        wire.call("REPLICAOF", "NO", "ONE")

    assert "primary" in str(caught.value.hint)


def test_nobody_there_is_one_sentence() -> None:
    """Nothing was done."""
    with pytest.raises(UnreachableError):
        invalidate(Endpoint(port=1), SPACE)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterDeployment]:
    """Three primaries with a replica each."""
    with ClusterDeployment(tmp_path_factory.mktemp("cluster")) as made:
        yield made


@pytest.mark.slow
class TestOnACluster:
    """Where a namespace has a version in each of 64 shards, on three primaries."""

    def test_the_versions_of_all_shards_go(self, cluster: ClusterDeployment) -> None:
        """On every primary, and on the replica that would take its place."""
        versions = (*KeyScheme("a", shards=SHARDS).versions("n"), *KeyScheme("a").versions("n"))
        _set(cluster, versions)

        done = invalidate(cluster.endpoint, SPACE)

        assert done.versions == len(versions)
        assert [node.call("DBSIZE") for node in cluster.nodes] == [0] * len(cluster.nodes)

    def test_one_node_leads_to_all(self, cluster: ClusterDeployment) -> None:
        """Its URL is enough."""
        versions = KeyScheme("a", shards=SHARDS).tag_versions("t")
        _set(cluster, versions)

        assert invalidate(cluster.nodes[2].endpoint, TAG).versions == len(versions)

    def test_a_slot_on_the_move_is_followed(self, cluster: ClusterDeployment) -> None:
        """A version that has moved already is where the old node says that it is."""
        version = KeyScheme("a", shards=SHARDS).versions("n")[0]
        slot = cluster.nodes[0].call("CLUSTER", "KEYSLOT", version)
        assert isinstance(slot, int)
        _set(cluster, [version])
        source = cluster.owner(slot)
        target = next(node for node in cluster.nodes[:3] if node is not source)
        cluster.begin_move(slot, source, target)
        cluster.move_keys(slot, source, target)
        try:
            done = invalidate(cluster.endpoint, SPACE)
        finally:
            cluster.end_move(slot, source, target)

        assert done.versions == 1


def _set(cluster: ClusterDeployment, keys: tuple[bytes, ...] | list[bytes]) -> None:
    for key in keys:
        slot = cluster.nodes[0].call("CLUSTER", "KEYSLOT", key)
        assert isinstance(slot, int)
        cluster.owner(slot).call("SET", key, "v")


@pytest.mark.slow
def test_behind_sentinels_a_replica_has_it_when_it_returns(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """A failover right after it brings nothing back."""
    folder = tmp_path_factory.mktemp("sentinel")
    with SentinelDeployment(folder, servers=2, sentinels=1) as deployment:
        primary = deployment.primary()
        replica = next(server for server in deployment.servers if server is not primary)
        primary.call("SET", "a:~version:n", "v")
        primary.call("WAIT", 1, 2000)

        done = invalidate(deployment.endpoint, SPACE)

        assert replica.call("EXISTS", "a:~version:n") == 0
        assert done.versions == 1
        replica.kill()
        assert invalidate(deployment.endpoint, SPACE, timeout=2.0).versions == 0
