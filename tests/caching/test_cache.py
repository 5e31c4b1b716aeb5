"""Cache-aside by namespace on a healthy server."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest

from valkeyctl.caching import CacheService, NamespacePolicy, ValkeyClient
from valkeyctl.caching.codec import Envelope
from valkeyctl.errors import InvalidKeyError, UsageError


class Origin:
    """A loader that counts its calls and can be held back."""

    def __init__(self, value: object = "loaded") -> None:
        self.calls = 0
        self.value = value
        self.began = asyncio.Event()
        self.go = asyncio.Event()
        self.go.set()

    async def __call__(self) -> object:
        self.calls += 1
        self.began.set()
        await self.go.wait()
        return self.value


@pytest.fixture
def cache(client: ValkeyClient) -> CacheService:
    """A service on an empty server; a generous budget, for machines that stutter."""
    return CacheService(client, app="t", budget=1.0)


@pytest.mark.parametrize(
    "value", [{"context": 128000}, [1, 2.5, None, True], "text", b"\x00\xff", "", 0, False, {}]
)
async def test_a_value_is_read_back_as_it_was_set(cache: CacheService, value: object) -> None:
    """Falsy values are values."""
    assert await cache.set("metadata", "k", value)

    assert await cache.get("metadata", "k") == value
    assert await cache.contains("metadata", "k")


async def test_a_miss_is_the_default(cache: CacheService) -> None:
    """A stored None is told apart from a miss by a default of one's own."""
    await cache.set("metadata", "none", None)

    assert await cache.get("metadata", "gone") is None
    assert await cache.get("metadata", "gone", "default") == "default"
    assert await cache.get("metadata", "none", "default") is None
    assert not await cache.contains("metadata", "gone")


async def test_a_load_is_stored_and_not_repeated(cache: CacheService) -> None:
    """The second call is a hit, with its age and what it has left."""
    origin = Origin({"n": 1})

    first = await cache.fetch("context", "k", origin, ttl=60)
    second = await cache.fetch("context", "k", origin)

    assert (first.value, first.outcome, first.age, first.ttl) == ({"n": 1}, "miss", None, 60)
    assert (second.value, second.outcome) == ({"n": 1}, "hit")
    assert second.age is not None
    assert second.ttl is not None
    assert 0 <= second.age < 5
    assert 55 < second.ttl <= 60
    assert origin.calls == 1


async def test_concurrent_misses_call_the_origin_once(cache: CacheService) -> None:
    """A hundred readers of one cold key cost the origin one call."""
    origin = Origin()
    origin.go.clear()
    tasks = [asyncio.create_task(cache.get_or_load("metadata", "k", origin)) for _ in range(100)]
    await origin.began.wait()
    origin.go.set()

    values = await asyncio.gather(*tasks)

    assert values == ["loaded"] * 100
    assert origin.calls == 1
    stats = cache.stats()["metadata"]
    assert (stats.hits, stats.misses, stats.collapsed, stats.writes) == (0, 1, 99, 1)


async def test_the_loaders_exception_reaches_its_caller_and_is_not_stored(
    cache: CacheService,
) -> None:
    """It is the only exception that a cache-aside read lets out."""

    async def failing() -> object:
        raise LookupError("no such model")

    with pytest.raises(LookupError, match="no such model"):
        await cache.get_or_load("metadata", "k", failing)

    assert await cache.get_or_load("metadata", "k", Origin()) == "loaded"


async def test_invalidating_a_namespace_makes_all_of_it_a_miss(cache: CacheService) -> None:
    """And nothing beside it; the stale entry is dropped and counted when met."""
    await cache.set_many("metadata", {str(n): n for n in range(50)})
    await cache.set("context", "k", "kept")

    await cache.invalidate("metadata")

    assert await cache.get_many("metadata", [str(n) for n in range(50)]) == {}
    assert await cache.get("context", "k") == "kept"
    assert cache.stats()["metadata"].stale_dropped == 50
    # Nobody waits for the drops, which may come late on a busy machine.
    async with asyncio.timeout(5):
        while await cache.client.exists(*(f"t:metadata:{n}" for n in range(50))):
            await cache.get_many("metadata", [str(n) for n in range(50)])


async def test_invalidating_a_tag_makes_its_entries_misses_everywhere(
    cache: CacheService,
) -> None:
    """In all namespaces, and an entry with several tags by any of them."""
    await cache.set("metadata", "a", 1, tags=["models", "eu"])
    await cache.set("context", "b", 2, tags=["models"])
    await cache.set("context", "c", 3, tags=["eu"])
    await cache.set("context", "d", 4)

    await cache.invalidate_tag("models")

    assert await cache.get_many("context", ["b", "c", "d"]) == {"c": 3, "d": 4}
    assert await cache.get("metadata", "a") is None


async def test_a_new_value_after_an_invalidation_is_served(cache: CacheService) -> None:
    """Invalidating forgets the past, not the namespace."""
    await cache.set("metadata", "k", "old", tags=["t"])
    await cache.invalidate("metadata")
    await cache.invalidate_tag("t")

    await cache.set("metadata", "k", "new", tags=["t"])

    assert await cache.get("metadata", "k") == "new"


async def test_invalidating_costs_the_same_whatever_the_size(cache: CacheService) -> None:
    """Constant cost: no scan, no list of keys."""
    await cache.set_many("metadata", {str(n): n for n in range(1000)})
    await cache.invalidate("context")  # loads the script
    before = int((await cache.client.info("stats"))["total_commands_processed"])

    await cache.invalidate("metadata")

    after = int((await cache.client.info("stats"))["total_commands_processed"])
    # The script, UNLINK, PUBLISH to the near caches, and the INFO that asks.
    assert after - before == 4


@pytest.mark.parametrize("by", ["namespace", "tag"])
async def test_a_load_that_an_invalidation_overtook_is_never_served(
    cache: CacheService, client: ValkeyClient, by: str
) -> None:
    """Not to later callers here, not to other processes; its own caller gets it."""
    elsewhere = CacheService(client, app="t", budget=1.0)
    slow, fresh = Origin("old"), Origin("new")
    slow.go.clear()
    loading = asyncio.create_task(cache.get_or_load("metadata", "k", slow, tags=["t"]))
    await slow.began.wait()

    await (elsewhere.invalidate("metadata") if by == "namespace" else elsewhere.invalidate_tag("t"))
    joined = asyncio.create_task(cache.get_or_load("metadata", "k", fresh, tags=["t"]))
    await fresh.began.wait()
    slow.go.set()

    assert await loading == "old"
    assert await joined == "new"
    assert await cache.get("metadata", "k") == "new"
    assert await elsewhere.get("metadata", "k") == "new"
    assert cache.stats()["metadata"].refused_writes == 1


async def test_an_overtaken_load_is_not_stored_when_nobody_asked_meanwhile(
    cache: CacheService,
) -> None:
    """The version is gone, which differs from the one that the load saw."""
    slow = Origin("old")
    slow.go.clear()
    loading = asyncio.create_task(cache.get_or_load("metadata", "k", slow))
    await slow.began.wait()

    await cache.invalidate("metadata")
    slow.go.set()
    await loading

    assert await cache.get("metadata", "k") is None


@pytest.mark.parametrize("lost", ["t:~version:metadata", "t:~tag:x"])
async def test_a_lost_version_key_never_brings_entries_back(
    cache: CacheService, client: ValkeyClient, lost: str
) -> None:
    """Evicted means invalidated: the version made anew differs from every one before."""
    await cache.set("metadata", "k", "old", tags=["x"])
    await client.delete(lost)
    await cache.set("metadata", "other", "new", tags=["x"])

    assert await cache.get("metadata", "k") is None
    assert await cache.get("metadata", "other") == "new"


async def test_every_key_expires(cache: CacheService, client: ValkeyClient) -> None:
    """Version keys too, after every entry that was written under them, and not much later."""
    await cache.get_or_load("metadata", "short", Origin(), ttl=5, tags=["x"])
    await cache.set("metadata", "long", 1, ttl=1000, tags=["x"])
    await cache.set("metadata", "later", 1, ttl=10, tags=["x"])

    assert await client.execute("DBSIZE") == 5
    for key in ("t:~version:metadata", "t:~tag:x"):
        left = await client.ttl(key)
        assert left is not None
        assert 990 < left <= 2000


async def test_a_version_outlives_the_load_that_remembers_it(
    cache: CacheService, client: ValkeyClient
) -> None:
    """Else the value of a slow load would be lost because the last entry expired meanwhile."""
    await cache.set("metadata", "other", 1, ttl=1, tags=["x"])
    slow = Origin()
    slow.go.clear()
    loading = asyncio.create_task(cache.get_or_load("metadata", "k", slow, ttl=1, tags=["x"]))
    await slow.began.wait()

    for key in ("t:~version:metadata", "t:~tag:x"):
        left = await client.ttl(key)
        assert left is not None
        assert left > 590
    slow.go.set()
    await loading
    assert await cache.contains("metadata", "k")


async def test_ttls_come_from_the_policy_with_jitter_taken_off(client: ValkeyClient) -> None:
    """Never longer than the policy says, and not all alike."""
    policies = {"metadata": NamespacePolicy(100, jitter=0.5)}
    cache = CacheService(client, app="t", policies=policies, rng=random.Random(1), budget=1.0)

    await cache.set_many("metadata", {str(n): n for n in range(20)})

    left = [await client.ttl(f"t:metadata:{n}") or 0 for n in range(20)]
    assert all(49 < ttl <= 100 for ttl in left)
    assert max(left) - min(left) > 10


async def test_a_ttl_of_the_caller_is_kept_to_the_letter(
    cache: CacheService, client: ValkeyClient
) -> None:
    """Jitter is for policies."""
    await cache.set("metadata", "k", 1, ttl=77)

    left = await client.ttl("t:metadata:k")

    assert left is not None
    assert 76.5 < left <= 77


async def test_a_namespace_without_a_policy_needs_a_ttl(cache: CacheService) -> None:
    """No entry lives for ever by accident; the hint names the namespaces that have one."""
    with pytest.raises(InvalidKeyError, match="no policy") as caught:
        await cache.set("models", "k", 1)
    with pytest.raises(InvalidKeyError, match="no policy"):
        await cache.get_or_load("models", "k", Origin())

    assert "metadata" in str(caught.value.hint)
    assert await cache.set("models", "k", 1, ttl=5)
    assert await cache.get("models", "k") == 1


@pytest.mark.parametrize(
    "call",
    [
        lambda cache: cache.get("Bad Namespace", "k"),
        lambda cache: cache.get("metadata", "a b"),
        lambda cache: cache.set("metadata", "", 1),
        lambda cache: cache.set("metadata", "k", 1, tags=["a b"]),
        lambda cache: cache.get_or_load("metadata", "a\n", Origin()),
        lambda cache: cache.get_many("metadata", ["ok", "a b"]),
        lambda cache: cache.delete("metadata", "x" * 600),
        lambda cache: cache.invalidate("~version"),
        lambda cache: cache.invalidate_tag(""),
    ],
)
async def test_a_key_that_breaks_the_rules_is_refused(
    cache: CacheService, call: Callable[[CacheService], Awaitable[object]]
) -> None:
    """A caller's mistake is no failure of the server, and is not swallowed."""
    with pytest.raises(InvalidKeyError):
        await call(cache)


async def test_a_value_that_would_not_come_back_is_refused_by_set(cache: CacheService) -> None:
    """Set says so; a loaded one is returned, not stored, and counted."""
    with pytest.raises(UsageError, match="tuple"):
        await cache.set("metadata", "k", (1, 2))

    assert await cache.get_or_load("metadata", "k", Origin((1, 2))) == (1, 2)
    assert not await cache.contains("metadata", "k")
    assert cache.stats()["metadata"].errors == {"encoding": 1}


async def test_a_value_too_large_is_returned_and_not_stored(client: ValkeyClient) -> None:
    """The bound is on the encoded value."""
    cache = CacheService(client, app="t", max_value_bytes=100, budget=1.0)

    assert not await cache.set("metadata", "k", "x" * 101)
    assert await cache.set("metadata", "k", "x" * 100)
    assert await cache.get_or_load("metadata", "big", Origin("y" * 101)) == "y" * 101

    assert not await cache.contains("metadata", "big")
    assert cache.stats()["metadata"].errors == {"too_large": 2}


async def test_many_are_read_and_written_in_one_round_trip(cache: CacheService) -> None:
    """Order of ids is kept, doubles are asked for once, misses are left out."""
    await cache.set_many("metadata", {f"k{n}": n for n in range(600)})

    values = await cache.get_many("metadata", ["k5", "gone", "k1", "k5", "k599"])

    assert list(values.items()) == [("k5", 5), ("k1", 1), ("k599", 599)]
    assert len(await cache.get_many("metadata", (f"k{n}" for n in range(700)))) == 600
    assert await cache.get_many("metadata", []) == {}
    assert await cache.set_many("metadata", {}) == 0


async def test_delete_says_whether_there_was_one(cache: CacheService) -> None:
    """And takes it away."""
    await cache.set("metadata", "k", 1)

    assert await cache.delete("metadata", "k")
    assert not await cache.delete("metadata", "k")
    assert await cache.get("metadata", "k") is None


@pytest.mark.parametrize("how", ["delete", "set"])
async def test_a_load_in_progress_does_not_undo_a_delete_or_a_set(
    cache: CacheService, how: str
) -> None:
    """Its older value is neither stored over them nor given to later callers."""
    slow = Origin("old")
    slow.go.clear()
    loading = asyncio.create_task(cache.get_or_load("metadata", "k", slow))
    await slow.began.wait()

    await (cache.delete("metadata", "k") if how == "delete" else cache.set("metadata", "k", "new"))
    slow.go.set()

    assert await loading == "old"
    assert await cache.get("metadata", "k", "nothing") == ("nothing" if how == "delete" else "new")


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"not ours",
        b"\xcb" * 20,
        b"\xcb\x12\x00\x00" + b"\x00" * 26 + b"{}",
        b"\xcb\x12\x00\xff" + b"\x00" * 26 + b"{}",
    ],
)
async def test_a_foreign_value_is_a_miss_counted_and_deleted(
    cache: CacheService, client: ValkeyClient, damage: bytes
) -> None:
    """No bytes at an entry's key make a read fail."""
    await cache.set("metadata", "other", 1)
    await client.set("t:metadata:k", damage)

    assert await cache.get("metadata", "k", "miss") == "miss"

    # The caller has its answer already while the entry goes.
    async with asyncio.timeout(5):
        while await client.exists("t:metadata:k"):
            pass
    stats = cache.stats()["metadata"]
    assert stats.corrupt_dropped + stats.stale_dropped == 1
    assert stats.errors == {}


@pytest.mark.parametrize(
    "change", [{"payload": b"{"}, {"format": 0x12}, {"flags": 4}, {"format": 0x2E}]
)
async def test_an_entry_of_another_format_is_a_miss_counted_and_deleted(
    cache: CacheService, client: ValkeyClient, change: dict[str, object]
) -> None:
    """Valid by its version, unreadable by its bytes."""
    await cache.set("metadata", "k", {"a": 1})
    stored = Envelope.unpack(await client.get("t:metadata:k") or b"")
    fields = {**vars(stored), **change}
    await client.set("t:metadata:k", Envelope(**fields).pack())

    assert await cache.get_or_load("metadata", "k", Origin("fresh")) == "fresh"
    assert await cache.get("metadata", "k") == "fresh"
    assert cache.stats()["metadata"].corrupt_dropped == 1


async def test_a_key_of_another_type_is_a_miss_and_left_alone_by_readers(
    cache: CacheService, client: ValkeyClient
) -> None:
    """A hash at an entry's key is somebody's state."""
    await client.hset("t:session:k", {"turns": 3})

    assert await cache.get("session", "k", "miss") == "miss"

    assert await client.hgetall("t:session:k") == {b"turns": b"3"}
    assert await cache.get_or_load("session", "k", Origin("loaded")) == "loaded"
    assert await cache.get("session", "k") == "loaded"
    assert cache.stats()["session"].corrupt_dropped == 1


async def test_services_of_two_applications_do_not_see_each_other(client: ValkeyClient) -> None:
    """Neither entries nor invalidations."""
    one, two = (CacheService(client, app=app, budget=1.0) for app in ("one", "two"))
    await one.set("metadata", "k", 1)
    await two.set("metadata", "k", 2)

    await one.invalidate("metadata")

    assert await one.get("metadata", "k") is None
    assert await two.get("metadata", "k") == 2


async def test_stats_are_frozen_counts_by_namespace(cache: CacheService) -> None:
    """What was handed out does not change afterwards."""
    await cache.set("metadata", "k", 1)
    await cache.get("metadata", "k")
    await cache.get("metadata", "gone")
    before = cache.stats()["metadata"]

    await cache.get("metadata", "k")

    assert (before.hits, before.misses, before.writes, before.hit_ratio) == (1, 1, 1, 0.5)
    assert cache.stats()["metadata"].hits == 2
    with pytest.raises(TypeError):
        before.errors["deadline"] = 1  # type: ignore[index]


@pytest.mark.parametrize(
    ("app", "options"), [("T", {}), ("t", {"budget": 0}), ("t", {"max_value_bytes": 0})]
)
async def test_a_service_that_cannot_be_meant_is_not_made(
    client: ValkeyClient, app: str, options: dict[str, float]
) -> None:
    """Wrong names and numbers are refused where they are given."""
    with pytest.raises(UsageError):
        CacheService(client, app=app, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(("ttl", "jitter"), [(0, 0.1), (-1, 0.1), (10, 1.0), (10, -0.1)])
def test_a_policy_that_cannot_be_meant_is_not_made(ttl: float, jitter: float) -> None:
    """A ttl above zero, a jitter that leaves something of it."""
    with pytest.raises(UsageError):
        NamespacePolicy(ttl, jitter=jitter)
