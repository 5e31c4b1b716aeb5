"""A client of a Cluster: each command reaches the node that serves its keys."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest

from tests.caching.deployments import ClusterDeployment
from tests.conftest import free_port
from valkeyctl.caching import CacheService, ValkeyClient
from valkeyctl.caching.script import Script
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import (
    AuthError,
    DeadlineError,
    ServerReplyError,
    UnreachableError,
    UsageError,
)


async def test_keys_are_where_they_belong(
    cluster_client: ValkeyClient, cluster: ClusterDeployment
) -> None:
    """Every node gets its part, and gives it back."""
    values = {f"key-{number}": str(number).encode() for number in range(300)}
    await asyncio.gather(*(cluster_client.set(key, value) for key, value in values.items()))

    sizes = [node.call("DBSIZE") for node in cluster.nodes[:3]]

    assert sum(size for size in sizes if isinstance(size, int)) == 300
    assert min(size for size in sizes if isinstance(size, int)) > 50
    assert [await cluster_client.get(key) for key in values] == list(values.values())
    assert {one.port for one in await cluster_client.primaries()} == {
        node.port for node in cluster.nodes[:3]
    }


async def test_commands_with_many_keys_are_split(cluster_client: ValkeyClient) -> None:
    """Where each key stands for itself; answers come in the order of the keys."""
    keys = [f"key-{number}" for number in range(100)]
    await asyncio.gather(*(cluster_client.set(key, key) for key in keys[::2]))

    found = await cluster_client.mget(*keys)

    assert found == [key.encode() if n % 2 == 0 else None for n, key in enumerate(keys)]
    assert await cluster_client.exists(*keys, keys[0]) == 51
    assert await cluster_client.execute("TOUCH", *keys) == 50
    assert await cluster_client.delete(*keys) == 50
    assert await cluster_client.mget(*keys) == [None] * 100


@pytest.mark.parametrize(
    "command", [("SINTER", "a", "b"), ("MSET", "a", 1, "b", 2), ("RENAME", "a", "b")]
)
async def test_what_needs_its_keys_together_is_refused(
    cluster_client: ValkeyClient, command: tuple[str, ...]
) -> None:
    """In one sentence with the way out, before anything is sent."""
    with pytest.raises(UsageError, match=f"{command[0]} names keys of several hash slots") as said:
        await cluster_client.execute(*command)

    assert "{user1}" in str(said.value.hint)


async def test_a_transaction_is_kept_whole(cluster_client: ValkeyClient) -> None:
    """On one node, for keys of one slot; others are refused."""
    assert await cluster_client.transaction([("SET", "{t}a", 1), ("INCR", "{t}a"), ("PING",)]) == [
        b"OK",
        2,
        b"PONG",
    ]
    with pytest.raises(UsageError, match="the transaction names keys of several"):
        await cluster_client.transaction([("SET", "a", 1), ("SET", "b", 1)])
    with pytest.raises(ServerReplyError, match="did not run"):
        await cluster_client.transaction([("SET", "{t}a", 5), ("NONSENSE", "{t}a")])
    assert await cluster_client.get("{t}a") == b"2"


async def test_messages_of_a_channel_keep_their_order(cluster_client: ValkeyClient) -> None:
    """Each channel has its node; in a transaction they go with the keys."""
    async with cluster_client.listen("news") as messages:
        for number in range(20):
            await cluster_client.publish("news", number)
        await cluster_client.transaction([("SET", "{t}a", 1), ("PUBLISH", "news", "last")])

        heard = [(await anext(messages)).data for _ in range(20)]

    assert heard == [b"%d" % number for number in range(20)]


async def test_a_pipeline_comes_back_in_order(cluster_client: ValkeyClient) -> None:
    """Whichever nodes answered which part, errors in their places."""
    keys = [f"key-{number}" for number in range(50)]
    commands: list[tuple[str | int, ...]] = [("SET", key, key) for key in keys]
    commands += [("GET", key) for key in keys] + [("LPUSH", keys[0], "x")]

    *answers, refused = await cluster_client.pipeline(commands)

    assert answers == [b"OK"] * 50 + [key.encode() for key in keys]
    assert isinstance(refused, ServerReplyError)
    assert refused.reply == "WRONGTYPE"


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        (("OBJECT", "ENCODING", "k"), b"int"),
        (("object", "encoding", "k"), b"int"),
        ((b"GET", "k"), b"7"),
        (("MEMORY", "USAGE", "none"), None),
        (("EVAL", "return redis.call('GET', KEYS[1])", 1, "k"), b"7"),
        (("EVAL", "return #KEYS", 0), 0),
        (("XGROUP", "CREATE", "s", "g", "0", "MKSTREAM"), b"OK"),
        (("XREAD", "COUNT", 1, "STREAMS", "none", "0"), None),
        (("ZUNIONSTORE", "{z}out", 2, "{z}a", "{z}b"), 0),
        (("SORT", "{l}none", "STORE", "{l}out"), 0),
        (("BLPOP", "{l}a", "{l}b", 0.01), None),
        (("LMPOP", 2, "{l}a", "{l}b", "LEFT"), None),
        (("BITFIELD", "bits", "GET", "u8", 0), [0]),
        (("GEOADD", "g", 1, 1, "m"), 1),
        (("SPUBLISH", "channel", "m"), 0),
    ],
    ids=lambda value: str(value)[:30],
)
async def test_the_keys_of_any_command_are_found(
    cluster_client: ValkeyClient, command: tuple[str | bytes | int, ...], answer: object
) -> None:
    """The usual ones are known; a node is asked about the others."""
    await cluster_client.set("k", 7)

    assert await cluster_client.execute(*command) == answer


@pytest.mark.parametrize(
    "command", [("NONSENSE", "k"), ("GET",), ("EVAL", "return 1"), ("OBJECT",)]
)
async def test_what_is_no_command_is_answered_by_the_server(
    cluster_client: ValkeyClient, command: tuple[str, ...]
) -> None:
    """Its words are clearer than any of ours would be."""
    with pytest.raises(ServerReplyError, match=r"unknown command|wrong number"):
        await cluster_client.execute(*command)


async def test_questions_about_all_keys_go_to_all_nodes(cluster_client: ValkeyClient) -> None:
    """And what could only be answered in part is refused."""
    await asyncio.gather(*(cluster_client.set(f"key-{number}", "v") for number in range(60)))

    assert await cluster_client.execute("DBSIZE") == 60
    with pytest.raises(UsageError, match="SCAN sees the keys of one node"):
        await cluster_client.execute("SCAN", 0)
    assert await cluster_client.execute("FLUSHALL") == b"OK"
    assert await cluster_client.execute("DBSIZE") == 0


async def test_scripts_are_loaded_on_each_node(cluster_client: ValkeyClient) -> None:
    """A node that does not know one, or has forgotten it, gets it again."""
    script = Script.of("whose", "return KEYS[1]")
    keys = [f"key-{number}" for number in range(30)]
    calls: list[tuple[list[str], list[str]]] = [([key], []) for key in keys]

    first = await cluster_client.scripts(script, calls)
    await cluster_client.execute("SCRIPT", "FLUSH")
    second = await cluster_client.scripts(script, calls)

    assert first == second == [key.encode() for key in keys]


async def test_a_delete_waits_for_a_replica_of_each_node(
    cluster_client: ValkeyClient, cluster: ClusterDeployment
) -> None:
    """Of all keys at once; when one node's replica is frozen, the error names that node."""
    keys = [f"key-{number}" for number in range(100)]
    await cluster_client.delete_replicated(keys)  # from now on it knows of the replicas
    await asyncio.gather(*(cluster_client.set(key, "v") for key in keys))

    assert await cluster_client.delete_replicated(keys) == 100

    frozen, primary = cluster.nodes[3], cluster.nodes[0]
    frozen.freeze()
    try:
        with pytest.raises(DeadlineError, match=f"no replica of {primary.endpoint.address} "):
            await cluster_client.delete_replicated(keys, deadline=0.6)
    finally:
        frozen.thaw()


async def test_a_cache_works_on_a_cluster(cluster_client: ValkeyClient) -> None:
    """Entries of all shards; a namespace and a tag are invalidated on every node."""
    cache = CacheService(cluster_client, app="t", budget=1.0)
    ids = [f"id-{number}" for number in range(100)]
    await cache.set_many("a", dict.fromkeys(ids, 1), ttl=60, tags=["x"])
    await cache.set_many("b", dict.fromkeys(ids, 2), ttl=60, tags=["x", "y"])
    await cache.set_many("c", dict.fromkeys(ids, 3), ttl=60)

    assert await cache.get_many("a", ids) == dict.fromkeys(ids, 1)
    await cache.invalidate("a")
    assert await cache.get_many("a", ids) == {}
    assert await cache.get_many("b", ids) == dict.fromkeys(ids, 2)
    await cache.invalidate_tag("y")
    assert await cache.get_many("b", ids) == {}
    assert await cache.get_many("c", ids) == dict.fromkeys(ids, 3)
    await cache.aclose()


async def test_one_seed_that_answers_is_enough(cluster: ClusterDeployment) -> None:
    """Also a replica; the others are learnt from it."""
    nodes = (("127.0.0.1", free_port()), ("127.0.0.1", cluster.nodes[4].port))

    async with ValkeyClient(replace(cluster.endpoint, nodes=nodes)) as client:
        await client.set("a", "1")
        assert await client.get("a") == b"1"


async def test_no_seed_that_answers_is_one_clear_sentence() -> None:
    """It names the seeds, and the first reason."""
    port = free_port()

    async with aclosing(ValkeyClient(f"redis+cluster://127.0.0.1:{port}")) as client:
        with pytest.raises(UnreachableError, match=f"no node of 127.0.0.1:{port} says .*refused"):
            await client.ping()


async def test_a_server_that_is_no_cluster_says_so(endpoint: Endpoint) -> None:
    """The wrong kind of URL for it."""
    async with aclosing(ValkeyClient(f"redis+cluster://{endpoint.address}")) as client:
        with pytest.raises(UnreachableError, match="cluster support disabled") as caught:
            await client.ping()

    assert "are a Cluster" in str(caught.value.hint)


async def test_redis_pys_own_client_knows_the_cluster_too(cluster_client: ValkeyClient) -> None:
    """For what this library lacks."""
    await cluster_client.raw.set("a", "raw")

    assert await cluster_client.get("a") == b"raw"


async def test_a_password_is_needed_on_every_node(tmp_path: Path) -> None:
    """The URL's login is that of all nodes; no replica is waited for where there is none."""
    with ClusterDeployment(tmp_path, primaries=1, replicas=False, password="secret") as made:
        async with ValkeyClient(made.endpoint) as client:
            await client.set("a", "1")
            began = time.monotonic()
            assert await client.delete_replicated(["a", "b"]) == 1
            assert time.monotonic() - began < 0.5
        async with aclosing(ValkeyClient(made.endpoint.with_password("wrong"))) as client:
            with pytest.raises(AuthError) as caught:
                await client.ping()

    assert "wrong" not in str(caught.value).replace("WRONGPASS", "").replace("wrong number", "")


async def test_a_closed_client_says_so(cluster: ClusterDeployment) -> None:
    """Whether it had been used or not."""
    fresh, used = ValkeyClient(cluster.endpoint), ValkeyClient(cluster.endpoint)
    await used.ping()
    for client in (fresh, used):
        await client.aclose()

        with pytest.raises(UnreachableError, match="closed"):
            await client.get("a")
