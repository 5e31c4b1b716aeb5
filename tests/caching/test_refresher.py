"""Entries that are renewed before they end, by one process of all, whatever the origin does."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable

import pytest
from structlog.testing import capture_logs

from tests.caching.conftest import MortalServer
from tests.caching.moving import MovingClock, settle
from valkeyctl.caching import CacheService, NamespacePolicy, Refresher, ValkeyClient, cached
from valkeyctl.caching.codec import Value
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import InvalidKeyError, UsageError

TTL = 100.0


class Origin:
    """Counts its calls; fails, or hangs, while it is told to."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.fails: Exception | None = None
        self.go = asyncio.Event()
        self.go.set()

    async def __call__(self, id: str) -> Value:  # noqa: A002
        self.calls.append(id)
        await self.go.wait()
        if self.fails is not None:
            raise self.fails
        return f"{id}-{len(self.calls)}"


@pytest.fixture
def origin() -> Origin:
    """An origin that answers."""
    return Origin()


@pytest.fixture
def clock() -> MovingClock:
    """The refresher's clock; entries live by the server's."""
    return MovingClock()


@pytest.fixture
async def cache(client: ValkeyClient) -> AsyncIterator[CacheService]:
    """A service on an empty server; a generous budget, for machines that stutter."""
    async with CacheService(client, app="t", budget=1.0, policies=policies()) as opened:
        yield opened


def policies() -> dict[str, NamespacePolicy]:
    """Return those of the tests."""
    return {"metadata": NamespacePolicy(TTL, jitter=0, hottest=10)}


def refresher(clock: MovingClock, **options: float) -> Refresher:
    """Return one whose time is the test's."""
    return Refresher(clock=clock, sleep=clock.sleep, rng=random.Random(1), **options)  # type: ignore[arg-type]


async def until(true: Callable[[], bool]) -> None:
    """Let the loop run until something is so, which happens on a real server."""
    for _ in range(5000):
        if true():
            # Whoever made it so goes to sleep first: the clock moves only past sleepers.
            await settle()
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it did not come")


async def renewals(refreshing: Refresher, number: int) -> None:
    """Let the loop run until so many entries were renewed."""
    await until(lambda: refreshing.stats().renewed == number)


async def failures(refreshing: Refresher, number: int) -> None:
    """Let the loop run until so many attempts failed."""
    await until(lambda: sum(refreshing.stats().failed.values()) == number)


async def asleep(clock: MovingClock, times: int) -> None:
    """Let the loop run until the refresher has gone to sleep so often."""
    await until(lambda: len(clock.slept) >= times)


async def test_what_is_missing_is_loaded_and_then_renewed_before_its_end(
    cache: CacheService, clock: MovingClock, origin: Origin
) -> None:
    """At about a fifth of its ttl from the end, again and again."""
    shelf = cache.shelf("metadata")
    async with refresher(clock) as refreshing:
        refreshing.add(shelf, "a", origin)
        await renewals(refreshing, 1)
        assert await shelf.get("a") == "a-1"

        for round_ in (2, 3):
            await asleep(clock, round_ - 1)
            clock.move(0.69 * TTL)
            await cache.client.expire("t:metadata:a", 0.31 * TTL)
            await asyncio.sleep(0.01)
            assert len(origin.calls) == round_ - 1
            clock.move(0.12 * TTL)
            await cache.client.expire("t:metadata:a", 0.19 * TTL)
            await renewals(refreshing, round_)

    assert await shelf.get("a") == "a-3"
    assert (cache.stats()["metadata"].misses, cache.stats()["metadata"].hits) == (0, 2)


async def test_what_somebody_else_renewed_is_left_alone(
    cache: CacheService, clock: MovingClock, origin: Origin
) -> None:
    """It is looked at, and found fresh."""
    shelf = cache.shelf("metadata")
    await shelf.set("a", "there")

    async with refresher(clock) as refreshing:
        refreshing.add(shelf, "a", origin)
        await until(lambda: refreshing.stats().fresh == 1)
        clock.move(0.85 * TTL)
        await until(lambda: refreshing.stats().fresh == 2)

    assert origin.calls == []
    assert await shelf.get("a") == "there"


async def test_one_process_of_all_renews(endpoint: Endpoint, clock: MovingClock) -> None:
    """Each id is loaded once, however many processes keep it."""
    origin, ids = Origin(), [f"id-{n}" for n in range(20)]
    clients = [ValkeyClient(endpoint) for _ in range(3)]
    refreshers = [refresher(clock) for _ in clients]
    for client, refreshing in zip(clients, refreshers, strict=True):
        shelf = CacheService(client, app="t", budget=1.0, policies=policies()).shelf("metadata")
        for id in ids:  # noqa: A001
            refreshing.add(shelf, id, origin)
        refreshing.start()

    def settled() -> bool:
        stats = [refreshing.stats() for refreshing in refreshers]
        return all(s.renewed + s.shared + s.fresh >= len(ids) for s in stats)

    await until(settled)
    for refreshing in refreshers:
        await refreshing.aclose()
    for client in clients:
        await client.aclose()

    assert sorted(origin.calls) == sorted(ids)
    assert sum(refreshing.stats().renewed for refreshing in refreshers) == len(ids)


async def test_a_loader_that_fails_is_tried_again_with_growing_pauses(
    cache: CacheService, clock: MovingClock, origin: Origin
) -> None:
    """One line in the log says so; after a success all begins anew."""
    shelf = cache.shelf("metadata")
    origin.fails = ConnectionError("down")
    with capture_logs() as logs:
        async with refresher(clock) as refreshing:
            refreshing.add(shelf, "a", origin)
            pauses = []
            for number in (1, 2, 3, 4):
                await failures(refreshing, number)
                await asleep(clock, number)
                pauses.append(clock.slept[-1])
                clock.move(pauses[-1] - 0.01)
                await asyncio.sleep(0.005)
                assert len(origin.calls) == number
                clock.move(0.02)
            origin.fails = None
            clock.move(60)
            await renewals(refreshing, 1)
            origin.fails = ConnectionError("down again")
            await cache.client.delete("t:metadata:a")
            clock.move(TTL)
            await failures(refreshing, 5)
            await until(lambda: clock.slept[-1] <= 1)

    assert [0.5 * 2**n <= pause <= 2**n for n, pause in enumerate(pauses)] == [True] * 4
    assert [log["event"] for log in logs].count("cache_refresh_failed") == 2


async def test_a_loader_that_hangs_takes_no_place_for_ever(
    cache: CacheService, clock: MovingClock, origin: Origin
) -> None:
    """It fails after its time, and the others get their turn."""
    origin.go.clear()
    shelf = cache.shelf("metadata")

    async with refresher(clock, concurrency=1, timeout=0.02) as refreshing:
        refreshing.add(shelf, "a", origin)
        refreshing.add(shelf, "b", Origin())
        await renewals(refreshing, 1)

    assert refreshing.stats().failed == {"TimeoutError": 1}
    assert await shelf.get("b") == "b-1"


async def test_it_outlives_the_server(
    server: MortalServer, clock: MovingClock, origin: Origin
) -> None:
    """Nothing is loaded in vain meanwhile."""
    async with ValkeyClient(server.endpoint, deadline=0.2) as client:
        shelf = CacheService(client, app="t", budget=1.0).shelf("metadata")
        server.kill()
        async with refresher(clock) as refreshing:
            refreshing.add(shelf, "a", origin)
            await failures(refreshing, 1)
            assert origin.calls == []
            server.start()

            async def renewed() -> None:
                while not refreshing.stats().renewed:
                    clock.move(60)
                    await asyncio.sleep(0.01)

            await asyncio.wait_for(renewed(), 5)

        assert await shelf.get("a") == "a-1"


async def test_no_more_loads_run_at_once_than_allowed(
    cache: CacheService, clock: MovingClock, origin: Origin
) -> None:
    """The rest waits for its turn."""
    origin.go.clear()
    async with refresher(clock, concurrency=3) as refreshing:
        for number in range(10):
            refreshing.add(cache.shelf("metadata"), f"id-{number}", origin)
        await until(lambda: len(origin.calls) == 3)
        await asyncio.sleep(0.01)
        assert len(origin.calls) == 3

        origin.go.set()
        await renewals(refreshing, 10)


async def test_closing_ends_loads_in_progress(
    cache: CacheService, clock: MovingClock, origin: Origin
) -> None:
    """And can be done twice, or without a start; it begins again where it was."""
    origin.go.clear()
    shelf = cache.shelf("metadata")
    refreshing = refresher(clock)
    await refreshing.aclose()
    refreshing.start()
    refreshing.start()
    refreshing.add(shelf, "a", origin)
    await until(lambda: len(origin.calls) == 1)

    await refreshing.aclose()
    await refreshing.aclose()

    mine = {task for task in asyncio.all_tasks() if "Refresher" in str(task.get_coro())}
    assert not mine
    assert refreshing.stats().kept == 1


async def test_an_id_can_be_let_go(cache: CacheService, clock: MovingClock, origin: Origin) -> None:
    """Its entry ends by itself; one that is added again is kept as said then."""
    shelf, other = cache.shelf("metadata"), Origin()
    async with refresher(clock) as refreshing:
        refreshing.add(shelf, "a", origin)
        refreshing.add(shelf, "b", origin)
        refreshing.add(shelf, "b", other)
        assert refreshing.discard(shelf, "a")
        assert not refreshing.discard(shelf, "a")
        await renewals(refreshing, 1)

    assert refreshing.stats().kept == 1
    assert (origin.calls, other.calls) == ([], ["b"])


async def test_a_cached_call_can_be_kept_fresh(cache: CacheService, clock: MovingClock) -> None:
    """With the key, ttl and tags of its decorator."""
    calls: list[str] = []

    @cache.cached("metadata", ttl=50, tags=["models"])
    async def load(name: str, *, size: int = 1) -> list[str]:
        calls.append(name)
        return [name] * size

    async with refresher(clock) as refreshing:
        refreshing.add_call(load, "a", size=2)
        await renewals(refreshing, 1)
        assert await load("a", size=2) == ["a", "a"]
        await cache.invalidate_tag("models")
        clock.move(50)
        await renewals(refreshing, 2)
        with pytest.raises(UsageError, match="has no cache yet"):
            refreshing.add_call(cached(lambda: None, "metadata")(load.uncached), "a")

    assert calls == ["a", "a"]
    assert 45 < (await cache.client.ttl(f"t:metadata:{load.id('a', size=2)}") or 0) <= 50


async def test_an_id_can_be_let_go_while_it_is_loaded(
    cache: CacheService, clock: MovingClock, origin: Origin
) -> None:
    """It is not looked at again."""
    origin.go.clear()
    shelf = cache.shelf("metadata")
    async with refresher(clock) as refreshing:
        refreshing.add(shelf, "a", origin)
        await until(lambda: len(origin.calls) == 1)
        assert refreshing.discard(shelf, "a")
        origin.go.set()
        await renewals(refreshing, 1)
        await cache.client.delete("t:metadata:a")
        clock.move(TTL)
        refreshing.add(shelf, "b", origin)
        await renewals(refreshing, 2)

    assert origin.calls == ["a", "b"]


async def test_the_hottest_ids_are_kept_fresh(
    cache: CacheService, clock: MovingClock, origin: Origin
) -> None:
    """As many as asked for; one that has cooled is let go."""
    shelf = cache.shelf("metadata")
    for number, id in enumerate(["cold", "warm", "hot"]):  # noqa: A001
        for _ in range(number + 1):
            await shelf.get(id)

    async with refresher(clock, rescan=60) as refreshing:
        refreshing.add_hottest(shelf, origin, limit=2)
        await renewals(refreshing, 2)
        assert sorted(origin.calls) == ["hot", "warm"]

        for _ in range(5):
            await shelf.get("new")
            await shelf.get("cold")
        await asleep(clock, 1)
        clock.move(61)
        await until(lambda: {"new", "cold"} <= set(origin.calls))

        assert refreshing.stats().kept == 2
        assert not refreshing.discard(shelf, "hot")


async def test_an_id_that_was_named_stays_as_it_was_said(
    cache: CacheService, clock: MovingClock, origin: Origin
) -> None:
    """Also while it is hot, and after."""
    shelf, named = cache.shelf("metadata"), Origin()
    for _ in range(3):
        await shelf.get("a")
    async with refresher(clock, rescan=60) as refreshing:
        refreshing.add(shelf, "a", named)
        refreshing.add_hottest(shelf, origin, limit=1)
        await renewals(refreshing, 1)
        for _ in range(9):
            await shelf.get("b")
        await asleep(clock, 1)
        clock.move(61)
        await until(lambda: origin.calls == ["b"])

        assert refreshing.stats().kept == 2
    assert named.calls == ["a"]


async def test_ids_that_no_entry_can_have_are_passed_over(
    cache: CacheService, clock: MovingClock, origin: Origin
) -> None:
    """Somebody may ask for them again and again."""
    shelf = cache.shelf("metadata")
    for _ in range(3):
        with pytest.raises(InvalidKeyError):
            await shelf.get("two words")
    await shelf.get("a")

    async with refresher(clock) as refreshing:
        refreshing.add_hottest(shelf, origin)
        await renewals(refreshing, 1)

    assert origin.calls == ["a"]


async def test_what_cannot_be_meant_is_refused(cache: CacheService, origin: Origin) -> None:
    """Where it is said."""
    refreshing = Refresher()

    for wrong in ({"ahead": 0}, {"ahead": 0.6}, {"concurrency": 0}, {"rescan": 0}):
        with pytest.raises(UsageError, match="a refresher needs"):
            Refresher(**wrong)
    for wrong in ({"per_second": 0}, {"timeout": 0}):
        with pytest.raises(UsageError, match="above zero"):
            Refresher(**wrong)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="does not count"):
        refreshing.add_hottest(cache.shelf("other"), origin, ttl=1)
    with pytest.raises(InvalidKeyError):
        refreshing.add(cache.shelf("metadata"), "two words", origin)
    with pytest.raises(InvalidKeyError, match="no policy"):
        refreshing.add(cache.shelf("other"), "a", origin)
