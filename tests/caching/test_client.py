"""What a client's commands return, on a healthy server."""

from __future__ import annotations

import asyncio
import math

import pytest

from valkeyctl.caching import ValkeyClient
from valkeyctl.caching.script import Script
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import ServerReplyError, UsageError


async def test_strings_are_stored_and_read_back(client: ValkeyClient) -> None:
    """get, mget, exists and delete agree on what set stored."""
    await client.set("a", "1")
    await client.set("b", b"\x00\xff")

    assert await client.get("a") == b"1"
    assert await client.mget("a", "b", "c") == [b"1", b"\x00\xff", None]
    assert await client.exists("a", "b", "c") == 2
    assert await client.delete("a", "c") == 1
    assert await client.get("a") is None


async def test_no_keys_ask_the_server_nothing(client: ValkeyClient) -> None:
    """Empty argument lists are answers, not errors."""
    assert await client.mget() == []
    assert await client.delete() == 0
    assert await client.exists() == 0
    assert await client.hset("h", {}) == 0
    assert await client.pipeline([]) == []
    assert await client.transaction([]) == []
    assert await client.scripts(Script.of("none", "return 1"), []) == []


async def test_a_hash_is_stored_and_read_back(client: ValkeyClient) -> None:
    """Hgetall is a dict, whatever the protocol makes of it."""
    assert await client.hset("h", {"a": 1, "b": "two"}) == 2

    assert await client.hget("h", "a") == b"1"
    assert await client.hgetall("h") == {b"a": b"1", b"b": b"two"}
    assert await client.hgetall("gone") == {}


async def test_a_ttl_is_seconds_infinity_or_none(client: ValkeyClient) -> None:
    """A key that never expires and a key that is not there are told apart."""
    await client.set("mortal", "v", ttl=1.5)
    await client.set("eternal", "v")

    assert 1.0 < (await client.ttl("mortal") or 0) <= 1.5
    assert await client.ttl("eternal") == math.inf
    assert await client.ttl("gone") is None
    assert await client.expire("eternal", 10)
    assert not await client.expire("gone", 10)


@pytest.mark.parametrize("ttl", [0, -1, math.inf, math.nan])
async def test_a_ttl_that_cannot_be_meant_is_refused(client: ValkeyClient, ttl: float) -> None:
    """Nothing is sent for a ttl of zero, below, or without end."""
    with pytest.raises(UsageError, match="ttl"):
        await client.set("k", "v", ttl=ttl)

    assert await client.get("k") is None


async def test_an_error_reply_names_its_word(client: ValkeyClient) -> None:
    """WRONGTYPE and an unknown command reach the caller as the server said them."""
    await client.execute("LPUSH", "list", 1)

    with pytest.raises(ServerReplyError) as wrong_type:
        await client.get("list")
    with pytest.raises(ServerReplyError) as unknown:
        await client.execute("NOSUCHCOMMAND")

    assert (wrong_type.value.reply, unknown.value.reply) == ("WRONGTYPE", "ERR")


@pytest.mark.parametrize("words", [(), ("select", 1), ("MULTI",), ("SUBSCRIBE", "c")])
async def test_a_command_that_binds_its_connection_is_refused(
    client: ValkeyClient, words: tuple[str | int, ...]
) -> None:
    """The connection is shared; the next caller would pay for it."""
    with pytest.raises(UsageError):
        await client.execute(*words)
    with pytest.raises(UsageError):
        await client.pipeline([("PING",), words])
    with pytest.raises(UsageError):
        await client.transaction([words])


async def test_a_waiting_command_does_not_hold_up_its_neighbours(client: ValkeyClient) -> None:
    """BLPOP issued in the same turn as a read travels by itself."""
    await client.set("k", "v")

    _, *waiting, value = await asyncio.gather(
        client.ping(),
        *(client.execute("BLPOP", "queue", 0.2, deadline=1) for _ in range(2)),
        client.get("k", deadline=0.15),
    )

    assert value == b"v"
    assert waiting == [None, None]


async def test_a_pipeline_keeps_order_and_error_replies_in_place(client: ValkeyClient) -> None:
    """One bad command does not hide the answers around it."""
    first, bad, last = await client.pipeline([("SET", "a", 1), ("LPUSH", "a", 1), ("GET", "a")])

    assert (first, last) == (b"OK", b"1")
    assert isinstance(bad, ServerReplyError)


async def test_a_transaction_is_all_or_nothing(client: ValkeyClient) -> None:
    """A command that the server refuses to queue stops all of them."""
    assert await client.transaction([("SET", "a", 1), ("INCR", "a")]) == [b"OK", 2]

    with pytest.raises(ServerReplyError, match=r"did not run.*unknown command") as caught:
        await client.transaction([("SET", "a", 9), ("NOSUCHCOMMAND",)])

    assert caught.value.reply == "EXECABORT"
    assert await client.get("a") == b"2"


async def test_a_transaction_keeps_the_failures_of_single_commands(client: ValkeyClient) -> None:
    """What failed while running stands in its place, mapped, and the rest has run."""
    ok, bad = await client.transaction([("SET", "a", 1), ("LPUSH", "a", 1)])

    assert ok == b"OK"
    assert isinstance(bad, ServerReplyError)
    assert bad.reply == "WRONGTYPE"


async def test_a_script_is_loaded_where_the_server_forgot_it(client: ValkeyClient) -> None:
    """SCRIPT FLUSH costs one more trip, not an error."""
    script = Script.of("add", "return redis.call('INCRBY', KEYS[1], ARGV[1])")

    assert await client.script(script, ["n"], [1]) == 1
    await client.execute("SCRIPT", "FLUSH")
    assert await client.scripts(script, [(["n"], [10]), (["n"], [100])]) == [11, 111]


async def test_a_url_selects_the_database(endpoint: Endpoint) -> None:
    """Databases 0 and 3 do not see each other, and .raw goes where the client goes."""
    url = f"redis://127.0.0.1:{endpoint.port}/3"
    async with ValkeyClient(endpoint) as zero, ValkeyClient(url) as three:
        await three.set("k", "v")

        assert await zero.get("k") is None
        assert await three.raw.get("k") == b"v"


async def test_a_burst_uses_a_handful_of_connections(client: ValkeyClient) -> None:
    """Commands of one turn share a write, so 500 callers do not dial 64 times."""
    await client.set("k", "v")

    values = await asyncio.gather(*(client.get("k") for _ in range(500)))
    clients = await client.execute("CLIENT", "LIST")

    assert values == [b"v"] * 500
    assert isinstance(clients, bytes)
    assert clients.count(b"\n") < 10


async def test_answers_of_a_burst_reach_their_own_callers(client: ValkeyClient) -> None:
    """Sharing a write never mixes answers up, also with cancelled and large neighbours."""

    async def echo(n: int) -> bool:
        text = f"{n}:" + "x" * (50_000 if n % 50 == 0 else n)
        return await client.execute("ECHO", text) == text.encode()

    calls = [asyncio.create_task(echo(n)) for n in range(300)]
    await asyncio.sleep(0)
    for call in calls[::7]:
        call.cancel()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)

    assert all(
        isinstance(outcome, asyncio.CancelledError) if n % 7 == 0 else outcome is True
        for n, outcome in enumerate(outcomes)
    )


async def test_info_and_publish_and_ping(client: ValkeyClient) -> None:
    """INFO is a mapping, ping a duration, publish a count."""
    assert "redis_version" in await client.info("server")
    assert 0 < await client.ping() < 1
    assert await client.publish("nobody", "listens") == 0


async def test_an_endpoint_is_shown_without_its_password() -> None:
    """Neither the client's endpoint nor its raw client spell the password out."""
    client = ValkeyClient("redis://user:s3cret@127.0.0.1:1/0")

    assert "s3cret" not in repr(client.endpoint) + repr(client.raw)
    await client.aclose()


@pytest.mark.parametrize("options", [{"deadline": 0}, {"connect_timeout": 0}, {"pool_size": 0}])
def test_numbers_out_of_range_are_refused(options: dict[str, float]) -> None:
    """A client that could never call is not made."""
    with pytest.raises(UsageError):
        ValkeyClient("redis://127.0.0.1", **options)  # type: ignore[arg-type]
