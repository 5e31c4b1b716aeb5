"""Sentinel and Cluster by TLS alone: found, written to, failed over, and verified."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.caching.deployments import ClusterDeployment, SentinelDeployment, until
from tests.certificates import Certificates, needs_tls_server
from valkeyctl.caching import ValkeyClient
from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import TlsError, ValkeyctlError

pytestmark = [needs_tls_server, pytest.mark.slow]


def patient(endpoint: Endpoint) -> ValkeyClient:
    """Return a client that a busy machine does not make impatient: handshakes cost time."""
    return ValkeyClient(endpoint, deadline=20.0, connect_timeout=10.0)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """One CA for all servers of this module, their certificate for 127.0.0.1."""
    return Certificates.make(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """A CA that signed none of them."""
    return Certificates.make(tmp_path_factory.mktemp("stranger"))


@pytest.fixture(scope="module")
def sentinels(
    tmp_path_factory: pytest.TempPathFactory, certificates: Certificates
) -> Iterator[SentinelDeployment]:
    """A primary, a replica and three sentinels, which speak TLS with one another too."""
    folder = tmp_path_factory.mktemp("sentinels")
    with SentinelDeployment(folder, servers=2, password="p", certificates=certificates) as made:
        yield made


@pytest.fixture(scope="module")
def cluster(
    tmp_path_factory: pytest.TempPathFactory, certificates: Certificates
) -> Iterator[ClusterDeployment]:
    """Three primaries with a replica each, whose bus is encrypted too."""
    folder = tmp_path_factory.mktemp("cluster")
    with ClusterDeployment(folder, certificates=certificates) as made:
        yield made


async def test_a_cluster_is_used_by_tls(cluster: ClusterDeployment) -> None:
    """Keys of every node are written and read; each connection is verified."""
    async with patient(cluster.endpoint) as client:
        for number in range(60):
            await client.execute("SET", f"k{number}", number)

        assert await client.execute("GET", "k59") == b"59"
        assert await client.raw.get("k7") == b"7"
    for node in cluster.nodes:
        with Wire(node.endpoint, timeout=10) as wire:
            assert wire.encryption is not None
            assert wire.encryption.protocol == "TLSv1.3"


@pytest.mark.parametrize("topology", ["sentinels", "cluster"])
async def test_a_client_certificate_is_shown_everywhere(
    request: pytest.FixtureRequest, certificates: Certificates, topology: str
) -> None:
    """To sentinels, to servers and to nodes, and by redis-py's own clients too."""
    deployment = request.getfixturevalue(topology)
    folder = certificates.folder
    endpoint = replace(
        deployment.endpoint, cert_file=folder / "client.crt", key_file=folder / "client.key"
    )
    servers = deployment.servers if topology == "sentinels" else deployment.nodes
    for server in servers:
        server.call("CONFIG", "SET", "tls-auth-clients", "yes")
    try:
        async with patient(endpoint) as client:
            await client.execute("SET", "shown", 1)
            assert await client.raw.get("shown") == b"1"
        async with patient(deployment.endpoint) as client:
            with pytest.raises(TlsError, match="asks for a client certificate"):
                await client.execute("GET", "shown")
    finally:
        for server in servers:
            shown = replace(
                server.endpoint, cert_file=endpoint.cert_file, key_file=endpoint.key_file
            )
            with Wire(shown) as wire:
                wire.call("CONFIG", "SET", "tls-auth-clients", "optional")


async def test_a_cluster_with_an_unknown_ca_is_refused(
    cluster: ClusterDeployment, stranger: Certificates
) -> None:
    """No command leaves for servers that cannot prove who they are."""
    endpoint = replace(cluster.endpoint, ca_file=stranger.ca)

    async with patient(endpoint) as client:
        with pytest.raises(TlsError, match="certificate"):
            await client.execute("SET", "k", 1)


async def test_sentinels_with_an_unknown_ca_are_refused(
    sentinels: SentinelDeployment, stranger: Certificates
) -> None:
    """The sentinels are verified as the servers are."""
    endpoint = replace(sentinels.endpoint, ca_file=stranger.ca)

    async with patient(endpoint) as client:
        with pytest.raises(TlsError, match="certificate"):
            await client.execute("SET", "k", 1)


async def test_a_failover_by_sentinel_goes_on_by_tls(sentinels: SentinelDeployment) -> None:
    """The new primary is found, verified and written to without a new client."""
    async with patient(sentinels.endpoint) as client:
        await client.execute("SET", "k", "before")
        assert await client.execute("WAIT", 1, 5000) == 1
        assert await client.raw.get("k") == b"before"
        old = sentinels.primary()

        old.kill()
        await _written(client, "k", "after", within=30)

        assert sentinels.primary() is not old
        assert await client.execute("GET", "k") == b"after"
        with Wire(sentinels.primary().endpoint) as wire:
            assert wire.call("GET", "k") == b"after"


async def test_a_failover_in_a_cluster_goes_on_by_tls(cluster: ClusterDeployment) -> None:
    """A node is lost, its replica takes over, and its keys can be written again."""
    owner = cluster.owner(12182)  # of "foo"
    async with patient(cluster.endpoint) as client:
        await client.execute("SET", "foo", "before")

        owner.kill()
        await _written(client, "foo", "after", within=30)

        assert await client.execute("GET", "foo") == b"after"
        assert cluster.owner(12182) is not owner
    owner.start()
    until(cluster.whole, 20, "the lost node is back as a replica")


async def _written(client: ValkeyClient, key: str, value: str, *, within: float) -> None:
    """Write until it is acknowledged."""
    until_then = time.monotonic() + within
    while True:
        try:
            await client.execute("SET", key, value)
        except ValkeyctlError:
            assert time.monotonic() < until_then
            await asyncio.sleep(0.05)  # a failover announces itself to nobody
        else:
            return
