"""Loads that several processes want at the same time: one loads, the others are woken."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from tests.caching.loading import LEASE, holds, is_waiting, loads, nothing_is_left, waits
from tests.caching.origin import Origin, Process, is_awaited, until
from valkeyctl.caching import CacheService, NamespacePolicy
from valkeyctl.caching.entries import Bid


async def test_who_waits_gets_the_value_as_soon_as_it_is_stored(
    first: CacheService, second: CacheService
) -> None:
    """Woken, not polling; the origin is called once."""
    slow, other = Origin("v", held=True), Origin()
    holder = await holds(first, slow)
    callers = [await waits(second, other)]
    callers += [loads(second, other) for _ in range(9)]

    slow.go.set()
    await holder
    began = time.perf_counter()
    values = await asyncio.gather(*callers)

    assert values == ["v"] * 10
    assert time.perf_counter() - began < 0.2  # 1 ms on a quiet machine; the lease is 5 s
    assert (slow.calls, other.calls) == (1, 0)
    assert second.stats()["metadata"].collapsed == 10
    assert await first.client.exists(LEASE) == 0


async def test_a_holder_that_raises_lets_the_others_load_at_once(
    first: CacheService, second: CacheService, third: CacheService
) -> None:
    """Its error is its own callers' answer; the others have loaders of their own."""
    failing = Origin(LookupError("no such model"), held=True)
    others = [Origin("mine", held=True), Origin("mine", held=True)]
    holder = await holds(first, failing)
    callers = [await waits(second, others[0]), loads(third, others[1])]
    await until(lambda: is_waiting(third))

    failing.go.set()

    with pytest.raises(LookupError, match="no such model"):
        await holder
    async with asyncio.timeout(1):
        for origin in others:
            await origin.began.wait()  # and not one after the other
            origin.go.set()
        assert [await caller for caller in callers] == ["mine"] * 2
    assert await first.get("metadata", "k") == "mine"


async def test_a_holder_that_is_cancelled_is_followed_at_once(
    first: CacheService, second: CacheService
) -> None:
    """By exactly one of the others."""
    origins = [Origin(n) for n in range(3)]
    holder = await holds(first, Origin(held=True))
    callers = [await waits(second, origin) for origin in origins]

    holder.cancel()

    assert len(set(await asyncio.wait_for(asyncio.gather(*callers), 1))) == 1
    assert sum(origin.calls for origin in origins) == 1


async def test_a_holder_that_died_is_waited_for_no_longer_than_its_lease(
    first: CacheService, process: Process
) -> None:
    """Nobody renews it and nobody gives it back."""
    place = first.keys.place("metadata", "k")
    await first._works.entries.claim([Bid(place, 0.2, 60)], deadline=1)
    processes = [await process() for _ in range(3)]
    origins = [Origin(n) for n in range(3)]
    began = time.monotonic()

    values = await asyncio.gather(
        *(loads(cache, origin) for cache, origin in zip(processes, origins, strict=True))
    )

    assert time.monotonic() - began < 0.2 + 0.5
    assert len(set(values)) == 1
    assert sum(origin.calls for origin in origins) == 1


async def test_a_lease_is_renewed_as_long_as_the_load_takes(process: Process) -> None:
    """A model may take minutes to answer; the others go on waiting."""
    first, second = await process(lease=0.09), await process(lease=0.09)
    slow, other = Origin("v", held=True), Origin()
    holder = await holds(first, slow)
    caller = await waits(second, other)

    await asyncio.sleep(0.3)  # what a lease is: real time of the server
    slow.go.set()

    assert [await holder, await caller] == ["v", "v"]
    assert other.calls == 0
    await until(lambda: nothing_is_left(first, second))


@pytest.mark.parametrize("why", ["not kept", "too large", "not encodable", "none"])
async def test_a_value_that_is_not_stored_lets_the_others_load_at_once(
    process: Process, why: str
) -> None:
    """They would find nothing, however long they waited."""
    policies = {"metadata": NamespacePolicy(60, max_value_bytes=100, negative_ttl=0)}
    first, second = await process(policies=policies), await process(policies=policies)
    values = {"too large": "x" * 101, "not encodable": (1, 2), "none": None}
    slow = Origin(values.get(why, "v"), held=True)
    holder = asyncio.create_task(
        first.fetch("metadata", "k", slow, keep=lambda _: why != "not kept")
    )
    await slow.began.wait()
    caller = await waits(second, Origin("mine"))

    slow.go.set()

    assert (await holder).value == values.get(why, "v")
    assert await asyncio.wait_for(caller, 1) == "mine"
    assert await first.get("metadata", "k") == "mine"


async def test_a_keep_that_raises_reaches_its_caller_and_frees_the_others(
    first: CacheService, second: CacheService
) -> None:
    """A bug of the application, told to the application."""
    slow = Origin("v", held=True)

    def keep(_: object) -> bool:
        raise ZeroDivisionError

    holder = asyncio.create_task(first.fetch("metadata", "k", slow, keep=keep))
    await slow.began.wait()
    caller = await waits(second, Origin("mine"))

    slow.go.set()

    with pytest.raises(ZeroDivisionError):
        await holder
    assert await asyncio.wait_for(caller, 1) == "mine"


CHANGES: dict[str, Callable[[CacheService], Awaitable[object]]] = {
    "set": lambda cache: cache.set("metadata", "k", "set"),
    "delete": lambda cache: cache.delete("metadata", "k"),
    "invalidate": lambda cache: cache.invalidate("metadata"),
    "invalidate_tag": lambda cache: cache.invalidate_tag("x"),
}


@pytest.mark.parametrize("how", CHANGES)
async def test_what_another_process_changes_during_a_load_is_not_undone(
    first: CacheService, second: CacheService, third: CacheService, how: str
) -> None:
    """Who came before gets the old value or a newer one; who comes after never the old one."""
    slow, mine, late = Origin("old", held=True), Origin("mine"), Origin("new")
    holder = loads(first, slow, tags=["x"])
    await slow.began.wait()
    joined = loads(first, mine, tags=["x"])
    waiting = loads(second, mine, tags=["x"])
    await until(lambda: is_awaited(second.client, LEASE))

    await CHANGES[how](third)
    after = [loads(cache, late, tags=["x"]) for cache in (first, second, third)]
    values_after = [await asyncio.wait_for(caller, 1) for caller in after]
    slow.go.set()

    new = {"set"} if how == "set" else {"new", "mine"}
    assert set(values_after) <= new
    assert await holder == "old"
    assert await joined in {"old", *new}
    assert await asyncio.wait_for(waiting, 1) in {"old", *new}
    for cache in (first, second, third):
        assert await cache.get("metadata", "k") in new
    assert late.calls <= 1
    await until(lambda: nothing_is_left(first, second, third))


async def test_who_waited_for_a_load_that_was_superseded_is_woken_by_the_next(
    first: CacheService, second: CacheService, third: CacheService
) -> None:
    """The lease that it waited for has gone without a word."""
    slow, next_ = Origin("old", held=True), Origin("new", held=True)
    holder = await holds(first, slow)
    waiting = await waits(second, Origin("mine"))
    await third.invalidate("metadata")
    successor = await holds(third, next_)

    slow.go.set()
    await holder
    next_.go.set()

    assert await successor == "new"
    assert await asyncio.wait_for(waiting, 1) == "new"


async def test_a_forced_load_takes_over_and_its_value_stays(
    first: CacheService, second: CacheService, third: CacheService
) -> None:
    """Who asks for a new value does not get one whose loading has begun before."""
    slow = Origin("old", held=True)
    holder = await holds(first, slow)
    waiting = await waits(second, Origin("mine"))

    forced = await third.fetch("metadata", "k", Origin("new"), refresh=True)
    own = await first.fetch("metadata", "k", Origin("newest"), refresh=True)
    slow.go.set()

    assert (forced.value, forced.outcome) == ("new", "miss")
    assert (own.value, own.outcome) == ("newest", "miss")
    assert await holder == "old"
    assert await asyncio.wait_for(waiting, 1) in {"new", "newest"}
    assert await third.get("metadata", "k") == "newest"


async def test_loads_with_other_tags_are_not_shared(
    first: CacheService, second: CacheService
) -> None:
    """The entry must carry the tags that its caller gave; the last one to begin stores it."""
    slow = Origin("untagged", held=True)
    holder = await holds(first, slow)

    tagged = await asyncio.wait_for(loads(second, Origin("tagged"), tags=["x", "y"]), 1)
    slow.go.set()

    assert (await holder, tagged) == ("untagged", "tagged")
    assert await first.get("metadata", "k") == "tagged"
    await first.invalidate_tag("y")
    assert await first.get("metadata", "k") is None


async def test_the_order_of_tags_makes_no_other_load(
    first: CacheService, second: CacheService
) -> None:
    """A set of strings has another order in every process."""
    # So that the two tags have different versions.
    await first.set("metadata", "a", 1, tags=["x"])
    await first.set("metadata", "b", 1, tags=["y"])
    slow, other = Origin("v", held=True), Origin()
    holder = loads(first, slow, tags=["x", "y"])
    await slow.began.wait()
    caller = loads(second, other, tags=["y", "x", "y"])
    await until(lambda: is_awaited(second.client, LEASE))

    slow.go.set()

    assert [await holder, await caller] == ["v", "v"]
    assert other.calls == 0


async def test_a_loader_may_ask_for_its_own_entry(
    first: CacheService, second: CacheService
) -> None:
    """Also in a task of its own: it would wait for itself for ever."""

    async def inner() -> str:
        return "inner"

    async def direct() -> object:
        return await first.get_or_load("metadata", "k", inner)

    async def in_a_task() -> object:
        async with asyncio.TaskGroup() as group:
            return await group.create_task(first.get_or_load("metadata", "k2", inner))

    assert await asyncio.wait_for(first.get_or_load("metadata", "k", direct), 1) == "inner"
    assert await asyncio.wait_for(first.get_or_load("metadata", "k2", in_a_task), 1) == "inner"
    assert await second.get_many("metadata", ["k", "k2"]) == {"k": "inner", "k2": "inner"}
    await until(lambda: nothing_is_left(first))
