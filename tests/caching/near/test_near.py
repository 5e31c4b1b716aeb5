"""Entries near at hand, as fresh as the server says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from tests.caching.near.reader import KEYS, Reader, until
from tests.caching.near.test_held import standing_cache
from valkeyctl.caching import CacheService, NamespacePolicy, ValkeyClient
from valkeyctl.caching.keys import KeyScheme
from valkeyctl.caching.near import MISS, NearCache
from valkeyctl.caching.near import cache as near_cache
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import InvalidKeyError, UsageError

VERSION = KEYS.versions("m")[0]
TAG = KEYS.tag_versions("models")[0]


@pytest.fixture
async def writer(endpoint: Endpoint) -> AsyncIterator[ValkeyClient]:
    """Another process, without a near cache."""
    async with ValkeyClient(endpoint) as connected:
        yield connected


@pytest.fixture
async def reader(client: ValkeyClient, writer: ValkeyClient) -> Reader:
    """A process with a near cache that holds one entry."""
    await writer.set(KEYS.place("m", "x").key, "one", ttl=60)
    await writer.set(VERSION, "v" * 16, ttl=60)
    await writer.set(TAG, "t" * 16, ttl=60)
    made = Reader(client)
    await made.tracks()
    await made.holds("x", tags=(b"models",))
    return made


async def commands(client: ValkeyClient) -> int:
    """Return how many commands the server has run, this one not counted."""
    return int((await client.info("stats"))["total_commands_processed"])


async def test_what_is_near_costs_the_server_nothing(reader: Reader, writer: ValkeyClient) -> None:
    """A hit sends no command, save a PING when half of the lease is over."""
    await reader.holds("x")
    before = await commands(writer)

    values = {reader.near.get("m", "x") for _ in range(1000)}

    assert values == {b"one"}
    assert await commands(writer) - before <= 2  # the count itself, and a PING


async def test_an_idle_process_sends_nothing(reader: Reader, writer: ValkeyClient) -> None:
    """Its lease runs out, and nobody minds."""
    await asyncio.sleep(0.06)
    before = await commands(writer)

    await asyncio.sleep(0.12)

    assert await commands(writer) - before == 1  # the count itself


async def test_a_write_elsewhere_is_seen_within_milliseconds(
    reader: Reader, writer: ValkeyClient
) -> None:
    """At once, as far as a test can tell."""
    delays = []
    for n in range(50):
        await reader.holds("x")
        await writer.set(KEYS.place("m", "x").key, f"value {n}", ttl=60)
        delays.append(await reader.until_gone("x"))

        assert await reader.read("x") == f"value {n}".encode()

    assert sorted(delays)[45] < 0.005


@pytest.mark.parametrize(
    "command",
    [
        ("UNLINK", KEYS.place("m", "x").key),
        ("PEXPIRE", KEYS.place("m", "x").key, 1),
        ("UNLINK", VERSION),
        ("UNLINK", TAG),
        ("FLUSHDB",),
        ("FLUSHALL", "ASYNC"),
    ],
    ids=lambda words: words[0] if isinstance(words, tuple) else None,
)
async def test_whatever_makes_it_invalid_drops_it(
    reader: Reader, writer: ValkeyClient, command: tuple[str | bytes, ...]
) -> None:
    """Deleted, expired, invalidated with its namespace or its tag, or all at once."""
    await writer.execute(*command)

    await reader.until_gone("x")

    assert reader.near.get("m", "x") is MISS


async def test_what_concerns_others_leaves_it_alone(reader: Reader, writer: ValkeyClient) -> None:
    """Another id, another namespace's version, another tag, another application."""
    other = KEYS.place("m", "other")
    await writer.set(other.key, "fence", ttl=60)
    await reader.holds("other")
    await writer.pipeline(
        [
            ("SET", KEYS.place("m", "y").key, "1", "PX", 9000),
            ("SET", KEYS.place("n", "x").key, "1", "PX", 9000),
            ("SET", KEYS.versions("n")[0], "1", "PX", 9000),
            ("SET", KEYS.versions("mm")[0], "1", "PX", 9000),
            ("SET", KEYS.tag_versions("models2")[0], "1", "PX", 9000),
            ("SET", b"application:m:x", "1", "PX", 9000),
            ("UNLINK", other.key),
        ]
    )

    await reader.until_gone("other")

    assert "x" in reader.near._spaces["m"].entries


async def test_without_a_proof_that_is_young_enough_nothing_is_served(client: ValkeyClient) -> None:
    """The lease counts from when its PING was sent; a new one is asked for in time."""
    now = 1000.0
    await client.set(KEYS.place("m", "x").key, "one", ttl=60)
    reader = Reader(client, lease=0.05, clock=lambda: now)
    await reader.tracks()
    await reader.holds("x")
    asked: list[float] = []
    reader.near._tracking.renew = lambda: asked.append(now)  # type: ignore[method-assign]
    reader.near.proven(now)

    for later, value, pings in (
        (0.024, b"one", 0),
        (0.026, b"one", 1),  # past half of it
        (0.027, b"one", 1),  # and once is enough
        (0.049, b"one", 1),
        (0.051, MISS, 2),
        (0.052, MISS, 3),
    ):
        now = 1000.0 + later
        assert reader.near.get("m", "x") == value
        assert len(asked) == pings

    assert reader.near.stats().lapsed == 2


async def test_a_lapsed_lease_comes_back_by_being_read(reader: Reader) -> None:
    """The first read after a pause goes to the server, and a later one does not."""
    await asyncio.sleep(0.06)
    assert reader.near.get("m", "x") is MISS

    await until(lambda: reader.near.get("m", "x") == b"one")

    assert reader.near.stats().emptied == 0


async def test_an_entry_is_held_no_longer_than_it_lives() -> None:
    """Its own time counts from before it was read, and the namespace's bound applies."""
    now = 1000.0
    keys = KEYS
    near, _ = standing_cache()
    near._clock = lambda: now
    place = keys.place("m", "x")
    token = near.begin()
    now += 2
    near.put(token, "m", "short", b"1", place=place, ttl=5)
    near.put(token, "m", "long", b"1", place=place, ttl=float("inf"))

    now = 1004.9
    assert near.get("m", "short") == b"1"
    now = 1005.0
    assert near.get("m", "short") is MISS
    assert near.get("m", "long") == b"1"
    now = 2000.0
    assert near.get("m", "long") is MISS
    assert near.stats().entries == 0


@pytest.mark.parametrize(
    "changed", [[KEYS.place("m", "x").key], [VERSION], [TAG], None], ids=["it", "ns", "tag", "all"]
)
def test_what_changed_while_it_was_read_is_not_held(changed: list[bytes] | None) -> None:
    """The answer may be from before the change; so is a read that begins afterwards not."""
    near, _ = standing_cache()
    place = KEYS.place("m", "x")
    token = near.begin()

    near.changed(changed)

    assert not near.put(token, "m", "x", b"1", place=place, ttl=60, tags=(b"models",))
    assert near.put(near.begin(), "m", "x", b"1", place=place, ttl=60, tags=(b"models",))
    assert near.stats().refused == 1


def test_more_changes_than_are_remembered_count_as_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fill that took that long is refused, and one of the last changes is still known."""
    monkeypatch.setattr(near_cache, "_REMEMBERED", 10)
    near, _ = standing_cache()
    place = KEYS.place("m", "x")
    old = near.begin()
    near.changed([b"app:m:%d" % n for n in range(9)])
    young = near.begin()
    near.changed([place.key])
    for n in range(10):
        near.changed([b"app:m:%d" % n])

    assert not near.put(young, "m", "x", b"1", place=place, ttl=60)
    assert near.put(young, "m", "y", b"1", place=KEYS.place("m", "y"), ttl=60)
    near.changed([b"app:m:more"])
    for n in range(10):
        near.changed([b"app:m:%d" % n])
    assert not near.put(old, "m", "y", b"1", place=KEYS.place("m", "y"), ttl=60)
    assert len(near._newer) + len(near._older) <= 20


async def test_what_this_process_wrote_itself_is_forgotten_at_once(client: ValkeyClient) -> None:
    """Also by a read of it that is on its way."""
    near, keys = standing_cache()
    place = keys.place("m", "x")
    token = near.begin()
    near.put(token, "m", "x", b"old", place=place, ttl=60)

    near.forget("m", "x", place=place)
    near.forget("elsewhere", "x", place=place)

    assert near.get("m", "x") is MISS
    assert not near.put(token, "m", "x", b"old", place=place, ttl=60)


def test_a_namespace_that_is_not_near_is_left_to_the_server() -> None:
    """It is neither read nor filled."""
    near, keys = standing_cache()

    assert not near.put(near.begin(), "n", "x", b"1", place=keys.place("n", "x"), ttl=60)

    assert near.get("n", "x") is MISS
    assert (near.stats().misses, near.stats().refused) == (0, 0)


def test_nothing_is_held_before_tracking_has_been_confirmed() -> None:
    """A change between the read and the set-up would not be heard of."""
    near = NearCache(ValkeyClient(Endpoint()), KEYS, {"m": 30.0})
    near._tracking.start = lambda: None  # type: ignore[method-assign]
    token = near.begin()

    assert token is None
    assert not near.put(token, "m", "x", b"1", place=KEYS.place("m", "x"), ttl=60)


async def test_entries_on_a_cluster_are_found_by_their_shards() -> None:
    """What changes is told by keys with a hash tag."""
    keys = KeyScheme("app", shards=64)
    near, _ = standing_cache()
    near._sharded = True
    place = keys.place("m", "x}:y")

    for changed in ([place.key], [place.version], [place.tags + b"models"]):
        token = near.begin()
        near.put(token, "m", "x}:y", b"1", place=place, ttl=60, tags=(b"models",))
        assert near.get("m", "x}:y") == b"1"
        near.changed(changed)
        assert near.get("m", "x}:y") is MISS
        assert not near.put(token, "m", "x}:y", b"1", place=place, ttl=60, tags=(b"models",))


def test_an_announcement_that_comes_again_does_not_drop_what_was_read_since() -> None:
    """On a Cluster each primary passes it on; each is acknowledged."""
    near, _ = standing_cache()
    place = KEYS.place("m", "x")
    first = near.announced(b"asker 1 namespace m")
    near.put(near.begin(), "m", "x", b"1", place=place, ttl=60)

    again = near.announced(b"asker 1 namespace m")

    assert again == first
    assert near.get("m", "x") == b"1"
    near.announced(b"asker 2 namespace m")
    assert near.get("m", "x") is MISS


async def test_it_says_what_it_holds_and_did(reader: Reader) -> None:
    """The counts add up."""
    before = reader.near.stats()
    reader.near.get("m", "x")
    reader.near.get("m", "nothing")

    after = reader.near.stats()

    assert after.tracking
    assert (after.hits - before.hits, after.misses - before.misses) == (1, 1)
    assert after.entries == 1
    assert after.bytes > 0


async def test_closing_the_client_closes_it(endpoint: Endpoint) -> None:
    """No task and no entry outlives the client; one that comes too late holds nothing."""
    before = asyncio.all_tasks()
    client = ValkeyClient(endpoint)
    reader = Reader(client)
    await client.set(KEYS.place("m", "x").key, "one", ttl=60)
    await reader.tracks()
    await reader.holds("x")

    await client.aclose()

    assert asyncio.all_tasks() == before
    assert reader.near.stats().entries == 0
    late = Reader(client)
    assert late.near.begin() is None
    assert reader.near.begin() is None
    assert asyncio.all_tasks() == before


async def test_closing_a_client_that_never_tracked_is_quick(endpoint: Endpoint) -> None:
    """A near cache that nobody reads makes no connection."""
    before = asyncio.all_tasks()
    async with aclosing(ValkeyClient(endpoint)) as client:
        near = Reader(client).near
        assert near.get("m", "x") is MISS
        assert asyncio.all_tasks() == before


@pytest.mark.parametrize(
    ("max_age", "options"),
    [
        ({}, {}),
        ({"m": 0.0}, {}),
        ({"m": float("inf")}, {}),
        ({"m": 1.0}, {"max_bytes": 0}),
        ({"m": 1.0}, {"lease": 0.0}),
    ],
)
def test_what_makes_no_sense_is_refused(
    max_age: dict[str, float], options: dict[str, float]
) -> None:
    """When it is made, not when it is used."""
    with pytest.raises(UsageError):
        NearCache(ValkeyClient(Endpoint()), KEYS, max_age, **options)  # type: ignore[arg-type]


def test_a_namespace_that_breaks_the_rules_is_refused() -> None:
    """Its prefix would be that of another."""
    with pytest.raises(InvalidKeyError):
        NearCache(ValkeyClient(Endpoint()), KEYS, {"m:x": 1.0})


async def test_the_service_reads_through_it(client: ValkeyClient, endpoint: Endpoint) -> None:
    """What other processes set, load and invalidate is seen; what does not concern it is not."""

    async def load() -> str:
        return "loaded"

    policy = NamespacePolicy(300, near=30)
    async with ValkeyClient(endpoint) as another:
        mine = CacheService(client, app="app", policies={"m": policy})
        other = CacheService(another, app="app", policies={"m": policy})

        async def near(id: str, value: object) -> None:  # noqa: A002
            hits = mine.stats()["m"].near_hits
            async with asyncio.timeout(5):
                while mine.stats()["m"].near_hits == hits:
                    assert await mine.get("m", id) == value

        await other.set("m", "x", ["one"], tags=["models"])
        await near("x", ["one"])
        # The first load makes the versions live longer than the set did; the others need not.
        await other.get_or_load("m", "first", load)
        await near("x", ["one"])
        before = mine.near_stats()
        for n in range(20):
            await other.get_or_load("m", f"load-{n}", load)
            await other.set("m", f"set-{n}", n)
        await near("x", ["one"])
        after = mine.near_stats()
        assert before is not None
        assert after is not None
        assert after.dropped == before.dropped

        await other.set("m", "x", ["two"], tags=["models"])
        await mine.set("m", "y", "mine")
        assert await mine.get("m", "y") == "mine"
        await near("x", ["two"])
        for invalidate in (other.invalidate("m"), mine.invalidate("m")):
            await invalidate
            assert await mine.get("m", "x") is None
            await other.set("m", "x", ["two"], tags=["models"])
            await near("x", ["two"])
        await other.invalidate_tag("models")
        assert await mine.get("m", "x") is None
