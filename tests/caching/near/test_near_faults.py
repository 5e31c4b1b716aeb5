"""A near cache that is cut off from the server serves nothing that may be stale."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from tests.caching.conftest import MortalServer
from tests.caching.near.reader import KEYS, Reader, connections, until
from valkeyctl.caching import ValkeyClient
from valkeyctl.caching.near import MISS
from valkeyctl.endpoint import Endpoint

X = KEYS.place("m", "x")


@pytest.fixture
async def reader(server: MortalServer) -> AsyncIterator[Reader]:
    """A near cache that holds one entry of a server that can be hurt."""
    async with ValkeyClient(server.endpoint, deadline=0.2) as client:
        await client.set(X.key, "one", ttl=60)
        made = Reader(client)
        await made.tracks()
        await made.holds("x")
        yield made


async def kill_tracking(client: ValkeyClient) -> int:
    """End all tracking connections, by id, at the server; return how many."""
    lines = await connections(client, tracking=True)
    for line in lines:
        await client.execute("CLIENT", "KILL", "ID", line["id"])
    return len(lines)


async def test_a_killed_connection_empties_it_until_it_tracks_again(reader: Reader) -> None:
    """And from then on it works as before."""
    assert await kill_tracking(reader.client) == 1

    await until(lambda: not reader.near.stats().tracking)
    assert reader.near.stats().entries == 0
    assert reader.near.get("m", "x") is MISS
    assert reader.near.begin() is None
    await reader.tracks()
    await reader.holds("x")

    await reader.client.set(X.key, "two", ttl=60)
    await reader.until_gone("x")
    assert await reader.read("x") == b"two"


async def test_a_proof_counts_from_when_it_was_asked_for(server: MortalServer) -> None:
    """An answer that took long proves little."""
    now = 1000.0
    async with ValkeyClient(server.endpoint) as client:
        near = Reader(client, lease=0.05, clock=lambda: now).near
        near.begin()
        await until(lambda: near.stats().tracking)

        now = 1000.01
        near._tracking.renew()
        now = 1000.04
        await until(lambda: near._valid_until > 1000.055)

        assert near._valid_until == pytest.approx(1000.06)


async def test_a_frozen_server_is_served_from_for_one_lease(
    server: MortalServer, reader: Reader
) -> None:
    """Then callers go to the server, as without a near cache."""
    await reader.holds("x")
    server.freeze()
    frozen = time.monotonic()

    while time.monotonic() - frozen < 0.1:
        served = reader.near.get("m", "x")
        if time.monotonic() - frozen > 0.05:
            assert served is MISS
        await asyncio.sleep(0.001)

    server.thaw()
    await until(lambda: reader.near.get("m", "x") == b"one")


async def test_a_server_that_dies_takes_the_entries_along(
    server: MortalServer, reader: Reader
) -> None:
    """What comes after it may know nothing of them."""
    server.kill()

    await until(lambda: reader.near.stats().entries == 0)
    assert reader.near.begin() is None
    await asyncio.to_thread(server.start)
    await reader.tracks()
    assert await reader.read("x") is None


async def test_a_user_who_may_not_track_has_no_near_cache(server: MortalServer) -> None:
    """Its reads go to the server, and it goes on asking."""
    async with ValkeyClient(server.endpoint) as admin:
        rules = ("on", "nopass", "+@all", "-client|tracking", "~*", "&*")
        await admin.execute("ACL", "SETUSER", "half", *rules)
        half = replace(server.endpoint, username="half", password="x")
        async with ValkeyClient(half) as client:
            reader = Reader(client)
            await client.set(X.key, "one", ttl=60)
            refused = "acl_access_denied_cmd"
            assert reader.near.begin() is None
            async with asyncio.timeout(5):
                while int((await admin.info("stats"))[refused]) < 2:
                    assert await reader.read("x") == b"one"
            assert reader.near.stats().fills == 0

            await admin.execute("ACL", "SETUSER", "half", "+client|tracking")
            await reader.tracks()


@pytest.mark.parametrize("word", ["", "nonsense", "a b c d", "a b namespace c d"])
async def test_an_announcement_that_nobody_understands_empties_it(
    reader: Reader, word: str
) -> None:
    """Whoever sent it may have meant anything."""
    await reader.client.publish("app:~near", word)

    await reader.until_gone("x")

    assert reader.near.stats().tracking


async def test_a_word_that_the_protocol_does_not_have_ends_the_connection(
    reader: Reader,
) -> None:
    """And with it all that was held."""
    (track,) = reader.near._tracking._tracks.values()

    track.heard([b"tracking-redir-broken"])

    assert not await until(lambda: reader.near.stats().entries == 0) > 1
    await reader.tracks()


async def test_another_primary_empties_it(tmp_path: Path) -> None:
    """What was held came from the one that is none any more."""
    async with AsyncExitStack() as stack:
        servers = []
        for name in ("one", "two"):
            folder = tmp_path / name
            folder.mkdir()
            server = MortalServer(folder)
            stack.callback(server.kill)
            await asyncio.to_thread(server.start)
            servers.append(server)
        first, second = (server.endpoint for server in servers)
        primaries: tuple[Endpoint, ...] = (first,)

        async def present(*, anew: bool = False) -> tuple[Endpoint, ...]:
            return primaries

        client = await stack.enter_async_context(ValkeyClient(first))
        other = await stack.enter_async_context(ValkeyClient(second))
        client.primaries = present  # type: ignore[method-assign]
        reader = Reader(client)
        await client.set(X.key, "one", ttl=60)
        await reader.tracks()
        await reader.holds("x")

        primaries = (first, second)
        reader.near._tracking.renew()  # as any read does once its lease is half over
        await reader.until_gone("x")
        await reader.tracks()
        await reader.holds("x")
        await other.set(X.key, "told by the second", ttl=60)
        await reader.until_gone("x")
        await reader.holds("x")

        # One that is silent is enough to let the lease run out.
        servers[1].freeze()
        await asyncio.sleep(0.06)
        assert reader.near.get("m", "x") is MISS
        await asyncio.sleep(0.02)
        assert reader.near.get("m", "x") is MISS
        servers[1].kill()
        await reader.tracks(False)

        primaries = (first,)
        await reader.tracks()
        assert len(reader.near._tracking._tracks) == 1


async def test_after_a_loss_it_counts_only_who_is_primary_by_then(reader: Reader) -> None:
    """The server that it lost may be back, and may have been replaced meanwhile."""
    known = asyncio.Event()
    real = reader.client.primaries

    async def later(*, anew: bool = False) -> tuple[Endpoint, ...]:
        return await real(anew=anew) if known.is_set() else ()

    reader.client.primaries = later  # type: ignore[method-assign]
    (track,) = reader.near._tracking._tracks.values()
    await kill_tracking(reader.client)
    await until(lambda: not track.confirmed)

    await until(lambda: track.confirmed)

    assert reader.near.begin() is None
    known.set()
    await reader.tracks()


async def test_no_reader_ever_sees_less_than_was_known_a_lease_ago(server: MortalServer) -> None:
    """While a writer counts up, connections are killed, and all keys are deleted at times."""
    rng = random.Random(3)
    lease = 0.05
    known: list[tuple[float, int]] = [(0.0, 0)]
    reads = hits = 0
    over = False

    async def write(client: ValkeyClient) -> None:
        nonlocal over
        for number in range(1, 300):
            if number % 3:
                await client.set(X.key, number, ttl=60)
            else:
                await client.pipeline([("UNLINK", X.key), ("SET", X.key, number, "PX", 60_000)])
            known.append((time.monotonic(), number))
            chance = rng.random()
            if chance < 0.04:
                await kill_tracking(client)
            elif chance < 0.06:
                await client.execute("FLUSHALL")
                await client.set(X.key, number, ttl=60)
            await asyncio.sleep(rng.choice([0, 0, 0.0005, 0.002, 0.01]))
        over = True

    async def read(reader: Reader) -> None:
        nonlocal reads, hits
        at = 0
        while not over:
            value: object = reader.near.get("m", "x")
            hits += value is not MISS
            since = time.monotonic() - lease
            if value is MISS:
                value = await reader.fetch("x")
            if value is not None:
                assert isinstance(value, bytes)
                while at + 1 < len(known) and known[at + 1][0] <= since:
                    at += 1
                assert int(value) >= known[at][1]
            reads += 1
            await asyncio.sleep(0)

    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(ValkeyClient(server.endpoint)) for _ in range(4)]
        readers = [Reader(client) for client in clients[1:]]
        for reader in readers:
            await reader.tracks()
        async with asyncio.TaskGroup() as group:
            group.create_task(write(clients[0]))
            for reader in readers:
                group.create_task(read(reader))

    assert hits > 500
    assert sum(reader.near.stats().emptied for reader in readers) > 10
