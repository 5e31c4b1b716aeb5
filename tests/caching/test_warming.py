"""Warming from a query: only what is missing, at a bounded pace, and nothing left running."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.caching.conftest import MortalServer
from tests.caching.deployments import ClusterDeployment
from tests.caching.moving import MovingClock, RushingClock
from tests.caching.test_observer import Recording
from valkeyctl.caching import (
    CacheService,
    NamespacePolicy,
    Pace,
    Shelf,
    ValkeyClient,
    Warmed,
    warm,
    warm_hottest,
    warm_in_bulk,
)
from valkeyctl.caching.codec import Value
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import InvalidKeyError, UsageError


class Origin:
    """Loads ids, one or many, and notes what was asked and how much at once."""

    def __init__(self, *, go: bool = True) -> None:
        self.asked: list[str] = []
        self.batches: list[int] = []
        self.running = self.most = 0
        self.began = asyncio.Event()
        self.go = asyncio.Event()
        self.fails: dict[str, Exception] = {}
        self.goodbye = 0
        """Turns of the loop that it takes to end."""
        if go:
            self.go.set()

    async def __call__(self, id: str) -> Value:  # noqa: A002
        self.asked.append(id)
        self.running += 1
        self.most = max(self.most, self.running)
        self.began.set()
        try:
            await self.go.wait()
            await asyncio.sleep(0)
            if id in self.fails:
                raise self.fails[id]
            return {"id": id}
        finally:
            for _ in range(self.goodbye):
                await asyncio.sleep(0)
            self.running -= 1

    async def many(self, ids: Sequence[str]) -> Mapping[str, Value]:
        self.batches.append(len(ids))
        values = await asyncio.gather(*map(self, ids), return_exceptions=True)
        return {
            id: value
            for id, value in zip(ids, values, strict=True)  # noqa: A001
            if not isinstance(value, BaseException)
        }


@pytest.fixture
def origin() -> Origin:
    """An origin that answers at once."""
    return Origin()


@pytest.fixture
async def cache(client: ValkeyClient) -> AsyncIterator[CacheService]:
    """A service on an empty server; a generous budget, for machines that stutter."""
    policies = {
        "metadata": NamespacePolicy(300, hottest=100),
        "stale": NamespacePolicy(0.001, jitter=0, stale=300),
    }
    async with CacheService(client, app="t", budget=1.0, policies=policies) as opened:
        yield opened


@pytest.fixture
def shelf(cache: CacheService) -> Shelf[Value]:
    """One namespace of it."""
    return cache.shelf("metadata")


IDS = [f"id-{n}" for n in range(600)]


async def test_only_what_is_missing_is_loaded(shelf: Shelf[Value], origin: Origin) -> None:
    """And what was there stays as it is."""
    await shelf.set_many(dict.fromkeys(IDS[:200], "there"))

    warmed = await warm(shelf, IDS, origin)

    assert (warmed.loaded, warmed.fresh, warmed.failures, warmed.stopped) == (400, 200, 0, False)
    assert sorted(origin.asked) == sorted(IDS[200:])
    assert await shelf.get_many(IDS) == {
        id: "there" if n < 200 else {"id": id}
        for n, id in enumerate(IDS)  # noqa: A001
    }


async def test_a_warming_counts_no_reads(
    cache: CacheService, shelf: Shelf[Value], origin: Origin
) -> None:
    """It changes neither the hit ratio nor what is hot."""
    await warm(shelf, IDS[:10], origin)
    await warm(shelf, IDS[:10], origin)

    stats = cache.stats()["metadata"]
    assert (stats.hits, stats.misses, stats.loads, stats.writes) == (0, 0, 10, 10)
    assert cache.hottest.top("metadata") == []


async def test_observers_hear_of_loads_that_nobody_waits_for(
    client: ValkeyClient, origin: Origin
) -> None:
    """As forced ones, and of no read."""
    heard = Recording()
    cache = CacheService(client, app="t", budget=1.0, observers=[heard])

    await warm(cache.shelf("metadata"), ["a"], origin)

    assert [(event[0], event[3]) for event in heard.events if event[0] != "wrote"] == [
        ("loaded", "forced")
    ]


async def test_how_entries_stand_is_asked_without_their_values(
    shelf: Shelf[Value], origin: Origin
) -> None:
    """A restart with a full cache costs a few bytes an entry."""
    await shelf.set_many(dict.fromkeys(IDS[:100], "x" * 10000))
    info = await shelf.works.client.info("stats")
    before = int(info["total_net_output_bytes"])

    warmed = await warm(shelf, IDS[:100], origin)

    info = await shelf.works.client.info("stats")
    assert warmed.fresh == 100
    assert int(info["total_net_output_bytes"]) - before < 20_000


async def test_refresh_loads_what_is_fresh_as_well(shelf: Shelf[Value], origin: Origin) -> None:
    """The new values take the place of the old."""
    await shelf.set_many(dict.fromkeys(IDS[:5], "old"))

    warmed = await warm(shelf, IDS[:10], origin, refresh=True)

    assert (warmed.loaded, warmed.fresh) == (10, 0)
    assert await shelf.get("id-0") == {"id": "id-0"}


async def test_what_is_stale_invalidated_or_foreign_is_loaded(
    cache: CacheService, origin: Origin
) -> None:
    """It would be a miss, or soon."""
    metadata, stale = cache.shelf("metadata"), cache.shelf("stale")
    await metadata.set("tagged", 1, tags=["models"])
    await metadata.set("kept", 1, tags=["others"])
    await cache.client.set("t:metadata:foreign", "text")
    await cache.client.hset("t:metadata:hash", {"a": 1})
    await cache.invalidate_tag("models")
    await stale.set("a", "old")
    await asyncio.sleep(0.01)  # the server's clock has to move

    assert (await warm(metadata, ["tagged", "kept", "foreign", "hash"], origin)).loaded == 3
    assert (await warm(stale, ["a"], origin)).loaded == 1
    assert await stale.get("a") == {"id": "a"}
    assert await metadata.get("hash") == {"id": "hash"}


async def test_ttl_and_tags_are_the_entries(shelf: Shelf[Value], origin: Origin) -> None:
    """As with `Shelf.set`."""
    await warm(shelf, ["a"], origin, ttl=60, tags=["models"])

    assert 55 < (await shelf.works.client.ttl("t:metadata:a") or 0) <= 60
    assert (await warm(shelf, ["a"], origin, tags=["models"])).fresh == 1


async def test_no_more_loads_run_at_once_than_allowed(shelf: Shelf[Value], origin: Origin) -> None:
    """And as many as that do."""
    await warm(shelf, IDS, origin, pace=Pace(concurrency=5))

    assert origin.most == 5


async def test_no_more_are_begun_in_a_second_than_allowed(
    shelf: Shelf[Value], origin: Origin
) -> None:
    """Evenly, without a burst at the beginning."""
    clock = RushingClock()
    pace = Pace(per_second=50, clock=clock, sleep=clock.sleep)

    warmed = await warm(shelf, IDS[:100], origin, pace=pace)

    assert warmed.seconds == pytest.approx(99 / 50)
    assert max(clock.slept) == pytest.approx(1 / 50)


async def test_ids_may_come_from_a_query(shelf: Shelf[Value], origin: Origin) -> None:
    """Read as they are needed: a million rows take no memory."""
    ahead: list[int] = []

    async def rows() -> AsyncIterator[str]:
        for number, id in enumerate(IDS):  # noqa: A001
            ahead.append(number - len(origin.asked))
            yield id

    warmed = await warm(shelf, rows(), origin, pace=Pace(concurrency=1))

    assert warmed.loaded == 600
    assert max(ahead) <= 256 + 1


async def test_the_querys_own_failure_is_the_callers(shelf: Shelf[Value], origin: Origin) -> None:
    """Nothing goes on after it."""

    def rows() -> Iterator[str]:
        yield from IDS[:256]
        raise ConnectionError("the database is gone")

    with pytest.raises(ConnectionError):
        await warm(shelf, rows(), origin)

    assert origin.running == 0


async def test_failures_are_counted_by_kind(shelf: Shelf[Value], origin: Origin) -> None:
    """One bad id does not keep the others from being loaded."""
    origin.fails = {"id-1": LookupError("x"), "id-2": LookupError("x"), "id-3": ValueError("x")}
    seen: list[Warmed] = []

    warmed = await warm(shelf, [*IDS[:10], "two words", ""], origin, progress=seen.append)

    assert warmed.loaded == 7
    assert warmed.failed == {"LookupError": 2, "ValueError": 1, "invalid_key": 2}
    assert not warmed.stopped
    assert seen[-1].loaded == 7
    assert [step.loaded for step in seen] == sorted(step.loaded for step in seen)


async def test_what_cannot_be_stored_is_a_failure(cache: CacheService, origin: Origin) -> None:
    """The entry is not there, whatever the reason."""
    tiny = CacheService(cache.client, app="t", budget=1.0, max_value_bytes=5)

    warmed = await warm(tiny.shelf("metadata"), ["a"], origin)

    assert (warmed.loaded, warmed.failed) == (0, {"not_stored": 1})


async def test_it_stops_after_too_many_failures(shelf: Shelf[Value], origin: Origin) -> None:
    """An origin that is down is not asked six hundred times."""
    origin.fails = {id: ConnectionError("down") for id in IDS}  # noqa: A001

    warmed = await warm(shelf, IDS, origin, pace=Pace(concurrency=2, max_failures=10))

    assert warmed.stopped
    assert 10 <= warmed.failures <= 12
    assert len(origin.asked) <= 12


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_query_that_is_not_needed_any_more_is_closed(
    shelf: Shelf[Value], origin: Origin, is_async: bool
) -> None:
    """So that its cursor is free."""
    origin.fails = {id: ConnectionError("down") for id in IDS}  # noqa: A001
    closed: list[bool] = []

    def rows() -> Iterator[str]:
        try:
            yield from IDS
        finally:
            closed.append(True)

    async def async_rows() -> AsyncIterator[str]:
        try:
            for id in IDS:  # noqa: A001
                yield id
        finally:
            closed.append(True)

    query = async_rows() if is_async else rows()
    await warm(shelf, query, origin, pace=Pace(max_failures=1))

    assert closed == [True]


async def test_a_load_that_hangs_fails_in_time(shelf: Shelf[Value]) -> None:
    """And gives its lease back."""
    origin = Origin(go=False)

    warmed = await warm(shelf, ["a"], origin, pace=Pace(timeout=0.01))

    assert warmed.failed == {"TimeoutError": 1}
    assert origin.running == 0


async def test_a_loader_that_cancels_itself_is_a_failure(shelf: Shelf[Value]) -> None:
    """Not a cancellation of the warming."""

    async def cancelled(id: str) -> Value:  # noqa: A002
        raise asyncio.CancelledError

    assert (await warm(shelf, ["a", "b"], cancelled)).failed == {"CancelledError": 2}


@pytest.mark.parametrize("bulk", [False, True])
async def test_cancelling_leaves_nothing_running(endpoint: Endpoint, bulk: bool) -> None:
    """Neither a loader nor a task."""
    origin = Origin(go=False)
    origin.goodbye = 20
    before = asyncio.all_tasks()
    async with ValkeyClient(endpoint) as client:
        shelf = CacheService(client, app="t", budget=1.0).shelf("metadata")
        warming = asyncio.create_task(
            warm_in_bulk(shelf, IDS, origin.many) if bulk else warm(shelf, IDS, origin)
        )
        await origin.began.wait()

        warming.cancel()
        with pytest.raises(asyncio.CancelledError):
            await warming

        assert origin.running == 0
        mine = {task for task in asyncio.all_tasks() if "warm" in str(task.get_coro())}
        assert not mine
    assert asyncio.all_tasks() == before


@pytest.mark.parametrize("bulk", [False, True])
async def test_processes_that_warm_the_same_share_the_work(endpoint: Endpoint, bulk: bool) -> None:
    """Three at once: each id is loaded by one of them."""
    origins = [Origin(), Origin(), Origin()]
    async with AsyncExitStack() as stack:
        works = []
        for number, origin in enumerate(origins):
            client = await stack.enter_async_context(ValkeyClient(endpoint))
            shelf = CacheService(client, app="t", budget=1.0).shelf("metadata")
            works.append(
                warm_in_bulk(shelf, IDS[:200], origin.many, batch=20)
                if bulk
                else warm(shelf, IDS[:200], origin, rng=random.Random(number))
            )

        warmed = await asyncio.gather(*works)

    asked = [id for origin in origins for id in origin.asked]  # noqa: A001
    assert sorted(asked) == sorted(IDS[:200])
    assert [report.loaded + report.fresh for report in warmed] == [200] * 3
    assert sum(report.loaded for report in warmed) == 200


async def test_a_value_loaded_before_an_invalidation_is_not_stored(cache: CacheService) -> None:
    """A warming obeys what every load obeys."""
    shelf, origin = cache.shelf("metadata"), Origin(go=False)
    warming = asyncio.create_task(warm(shelf, ["a"], origin))
    await origin.began.wait()

    await cache.invalidate("metadata")
    origin.go.set()

    assert (await warming).failed == {"not_stored": 1}
    assert await shelf.get("a") is None


async def test_a_loader_of_many_gets_batches(shelf: Shelf[Value], origin: Origin) -> None:
    """Full ones, of what is missing; what it does not return is absent."""
    await shelf.set_many(dict.fromkeys(IDS[:300:2], "there"))
    origin.fails = {"id-1": LookupError("none")}

    warmed = await warm_in_bulk(shelf, IDS[:300], origin.many, batch=40, pace=Pace(concurrency=1))

    assert (warmed.loaded, warmed.fresh, warmed.failed) == (149, 150, {"absent": 1})
    assert origin.batches == [40, 40, 40, 30]
    assert await shelf.get("id-3") == {"id": "id-3"}


async def test_a_loader_of_many_that_raises_fails_its_batch(shelf: Shelf[Value]) -> None:
    """And no other one."""

    async def many(ids: Sequence[str]) -> Mapping[str, Value]:
        if "id-0" in ids:
            raise ConnectionError("down")
        return dict.fromkeys(ids, 1)

    warmed = await warm_in_bulk(shelf, IDS[:100], many, batch=30)

    assert (warmed.loaded, warmed.failed) == (70, {"ConnectionError": 30})


async def test_a_loader_of_many_that_hangs_fails_in_time(shelf: Shelf[Value]) -> None:
    """The whole batch."""
    origin = Origin(go=False)

    warmed = await warm_in_bulk(shelf, IDS[:3], origin.many, pace=Pace(timeout=0.01))

    assert warmed.failed == {"TimeoutError": 3}
    assert origin.running == 0


async def test_without_the_server_nothing_is_loaded(server: MortalServer, origin: Origin) -> None:
    """What cannot be stored is not worth a call of the origin."""
    async with ValkeyClient(server.endpoint) as client:
        shelf = CacheService(client, app="t").shelf("metadata")
        server.kill()

        warmed = await warm(shelf, IDS, origin)

    assert warmed.stopped
    assert warmed.loaded == 0
    assert set(warmed.failed) <= {"unreachable", "breaker_open"}
    assert origin.asked == []


async def test_the_hottest_ids_of_the_last_run_are_warmed(
    client: ValkeyClient, cache: CacheService, shelf: Shelf[Value], origin: Origin, tmp_path: Path
) -> None:
    """From the server, or from a file; at most so many."""
    for number, id in enumerate(["cold", "warm", "hot"]):  # noqa: A001
        for _ in range(number + 1):
            await shelf.get(id)
    file = tmp_path / "hottest.json"
    await cache.hottest.save_to(file)
    await cache.aclose()
    started = CacheService(client, app="t", budget=1.0)

    by_server = await warm_hottest(started.shelf("metadata"), origin, limit=2)
    by_file = await warm_hottest(started.shelf("metadata"), origin, file=file)

    assert (by_server.loaded, by_file.loaded, by_file.fresh) == (2, 1, 2)
    assert sorted(origin.asked) == ["cold", "hot", "warm"]
    assert (await warm_hottest(started.shelf("context"), origin)).loaded == 0


async def test_an_application_starts_without_its_hottest_ids(
    server: MortalServer, origin: Origin, tmp_path: Path
) -> None:
    """The server is away, or the file is broken: that is said, and raised nowhere."""
    file = tmp_path / "hottest.json"
    file.write_text("{")
    async with ValkeyClient(server.endpoint) as client:
        shelf = CacheService(client, app="t").shelf("metadata")
        server.kill()

        by_server = await warm_hottest(shelf, origin)
        by_file = await warm_hottest(shelf, origin, file=file)

    assert by_server.failed in ({"unreachable": 1}, {"breaker_open": 1})
    assert by_file.failed == {"folder": 1}


async def test_what_cannot_be_meant_is_refused(cache: CacheService, origin: Origin) -> None:
    """Before anything is loaded."""
    shelf = cache.shelf("metadata")

    with pytest.raises(InvalidKeyError):
        await warm(cache.shelf("Bad"), ["a"], origin, ttl=1)
    with pytest.raises(InvalidKeyError, match="no policy"):
        await warm(cache.shelf("unheard"), ["a"], origin)
    with pytest.raises(UsageError):
        await warm(shelf, ["a"], origin, ttl=0)
    with pytest.raises(InvalidKeyError):
        await warm(shelf, ["a"], origin, tags=["two words"])
    with pytest.raises(UsageError, match="batch"):
        await warm_in_bulk(shelf, ["a"], origin.many, batch=0)
    assert origin.asked == []


@pytest.mark.parametrize(
    "wrong", [{"concurrency": 0}, {"per_second": 0}, {"timeout": -1}, {"max_failures": 0}]
)
def test_a_pace_has_its_bounds(wrong: dict[str, int]) -> None:
    """Each is told by its name."""
    with pytest.raises(UsageError, match=next(iter(wrong))):
        Pace(**wrong)  # type: ignore[arg-type]


async def test_waiting_for_ones_turn_can_be_cancelled(shelf: Shelf[Value], origin: Origin) -> None:
    """However slow the pace."""
    clock = MovingClock()
    pace = Pace(per_second=0.001, clock=clock, sleep=clock.sleep)
    warming = asyncio.create_task(warm(shelf, IDS[:5], origin, pace=pace))
    await origin.began.wait()

    warming.cancel()
    with pytest.raises(asyncio.CancelledError):
        await warming

    assert len(origin.asked) == 1


@pytest.mark.slow
async def test_warming_works_on_a_cluster(tmp_path: Path, origin: Origin) -> None:
    """Whose entries, versions, tags and hot ids lie on several servers."""
    with ClusterDeployment(tmp_path, primaries=2, replicas=False) as deployment:
        async with ValkeyClient(deployment.endpoint) as client:
            policies = {"metadata": NamespacePolicy(300, hottest=100)}
            cache = CacheService(client, app="t", budget=1.0, policies=policies)
            shelf = cache.shelf("metadata")

            first = await warm(shelf, IDS[:100], origin, tags=["models"])
            again = await warm(shelf, IDS[:100], origin, tags=["models"])
            await cache.invalidate_tag("models")
            bulk = await warm_in_bulk(shelf, IDS[:100], origin.many, tags=["models"])
            await shelf.get("id-0")
            await cache.aclose()
            hottest = await cache.hottest.stored("metadata")

    assert (first.loaded, again.fresh, bulk.loaded) == (100, 100, 100)
    assert [hot.id for hot in hottest] == ["id-0"]
