"""Entries past their ttl: served while they are renewed, or when that fails, or not at all.

Clocks are moved by writing entries that were created in the past.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
from collections.abc import Sequence

import pytest
from structlog.testing import capture_logs

from tests.caching.origin import Origin, Process, make_older, stored, until
from valkeyctl.caching import CacheService, NamespacePolicy, ValkeyClient
from valkeyctl.caching.codec import ALWAYS_FRESH

TTL = 60.0
POLICIES = {
    "stale": NamespacePolicy(TTL, jitter=0, stale=100),
    "error": NamespacePolicy(TTL, jitter=0, stale_if_error=1000),
    "both": NamespacePolicy(TTL, jitter=0, stale=100, stale_if_error=1000),
}


@pytest.fixture
async def cache(process: Process) -> CacheService:
    """A service with a policy of each kind."""
    return await process(policies=POLICIES)


@pytest.fixture
async def elsewhere(process: Process) -> CacheService:
    """The same in another process."""
    return await process(policies=POLICIES)


async def reads(cache: CacheService, value: object) -> bool:
    """Say whether the entry ``k`` of ``stale`` has this value."""
    return await cache.get("stale", "k") == value


class Bulk:
    """A loader of many that notes what it was asked for."""

    def __init__(self, value: object = "new", error: Exception | None = None) -> None:
        self.asked: list[list[str]] = []
        self._value = value
        self._error = error

    async def __call__(self, ids: Sequence[str]) -> dict[str, object]:
        self.asked.append(list(ids))
        await asyncio.sleep(0)
        if self._error is not None:
            raise self._error
        return dict.fromkeys(ids, self._value)


# Stale-while-revalidate


async def test_nobody_waits_for_the_renewal_of_a_stale_entry(
    cache: CacheService, elsewhere: CacheService
) -> None:
    """A hundred callers of two processes get it at once, and the origin is called once."""
    values = ["first", "second", "third"]
    await cache.set("stale", "k", values[0])
    for before, after in itertools.pairwise(values):
        await make_older(cache.client, "t:stale:k", TTL + 1)
        origin = Origin(after, held=True)

        lookups = await asyncio.wait_for(
            asyncio.gather(
                *(
                    service.fetch("stale", "k", origin)
                    for _ in range(50)
                    for service in (cache, elsewhere)
                )
            ),
            5,
        )

        assert len(cache._works.loads._errands) <= 1
        assert {(lookup.value, lookup.outcome) for lookup in lookups} == {(before, "stale")}
        assert TTL < (lookups[0].age or 0) < TTL + 10
        origin.go.set()
        for service in (cache, elsewhere):
            await until(functools.partial(reads, service, after))
            assert (await service.fetch("stale", "k", origin)).outcome == "hit"
        assert origin.calls == 1


async def test_while_one_process_renews_the_others_ask_the_server_once(
    cache: CacheService, elsewhere: CacheService
) -> None:
    """Not at each stale read: a hot key would spin as long as the origin takes."""
    origin, other = Origin("new", held=True), Origin()
    await cache.set("stale", "k", "old")
    await make_older(cache.client, "t:stale:k", TTL + 1)
    await cache.get_or_load("stale", "k", origin)
    await origin.began.wait()
    await elsewhere.get_or_load("stale", "k", other)
    await until(lambda: elsewhere._works.loads._wakes._waiting != {})
    await cache.client.execute("CONFIG", "RESETSTAT")

    for _ in range(100):
        assert await elsewhere.get_or_load("stale", "k", other) == "old"

    calls = (await cache.client.info("commandstats"))["cmdstat_evalsha"]
    assert int(calls.partition(",")[0].removeprefix("calls=")) <= 101  # reads, and one claim
    origin.go.set()
    await until(lambda: reads(elsewhere, "new"))
    await until(lambda: elsewhere._works.loads._wakes._waiting == {})
    assert other.calls == 0


async def test_after_its_grace_an_entry_is_waited_for(cache: CacheService) -> None:
    """It is served for so many seconds after its ttl, and no longer."""
    origin = Origin("new")
    await cache.set("stale", "k", "old")
    await make_older(cache.client, "t:stale:k", TTL + 101)

    assert await cache.get("stale", "k", "miss") == "miss"
    assert await cache.get_many("stale", ["k"]) == {}
    assert not await cache.contains("stale", "k")
    lookup = await cache.fetch("stale", "k", origin)

    assert (lookup.value, lookup.outcome) == ("new", "miss")
    assert await cache.get("stale", "k") == "new"


async def test_stale_reads_without_a_loader_are_served_and_counted(cache: CacheService) -> None:
    """A get has nothing to renew with."""
    await cache.set_many("stale", {"a": 1, "b": 2})
    for id_ in ("a", "b"):
        await make_older(cache.client, f"t:stale:{id_}", TTL + 1)

    assert await cache.get("stale", "a") == 1
    assert await cache.get_many("stale", ["a", "b"]) == {"a": 1, "b": 2}

    stats = cache.stats()["stale"]
    assert (stats.stale_served, stats.hits, stats.misses, stats.loads) == (3, 0, 0, 0)


async def test_load_many_serves_stale_entries_and_renews_them_in_one_call(
    cache: CacheService,
) -> None:
    """As get_or_load does; only what is missing is waited for."""
    await cache.set_many("stale", {"fresh": "old", "a": "old", "b": "old"})
    for id_ in ("a", "b"):
        await make_older(cache.client, f"t:stale:{id_}", TTL + 1)
    bulk = Bulk()

    values = await cache.load_many("stale", ["a", "gone", "fresh", "b"], bulk)

    assert values == {"a": "old", "gone": "new", "fresh": "old", "b": "old"}
    await until(lambda: cache.stats()["stale"].writes == 3 + 3)
    assert sorted(id_ for ids in bulk.asked for id_ in ids) == ["a", "b", "gone"]
    assert len(bulk.asked) <= 2
    assert await cache.get_many("stale", ["a", "b"]) == {"a": "new", "b": "new"}
    stats = cache.stats()["stale"]
    assert (stats.stale_served, stats.misses, stats.hits) == (2, 1, 3)


async def test_a_renewal_that_fails_is_told_in_the_log_and_to_no_caller(
    cache: CacheService,
) -> None:
    """The stale entry goes on being served."""
    origin = Origin(LookupError("origin down"), "new")
    await cache.set("stale", "k", "old")
    await make_older(cache.client, "t:stale:k", TTL + 1)

    with capture_logs() as lines:
        assert await cache.get_or_load("stale", "k", origin) == "old"
        await until(lambda: cache.stats()["stale"].load_failures == 1)
        await until(lambda: not cache._works.loads._refreshes)
        assert await cache.get_or_load("stale", "k", origin) == "old"
        assert origin.calls == 1  # it rests for a moment
        cache._works.loads._resting.clear()
        assert await cache.get_or_load("stale", "k", origin) == "old"
        await until(lambda: cache.stats()["stale"].writes == 2)

    assert await cache.get("stale", "k") == "new"
    (line,) = [line for line in lines if line["event"] == "cache_refresh_failed"]
    assert line["reason"] == "LookupError: origin down"


async def test_a_renewal_that_an_invalidation_overtook_is_not_stored(
    cache: CacheService, elsewhere: CacheService
) -> None:
    """Stale is served for its age, never after an invalidation."""
    slow, new = Origin("from before", held=True), Origin("from after")
    await cache.set("stale", "k", "old")
    await make_older(cache.client, "t:stale:k", TTL + 1)
    assert await cache.get_or_load("stale", "k", slow) == "old"
    await slow.began.wait()

    await elsewhere.invalidate("stale")
    assert await cache.get("stale", "k") is None
    assert await cache.get_or_load("stale", "k", new) == "from after"
    slow.go.set()
    await until(lambda: not cache._works.loads._refreshes)

    assert await cache.get("stale", "k") == "from after"


async def test_a_stale_entry_takes_memory_as_long_as_its_grace(cache: CacheService) -> None:
    """The server keeps it for ttl and grace, and every version longer."""
    await cache.set("both", "k", "v")

    left = await cache.client.ttl("t:both:k")
    version_left = await cache.client.ttl("t:~version:both")

    assert left is not None
    assert version_left is not None
    assert TTL + 990 < left <= TTL + 1000
    assert version_left >= left
    assert (await stored(cache.client, "t:both:k")).fresh_ms == TTL * 1000


async def test_closing_a_service_ends_its_renewals(client: ValkeyClient) -> None:
    """And gives their leases back, so that nobody waits for them."""
    before = asyncio.all_tasks()
    origin = Origin(held=True)
    async with CacheService(client, app="t", policies=POLICIES, budget=5) as cache:
        await cache.set("stale", "k", "old")
        await make_older(client, "t:stale:k", TTL + 1)
        await cache.get_or_load("stale", "k", origin)
        await origin.began.wait()
        assert await client.exists("t:~load:stale:k") == 1

    assert await client.exists("t:~load:stale:k") == 0
    assert {
        task for task in asyncio.all_tasks() - before if "listener" not in task.get_name()
    } == set()


# Stale-if-error


async def test_an_expired_entry_is_served_when_its_load_fails(cache: CacheService) -> None:
    """Within its window, to all who share the load; each load is tried."""
    origin = Origin(LookupError("origin down"))
    await cache.set("error", "k", "old")
    await make_older(cache.client, "t:error:k", TTL + 500)

    lookups = await asyncio.gather(*(cache.fetch("error", "k", origin) for _ in range(5)))
    again = await cache.get_or_load("error", "k", origin)

    assert {(lookup.value, lookup.outcome) for lookup in lookups} == {("old", "stale")}
    assert again == "old"
    assert origin.calls == 2
    assert await cache.get("error", "k", "miss") == "miss"  # there was no error to be served for
    stats = cache.stats()["error"]
    assert (stats.stale_served, stats.misses, stats.load_failures) == (6, 1, 2)


async def test_after_its_window_the_loaders_error_is_the_answer(cache: CacheService) -> None:
    """An entry too old to be served is none; there is one without a policy, too."""
    await cache.set("error", "k", "old")
    await make_older(cache.client, "t:error:k", TTL + 1001)

    with pytest.raises(LookupError, match="origin down"):
        await cache.get_or_load("error", "k", Origin(LookupError("origin down")))
    with pytest.raises(LookupError, match="origin down"):
        await cache.get_or_load("error", "missing", Origin(LookupError("origin down")))


async def test_an_expired_entry_whose_load_works_is_replaced(cache: CacheService) -> None:
    """Errors are what it is kept for."""
    await cache.set("error", "k", "old")
    await make_older(cache.client, "t:error:k", TTL + 1)

    lookup = await cache.fetch("error", "k", Origin("new"))

    assert (lookup.value, lookup.outcome) == ("new", "miss")
    assert await cache.get("error", "k") == "new"


async def test_load_many_serves_expired_entries_when_its_loader_fails(
    cache: CacheService,
) -> None:
    """Where there is one for every id; else the loader's error is the answer."""
    await cache.set_many("error", {"a": 1, "b": 2})
    for id_ in ("a", "b"):
        await make_older(cache.client, f"t:error:{id_}", TTL + 1)
    failing = Bulk(error=LookupError("origin down"))

    assert await cache.load_many("error", ["a", "b"], failing) == {"a": 1, "b": 2}
    with pytest.raises(LookupError, match="origin down"):
        await cache.load_many("error", ["a", "missing"], failing)
    assert await cache.load_many("error", ["a", "b"], Bulk(3)) == {"a": 3, "b": 3}


async def test_a_cancelled_caller_is_not_given_an_expired_entry(cache: CacheService) -> None:
    """A cancellation is no failure of the origin."""
    origin = Origin(held=True)
    await cache.set("error", "k", "old")
    await make_older(cache.client, "t:error:k", TTL + 1)
    caller = asyncio.create_task(cache.get_or_load("error", "k", origin))
    await origin.began.wait()

    caller.cancel()

    with pytest.raises(asyncio.CancelledError):
        await caller


# Processes that run with another configuration


async def test_an_old_process_without_grace_does_not_take_stale_for_fresh(
    cache: CacheService, process: Process
) -> None:
    """While a deployment rolls, entries with grace meet readers that know of none."""
    await cache.set_many("stale", {"stale": "old", "fresh": "old"})
    await make_older(cache.client, "t:stale:stale", TTL + 1)
    old = await process(policies={"stale": NamespacePolicy(TTL, jitter=0)})
    origin, bulk = Origin("new"), Bulk("newer")

    assert await old.get("stale", "stale") is None
    assert await old.get_many("stale", ["stale", "fresh"]) == {"fresh": "old"}
    assert (await old.fetch("stale", "fresh", origin)).outcome == "hit"
    assert await old.get_or_load("stale", "stale", origin) == "new"

    assert (await stored(old.client, "t:stale:stale")).fresh_ms == ALWAYS_FRESH
    await make_older(cache.client, "t:stale:fresh", TTL + 1)
    assert await old.load_many("stale", ["fresh", "stale"], bulk) == {
        "fresh": "newer",
        "stale": "new",
    }
    assert bulk.asked == [["fresh"]]


async def test_a_new_process_takes_the_entries_of_an_old_one(
    cache: CacheService, process: Process
) -> None:
    """Written without an end to their freshness, they are fresh as long as they exist."""
    old = await process(policies={"stale": NamespacePolicy(TTL)})
    await old.set("stale", "k", "old")
    await make_older(old.client, "t:stale:k", TTL * 10)

    lookup = await cache.fetch("stale", "k", Origin())

    assert (lookup.value, lookup.outcome) == ("old", "hit")


async def test_a_clock_that_was_set_back_makes_no_entry_stale(cache: CacheService) -> None:
    """Created in the future, it is fresh, and its age is nothing."""
    await cache.set("stale", "k", "old")
    await make_older(cache.client, "t:stale:k", -3600)

    lookup = await cache.fetch("stale", "k", Origin())

    assert (lookup.value, lookup.outcome, lookup.age) == ("old", "hit", 0)
