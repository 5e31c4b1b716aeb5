"""A Cluster that changes under its clients: slots that move, nodes that are gone."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from redis.crc import key_slot

from tests.caching.deployments import ClusterDeployment, Member
from tests.caching.scripted import Answer, ScriptedServer, Start
from valkeyctl.caching import ValkeyClient
from valkeyctl.caching.replies import RichReply
from valkeyctl.errors import (
    BreakerOpenError,
    DeadlineError,
    ServerReplyError,
    UnreachableError,
    ValkeyctlError,
)


def keys_on(cluster: ClusterDeployment, node: Member, count: int) -> list[str]:
    """Return keys of so many different slots that *node* serves."""
    reply = node.call("CLUSTER", "SLOTS")
    assert isinstance(reply, list)
    found: dict[int, str] = {}
    number = 0
    while len(found) < count:
        key = f"key-{number}"
        slot = key_slot(key.encode())
        for part in reply:
            match part:
                case [int() as first, int() as last, [_, int() as port, *_], *_]:
                    if first <= slot <= last and port == node.port:
                        found.setdefault(slot, key)
        number += 1
    assert all(cluster.owner(slot) is node for slot in list(found)[:1])
    return list(found.values())


async def test_a_slot_that_moved_is_followed(
    cluster_client: ValkeyClient, cluster: ClusterDeployment
) -> None:
    """The first command for it is redirected, unseen; those after it go straight."""
    source, target = cluster.nodes[0], cluster.nodes[1]
    (key,) = keys_on(cluster, source, 1)
    slot = key_slot(key.encode())
    await cluster_client.set(key, "v")
    cluster.begin_move(slot, source, target)
    cluster.move_keys(slot, source, target)
    cluster.end_move(slot, source, target)
    try:
        assert await cluster_client.get(key) == b"v"
        assert await cluster_client.transaction([("APPEND", key, "w")]) == [2]

        moved = source.field("errorstats", "errorstat_MOVED")
        assert await cluster_client.get(key) == b"vw"
        assert source.field("errorstats", "errorstat_MOVED") == moved
    finally:
        cluster.begin_move(slot, target, source)
        cluster.move_keys(slot, target, source)
        cluster.end_move(slot, target, source)


async def test_a_slot_on_the_move_is_served(
    cluster_client: ValkeyClient, cluster: ClusterDeployment
) -> None:
    """Keys that are still there, keys that have gone, and keys that are new."""
    source, target = cluster.nodes[0], cluster.nodes[1]
    (name,) = keys_on(cluster, source, 1)
    slot = key_slot(name.encode())
    old, gone, new = (f"{{{name}}}{part}" for part in ("old", "gone", "new"))
    await cluster_client.set(gone, "1")
    cluster.begin_move(slot, source, target)
    try:
        cluster.move_keys(slot, source, target)
        await cluster_client.set(new, "1")

        assert await cluster_client.get(gone) == b"1"
        assert await cluster_client.transaction([("INCR", gone), ("GET", gone)]) == [2, b"2"]
        assert (
            await cluster_client.execute("EVAL", "return redis.call('INCR', KEYS[1])", 1, gone) == 3
        )
        assert await cluster_client.mget(gone, new) == [b"3", b"1"]
        assert await cluster_client.delete_replicated([new]) == 1
        assert target.call("CLUSTER", "COUNTKEYSINSLOT", slot) == 1
        with pytest.raises(ServerReplyError) as caught:
            # Nobody can say that it is nowhere while keys are on their way.
            await cluster_client.mget(gone, old)
        assert caught.value.reply == "TRYAGAIN"
    finally:
        cluster.move_keys(slot, source, target)
        cluster.end_move(slot, source, target)
        cluster.begin_move(slot, target, source)
        cluster.move_keys(slot, target, source)
        cluster.end_move(slot, target, source)


async def test_a_frozen_node_fails_its_own_commands_alone(
    cluster_client: ValkeyClient, cluster: ClusterDeployment
) -> None:
    """After some that wait in vain they are refused at once, until the node is back."""
    frozen, well = cluster.nodes[0], cluster.nodes[1]
    (lost,), (kept,) = keys_on(cluster, frozen, 1), keys_on(cluster, well, 1)
    await cluster_client.set(lost, "1")
    await cluster_client.set(kept, "1")
    frozen.freeze()
    try:
        late, right = await asyncio.gather(
            cluster_client.get(lost, deadline=0.05),
            cluster_client.get(kept),
            return_exceptions=True,
        )
        assert isinstance(late, DeadlineError)
        assert right == b"1"
        for _ in range(2):
            with pytest.raises(DeadlineError):
                await cluster_client.get(lost, deadline=0.05)
        began = time.monotonic()
        for _ in range(10):
            with pytest.raises(BreakerOpenError):
                await cluster_client.get(lost)
        assert time.monotonic() - began < 0.5
        assert cluster_client.breaker.state == "closed"  # the rest of the deployment is well
        assert [await cluster_client.ping() > 0 for _ in range(10)] == [True] * 10
        assert await cluster_client.mget(kept) == [b"1"]
    finally:
        frozen.thaw()

    async with asyncio.timeout(2):
        while await reply_or_failure(cluster_client, lost) != b"1":  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.01)


async def reply_or_failure(client: ValkeyClient, key: str) -> bytes | ValkeyctlError | None:
    """Return what a GET brings."""
    try:
        return await client.get(key)
    except ValkeyctlError as error:
        return error


async def test_a_cluster_that_is_gone_opens_the_breaker(tmp_path: Path) -> None:
    """Then no call costs anything, until it is back."""
    with ClusterDeployment(tmp_path, primaries=1, replicas=False) as made:
        async with ValkeyClient(made.endpoint) as client:
            await client.set("a", "1")
            made.nodes[0].kill()
            for _ in range(10):
                with pytest.raises(UnreachableError):
                    await client.get("a")
            states = [client.breaker.state]

            await asyncio.to_thread(made.nodes[0].start)

            async with asyncio.timeout(5):
                while isinstance(  # noqa: ASYNC110 - nothing tells
                    await reply_or_failure(client, "a"), UnreachableError
                ):
                    await asyncio.sleep(0.01)
            states.append(client.breaker.state)
        assert states == ["open", "closed"]


async def test_a_node_that_serves_nothing_any_more_is_left(start: Start) -> None:
    """Its connections are closed once the calls on their way have ended."""
    first, second = await start(lambda _: None), await start(lambda _: None)

    def of(node: ScriptedServer) -> Answer:
        slots: RichReply = [[0, 16383, [b"127.0.0.1", node.port, b"id"]]]
        return lambda words: {"SLOTS": slots, "INFO": b"cluster_state:ok\r\n"}.get(words[-1])

    first.answer, second.answer = of(first), of(second)
    async with ValkeyClient(f"redis+cluster://127.0.0.1:{first.port}") as client:
        await client.get("a")
        assert first.connections == 1
        moved = Exception(f"MOVED 15495 127.0.0.1:{second.port}")
        first.answer = lambda words: of(second)(words) if words[0] == "CLUSTER" else moved

        assert await client.get("a") is None

        assert second.asked[-1] == ("GET", "a")
        async with asyncio.timeout(5):
            while first.connections:  # noqa: ASYNC110 - it is another program's
                await asyncio.sleep(0.001)
        assert [one.port for one in await client.primaries()] == [second.port]
