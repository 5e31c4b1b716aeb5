"""A client behind Sentinel: it finds the primary, and finds it again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest

from tests.caching.deployments import PRIMARY_NAME, Member, SentinelDeployment, until
from tests.conftest import free_port
from valkeyctl.caching import CacheService, ValkeyClient
from valkeyctl.caching.script import Script
from valkeyctl.errors import AuthError, DeadlineError, ServerReplyError, UnreachableError


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SentinelDeployment]:
    """A primary, two replicas and three sentinels, which no test of this module breaks for good."""
    with SentinelDeployment(tmp_path_factory.mktemp("sentinel")) as made:
        yield made


@pytest.fixture
async def client(deployment: SentinelDeployment) -> AsyncIterator[ValkeyClient]:
    """A client on it, emptied."""
    async with ValkeyClient(deployment.endpoint) as connected:
        await connected.execute("FLUSHALL")
        yield connected


async def test_the_primary_is_found(client: ValkeyClient, deployment: SentinelDeployment) -> None:
    """Reads, writes, transactions and pipelines go to the server that the sentinels name."""
    await client.set("a", "1")

    assert await client.get("a") == b"1"
    assert await client.transaction([("INCR", "a"), ("GET", "a")]) == [2, b"2"]
    assert await client.pipeline([("GET", "a"), ("GET", "b")]) == [b"2", None]
    assert [one.port for one in await client.primaries()] == [deployment.primary().port]
    assert deployment.primary().call("GET", "a") == b"2"


async def test_scripts_are_loaded_again(client: ValkeyClient) -> None:
    """SCRIPT FLUSH, as after a failover, costs a second trip and no error."""
    script = Script.of("one", "return 1")
    await client.script(script, [])

    await client.execute("SCRIPT", "FLUSH")

    assert await client.script(script, []) == 1


async def test_one_sentinel_that_answers_is_enough(deployment: SentinelDeployment) -> None:
    """Whichever of those given it is."""
    nodes = (("127.0.0.1", free_port()), ("127.0.0.1", free_port()), deployment.endpoint.nodes[2])

    async with ValkeyClient(replace(deployment.endpoint, nodes=nodes)) as client:
        assert await client.ping() > 0


async def test_no_sentinel_is_one_clear_sentence() -> None:
    """It says who was asked, and the first reason."""
    port = free_port()

    async with aclosing(ValkeyClient(f"redis+sentinel://127.0.0.1:{port}/cache")) as client:
        with pytest.raises(UnreachableError, match=f"no sentinel of 127.0.0.1:{port}/cache"):
            await client.ping()


async def test_a_name_that_no_sentinel_knows_is_said(deployment: SentinelDeployment) -> None:
    """The likeliest mistake in the URL."""
    wrong = replace(deployment.endpoint, primary_name="cash")
    async with aclosing(ValkeyClient(wrong)) as client:
        with pytest.raises(UnreachableError, match="knows no primary called cash") as caught:
            await client.ping()

    assert "name" in str(caught.value.hint)


async def test_redis_pys_own_client_finds_the_primary_too(
    client: ValkeyClient, deployment: SentinelDeployment
) -> None:
    """For what this library lacks."""
    await client.raw.set("a", "raw")

    assert deployment.primary().call("GET", "a") == b"raw"


async def test_a_delete_waits_for_one_replica(
    client: ValkeyClient, deployment: SentinelDeployment
) -> None:
    """When it returns, a replica has it; one that is frozen is not needed."""
    replicas = [one for one in deployment.servers if one is not deployment.primary()]
    await client.delete_replicated(["a"])  # from now on it knows of the replicas
    await client.set("a", "1")
    replicas[0].freeze()
    try:
        deleted = await client.delete_replicated(["a", "b"])

        assert deleted == 1
        assert replicas[1].call("GET", "a") is None
    finally:
        replicas[0].thaw()


async def test_a_delete_that_no_replica_confirms_is_an_error(
    client: ValkeyClient, deployment: SentinelDeployment
) -> None:
    """Even where there was nothing to delete: an earlier delete may be unconfirmed, too."""
    replicas = [one for one in deployment.servers if one is not deployment.primary()]
    await client.delete_replicated(["gone"])  # its connection has no write to wait for now
    for replica in replicas:
        replica.freeze()
    try:
        for words in (("SET", "gone", "1"), ("DEL", "gone")):
            deployment.primary().call(*words)
        with pytest.raises(DeadlineError, match=r"no replica of .* confirmed"):
            await client.delete_replicated(["gone"], deadline=0.6)
        with pytest.raises(DeadlineError, match=r"no replica of .* confirmed"):
            await CacheService(client, app="t").invalidate("a")
    finally:
        for replica in replicas:
            replica.thaw()
    assert client.breaker.state == "closed"  # the primary does answer


async def test_a_login_of_the_sentinels_own(tmp_path: Path) -> None:
    """Servers and sentinels may have different passwords; each gets its own."""
    made = SentinelDeployment(
        tmp_path, servers=1, sentinels=1, password="of-servers", sentinel_password="of-sentinels"
    )
    with made:
        async with ValkeyClient(made.endpoint) as client:
            await client.set("a", "1")
        wrong = replace(made.endpoint, sentinel_password="wrong")
        async with ValkeyClient(wrong) as client:
            with pytest.raises(AuthError) as caught:
                await client.ping()

    assert "of-s" not in str(caught.value)


async def test_sentinels_may_share_the_servers_login(tmp_path: Path) -> None:
    """One password for all is common, and then it is given once; no replica is waited for."""
    made = SentinelDeployment(
        tmp_path, servers=1, sentinels=1, password="shared", sentinel_password="shared"
    )
    with made:
        async with ValkeyClient(replace(made.endpoint, sentinel_password=None)) as client:
            await client.set("a", "1")
            began = time.monotonic()

            assert await client.delete_replicated(["a"]) == 1

            assert time.monotonic() - began < 0.5


async def test_a_failover_is_followed_by_an_idle_client(tmp_path: Path) -> None:
    """Though the old primary is alive, and stays a primary for ten seconds."""
    with SentinelDeployment(tmp_path, servers=2, sentinels=1) as made:
        before = made.primary()
        async with ValkeyClient(made.endpoint) as client:
            await client.set("a", "1")
            # Refused until it has heard enough of the replica.
            await asyncio.to_thread(until, lambda: failed_over(made), 10, "the order to fail over")
            await switched(made, before)

            await client.set("a", "2")

            assert made.primary().call("GET", "a") == b"2"
            assert before.call("GET", "a") == b"1"


@pytest.mark.slow
async def test_a_primary_of_the_past_is_not_listened_to(tmp_path: Path) -> None:
    """Frozen during the failover, it comes back and takes itself for the primary still."""
    with SentinelDeployment(tmp_path, servers=2, sentinels=1) as made:
        before = made.primary()
        async with ValkeyClient(made.endpoint) as idle, ValkeyClient(made.endpoint) as busy:
            await idle.set("a", "old")
            before.freeze()
            try:
                await switched(made, before)
                await accepted(lambda: busy.set("a", "new"))
            finally:
                before.thaw()

            assert await idle.get("a") == b"new"


def failed_over(deployment: SentinelDeployment) -> bool:
    """Order a failover."""
    return deployment.sentinels[0].call("SENTINEL", "FAILOVER", PRIMARY_NAME) == b"OK"


async def switched(deployment: SentinelDeployment, before: Member) -> None:
    """Wait until the sentinels name another primary than *before*."""
    await asyncio.to_thread(until, lambda: deployment.primary() is not before, 20, "failover")


async def accepted(call: Callable[[], Awaitable[object]]) -> None:
    """Repeat *call* until the server takes it."""
    for _ in range(500):
        try:
            await call()
        except (UnreachableError, ServerReplyError):
            await asyncio.sleep(0.01)
        else:
            return
    raise AssertionError("it was never accepted")
