"""Near caches, and subscriptions, on Sentinel and on Cluster."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from tests.caching.deployments import ClusterDeployment, SentinelDeployment
from tests.caching.near.reader import until
from valkeyctl.caching import ValkeyClient
from valkeyctl.caching.keys import SHARDS, KeyScheme
from valkeyctl.caching.near import MISS, NearCache, Quorum
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import ValkeyctlError

pytestmark = pytest.mark.slow

LEASE = 0.05
SHARDED = KeyScheme("app", shards=SHARDS)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterDeployment]:
    """Three primaries with a replica each; the last test of this module breaks it."""
    with ClusterDeployment(tmp_path_factory.mktemp("cluster")) as made:
        yield made


@asynccontextmanager
async def clients(endpoint: Endpoint, count: int) -> AsyncIterator[list[ValkeyClient]]:
    """So many clients of one deployment."""
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(ValkeyClient(endpoint, deadline=0.3))
            for _ in range(count)
        ]


async def fetch(client: ValkeyClient, near: NearCache, keys: KeyScheme, id: str) -> bytes | None:  # noqa: A002
    """Read the server, and let the near cache hold what it said."""
    place = keys.place("m", id)
    token = near.begin()
    stored = await client.get(place.key)
    if stored is not None:
        near.put(token, "m", id, stored, place=place, ttl=60, tags=(b"models",))
    return stored


async def test_on_a_cluster_every_primary_is_heard(cluster: ClusterDeployment) -> None:
    """Entries of all shards are held, changed, and invalidated with an acknowledgement."""
    ids = [f"id-{n}" for n in range(100)]
    async with clients(cluster.endpoint, 3) as (one, two, writer):
        pairs = [(client, NearCache(client, SHARDED, {"m": 60.0})) for client in (one, two)]
        keys = [SHARDED.place("m", name).key for name in ids]
        await writer.pipeline([("SET", key, "1", "PX", 60_000) for key in keys])
        for _, near in pairs:
            near.begin()
            await until(lambda near=near: near.stats().tracking)  # type: ignore[misc]
            assert len(near._tracking._tracks) == 3

        async def all_held() -> None:
            for client, near in pairs:
                for id in ids:  # noqa: A001
                    if near.get("m", id) is MISS:
                        await fetch(client, near, SHARDED, id)

        await all_held()
        for key in keys:
            await writer.set(key, "2", ttl=60)
        await until(lambda: all(near.stats().entries == 0 for _, near in pairs))

        quorum = Quorum(writer, "app")
        for kind, name, versions in (
            ("namespace", "m", SHARDED.versions("m")),
            ("tag", "models", SHARDED.tag_versions("models")),
        ):
            await all_held()
            assert all(near.stats().entries == 100 for _, near in pairs)
            await writer.pipeline([("UNLINK", key) for key in versions])
            announcement = quorum.announce(kind, name)  # type: ignore[arg-type]
            holders = await writer.execute(*announcement.command)
            assert holders == 2
            assert await quorum.settle(2, announcement)
            assert all(near.stats().entries == 0 for _, near in pairs)


async def test_on_a_cluster_subscribers_hear_each_other(cluster: ClusterDeployment) -> None:
    """Whatever node each of them is connected to."""
    async with (
        clients(cluster.endpoint, 3) as (one, two, three),
        one.listen("news") as first,
        two.listen("news") as second,
    ):
        for n in range(10):
            await three.execute("PUBLISH", "news", n)
        heard = [[int((await anext(stream)).data) for _ in range(10)] for stream in (first, second)]

    # The bus of the cluster does not promise an order to those who publish on several nodes.
    assert [sorted(numbers) for numbers in heard] == [list(range(10))] * 2


async def test_a_node_that_fails_over_costs_no_wrong_answer(cluster: ClusterDeployment) -> None:
    """Everything is dropped, and held again when the new primary is listened to."""
    id = "id-7"  # noqa: A001
    place = SHARDED.place("m", id)
    async with clients(cluster.endpoint, 2) as (reader, writer):
        near = NearCache(reader, SHARDED, {"m": 60.0})
        near.begin()
        await until(lambda: near.stats().tracking)
        before = set(near._tracking._tracks)
        await counts_up_while(reader, writer, near, SHARDED, id, cluster.nodes[0].kill)
        cluster_now = set(near._tracking._tracks)
        assert len(cluster_now) == 3
        assert cluster_now != before
        await writer.delete(place.key)


@pytest.mark.parametrize("how", ["kill", "freeze"])
async def test_a_primary_that_sentinel_replaces_costs_no_wrong_answer(
    tmp_path: Path, how: str
) -> None:
    """Also one that comes back and still takes itself for the primary."""
    keys = KeyScheme("app")
    with SentinelDeployment(tmp_path) as made:
        async with clients(made.endpoint, 3) as (reader, writer, listener):
            near = NearCache(reader, keys, {"m": 60.0})
            near.begin()
            await until(lambda: near.stats().tracking)
            old = made.primary()
            async with listener.listen("news") as messages:

                async def hurt() -> None:
                    if how == "kill":
                        old.kill()
                        return
                    old.freeze()
                    await asyncio.sleep(3)
                    old.thaw()

                await counts_up_while(reader, writer, near, keys, "x", hurt)
                assert [endpoint.port for endpoint in near._tracking._tracks] != [old.port]

                # It has been there since the sentinels chose the new one.
                assert await writer.publish("news", "again") == 1
                assert (await anext(messages)).gap


async def counts_up_while(
    reader: ValkeyClient,
    writer: ValkeyClient,
    near: NearCache,
    keys: KeyScheme,
    id: str,  # noqa: A002
    hurt: Callable[[], Awaitable[None] | None],
) -> None:
    """Check a reader against a writer that counts up, while something happens to the servers.

    What a replica has confirmed is there after a failover, and so is known for good.
    """
    place = keys.place("m", id)
    known: list[tuple[float, int]] = [(0.0, 0)]
    over = False
    hits = 0

    async def write() -> None:
        number = 0
        while not over:
            number += 1
            try:
                stored = await writer.pipeline(
                    [("SET", place.key, number, "PX", 60_000), ("WAIT", 1, 100)]
                )
            except ValkeyctlError:
                continue
            if isinstance(stored[1], int) and stored[1] >= 1:
                known.append((time.monotonic(), number))
            await asyncio.sleep(0.003)

    async def read() -> None:
        nonlocal hits
        at = 0
        while not over:
            value: object = near.get("m", id)
            if value is not MISS:
                since = time.monotonic() - LEASE
                while at + 1 < len(known) and known[at + 1][0] <= since:
                    at += 1
                assert isinstance(value, bytes)
                assert int(value) >= known[at][1]
                hits += 1
            else:
                try:
                    await fetch(reader, near, keys, id)
                except ValkeyctlError:
                    await asyncio.sleep(0.01)
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        group.create_task(write())
        group.create_task(read())
        await asyncio.sleep(0.5)
        assert hits > 10
        before = near._tracking._tracks.keys() - set()
        happening = hurt()
        if happening is not None:
            await happening
        async with asyncio.timeout(15):
            while near._tracking._tracks.keys() == before or not near.stats().tracking:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        then = hits
        await asyncio.sleep(2)
        over = True
    assert hits > then + 100
