"""Waiting for another process while connections, servers and callers go away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import pytest

from tests.caching.conftest import MortalServer
from tests.caching.loading import KEY, LEASE, holds, joined, loads, nothing_is_left, waits
from tests.caching.origin import Origin, Process, make_older, until
from tests.caching.proxy import Proxy
from valkeyctl.caching import CacheService, NamespacePolicy
from valkeyctl.caching.entries import Bid, Claim, Granted
from valkeyctl.endpoint import Endpoint


async def test_a_lost_subscription_makes_nobody_hang(
    first: CacheService, second: CacheService
) -> None:
    """Whoever waits then looks from time to time, until it listens again."""
    slow, other = Origin("v", held=True), Origin()
    holder = await holds(first, slow)
    caller = await waits(second, other)

    await first.client.execute("CLIENT", "KILL", "TYPE", "pubsub")
    slow.go.set()
    await holder

    assert await asyncio.wait_for(caller, 1) == "v"
    assert other.calls == 0


async def test_a_subscription_that_comes_after_the_claim_may_have_missed_the_word(
    first: CacheService, second: CacheService
) -> None:
    """So whoever asked before it looks again soon."""
    slow, other = Origin("v", held=True), Origin()
    holder = await holds(first, slow)
    wakes, entries = second._works.loads._wakes, second._works.entries
    ready, claim = wakes.ready, entries.claim

    async def not_ready(_: float) -> None:
        """Give up, as after the budget."""

    async def late_subscription(bids: Sequence[Bid], *, deadline: float) -> Sequence[Claim]:
        answer = await claim(bids, deadline=deadline)
        slow.go.set()
        await holder
        await ready(5)
        assert wakes.listening
        return answer

    wakes.ready = not_ready  # type: ignore[method-assign, assignment]
    entries.claim = late_subscription  # type: ignore[method-assign, assignment]

    assert await asyncio.wait_for(loads(second, other), 1) == "v"
    assert other.calls == 0


async def test_without_the_right_to_subscribe_waiters_look_from_time_to_time(
    endpoint: Endpoint, first: CacheService, process: Process
) -> None:
    """An ACL without channels costs a tenth of a second, and no origin call."""
    await first.client.execute(
        *("ACL", "SETUSER", "deaf", "on", ">pw", "~*", "+@all", "resetchannels")
    )
    deaf = Endpoint(port=endpoint.port, username="deaf", password="pw")
    second = await process(deaf)
    slow, other = Origin("v", held=True), Origin()
    holder = await holds(first, slow)
    caller = await waits(second, other)

    slow.go.set()
    await holder

    assert await asyncio.wait_for(caller, 1) == "v"
    assert other.calls == 0
    assert await second.set("metadata", "own", 1)


async def test_when_the_server_dies_waiters_load_for_themselves(
    server: MortalServer, process: Process
) -> None:
    """At once: nobody else can tell them anything any more."""
    first, second = await process(server.endpoint), await process(server.endpoint)
    slow, other = Origin("v", held=True), Origin("mine")
    holder = await holds(first, slow)
    callers = [await waits(second, other)]
    callers += [loads(second, other) for _ in range(9)]
    await until(lambda: joined(second) == 9)

    server.kill()

    assert await asyncio.wait_for(asyncio.gather(*callers), 2) == ["mine"] * 10
    slow.go.set()
    assert await holder == "v"
    assert other.calls == 1


async def test_when_the_server_freezes_waiters_load_after_the_lease(
    server: MortalServer, process: Process
) -> None:
    """Its silence is no news; the lease is what bounds it."""
    first = await process(server.endpoint, lease=0.3, budget=0.1)
    second = await process(server.endpoint, lease=0.3, budget=0.1)
    slow = Origin("v", held=True)
    holder = await holds(first, slow)
    caller = await waits(second, Origin("mine"))

    server.freeze()
    began = time.monotonic()
    value = await caller

    assert value == "mine"
    assert time.monotonic() - began < 0.3 + 0.5
    slow.go.set()
    assert await holder == "v"


async def test_forgotten_scripts_are_loaded_again(
    first: CacheService, second: CacheService
) -> None:
    """SCRIPT FLUSH during a load costs a round trip, and nothing else."""
    slow, other = Origin("v", held=True), Origin()
    holder = await holds(first, slow)
    caller = await waits(second, other)

    await first.client.execute("SCRIPT", "FLUSH")
    slow.go.set()

    assert [await holder, await caller] == ["v", "v"]
    assert other.calls == 0
    assert await second.get("metadata", "k") == "v"


async def test_callers_that_give_up_leave_nothing_behind(
    first: CacheService, second: CacheService
) -> None:
    """No task, no waiter, no load; whoever is left gets the value."""
    slow, other = Origin("v", held=True), Origin()
    holder = await holds(first, slow)
    before = asyncio.all_tasks()
    callers = [await waits(second, other)]
    callers += [loads(second, other) for _ in range(9)]
    # Subscribed meanwhile, for as long as the client lives.
    standing = {task for task in asyncio.all_tasks() if "listener" in task.get_name()}

    for caller in callers:
        caller.cancel()
    outcomes = await asyncio.gather(*callers, return_exceptions=True)
    await until(lambda: nothing_is_left(second))

    assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)
    await until(lambda: asyncio.all_tasks() <= before | standing)
    slow.go.set()
    assert await holder == "v"
    await until(lambda: nothing_is_left(first))
    assert await second.get_or_load("metadata", "k", other) == "v"


async def test_a_holder_cancelled_while_it_stores_makes_nobody_wait(
    endpoint: Endpoint, process: Process, second: CacheService
) -> None:
    """Whether its write arrived or not."""
    async with Proxy(endpoint).running() as proxy:
        first = await process(proxy.endpoint)
        slow = Origin("v", held=True)
        holder = await holds(first, slow)
        caller = await waits(second, Origin("mine"))
        proxy.answering.clear()
        slow.go.set()
        await until(lambda: not first._works.server._keeps._asked and bool(slow.calls))
        await asyncio.sleep(0.02)

        holder.cancel()
        proxy.answering.set()

        assert await asyncio.wait_for(caller, 1) in {"v", "mine"}
        await asyncio.gather(holder, return_exceptions=True)


async def test_a_claim_whose_answer_is_lost_keeps_nobody_waiting(
    endpoint: Endpoint, process: Process, second: CacheService
) -> None:
    """Its lease is given back as soon as the server is heard again."""
    async with Proxy(endpoint).running() as proxy:
        first = await process(proxy.endpoint, budget=0.3)
        await first.get_or_load("metadata", "warm", Origin())
        claim = first._works.entries.claim

        async def lost_claim(bids: Sequence[Bid], *, deadline: float) -> Sequence[Claim]:
            proxy.answering.clear()
            try:
                return await claim(bids, deadline=deadline)
            finally:
                proxy.answering.set()

        first._works.entries.claim = lost_claim  # type: ignore[method-assign, assignment]
        assert await loads(first, Origin("mine")) == "mine"
        assert first.stats()["metadata"].errors == {"deadline": 1}
        began = time.monotonic()

        assert await loads(second, Origin("theirs")) == "theirs"
        assert time.monotonic() - began < 1  # the lease is 5 s


async def test_a_claim_cancelled_on_its_way_keeps_nobody_waiting(
    endpoint: Endpoint, process: Process, second: CacheService
) -> None:
    """It may have been granted; nobody else would give it back."""
    async with Proxy(endpoint).running() as proxy:
        first = await process(proxy.endpoint)
        await first.get_or_load("metadata", "warm", Origin())
        claim = first._works.entries.claim
        asked = asyncio.Event()

        async def held_claim(bids: Sequence[Bid], *, deadline: float) -> Sequence[Claim]:
            proxy.answering.clear()
            asked.set()
            return await claim(bids, deadline=deadline)

        first._works.entries.claim = held_claim  # type: ignore[method-assign, assignment]
        caller = loads(first, Origin("mine"))
        await asked.wait()
        await until(lambda: is_there(second, LEASE))
        caller.cancel()
        proxy.answering.set()

        assert await asyncio.wait_for(loads(second, Origin("theirs")), 1) == "theirs"
        with pytest.raises(asyncio.CancelledError):
            await caller


async def is_there(cache: CacheService, key: str) -> bool:
    """Say whether there is such a key."""
    return await cache.client.exists(key) == 1


async def test_an_entry_that_has_expired_meanwhile_is_not_taken_for_a_new_one(
    process: Process, third: CacheService
) -> None:
    """Who has waited for a load finds what it brought, and perhaps long after."""
    policies = {"metadata": NamespacePolicy(60, jitter=0, stale_if_error=1000)}
    first = await process(policies=policies)
    claim = first._works.entries.claim

    async def late_claim(bids: Sequence[Bid], *, deadline: float) -> Sequence[Claim]:
        first._works.entries.claim = claim  # type: ignore[method-assign]
        await first.set("metadata", "k", "old")
        await make_older(third.client, KEY, 61)
        return await claim(bids, deadline=deadline)

    first._works.entries.claim = late_claim  # type: ignore[method-assign, assignment]

    assert await loads(first, Origin("new")) == "new"


async def test_an_answer_from_before_an_invalidation_is_not_for_who_came_after(
    first: CacheService, third: CacheService
) -> None:
    """A claim that finds the entry answers those who had asked before it was sent."""
    claim = first._works.entries.claim
    answered, go = asyncio.Event(), asyncio.Event()

    async def slow_claim(bids: Sequence[Bid], *, deadline: float) -> Sequence[Claim]:
        if answered.is_set():
            return await claim(bids, deadline=deadline)
        await third.set("metadata", "k", "old")
        answer = await claim(bids, deadline=deadline)
        answered.set()
        await go.wait()
        return answer

    first._works.entries.claim = slow_claim  # type: ignore[method-assign, assignment]
    early = loads(first, Origin("mine"))
    await answered.wait()
    await third.invalidate("metadata")
    late = [loads(first, Origin("new")) for _ in range(3)]
    await until(lambda: joined(first) == 3)
    go.set()

    assert await early == "old"
    assert await asyncio.wait_for(asyncio.gather(*late), 1) == ["new"] * 3
    assert await third.get("metadata", "k") == "new"


@pytest.mark.parametrize("by", ["namespace", "tag"])
async def test_a_claim_never_finds_what_was_invalidated(
    first: CacheService, second: CacheService, by: str
) -> None:
    """Even where no lookup has met and dropped it before."""
    bid = Bid(first.keys.place("metadata", "k"), 5, 60, (b"x",))
    await second.set("metadata", "k", "old", tags=["x"])
    await (second.invalidate("metadata") if by == "namespace" else second.invalidate_tag("x"))

    (claim,) = await first._works.entries.claim([bid], deadline=1)

    assert isinstance(claim, Granted)
    assert claim.fault == 1


async def full(cache: CacheService, *, is_full: bool) -> None:
    """Let the server refuse what takes memory, or take it again."""
    await cache.client.execute("CONFIG", "SET", "maxmemory", 1 if is_full else 0)


async def test_loads_without_versions_are_not_shared_once_they_have_begun(
    server: MortalServer, process: Process
) -> None:
    """A full server cannot make one, so an invalidation would not show."""
    first, third = await process(server.endpoint), await process(server.endpoint)
    await first.get("metadata", "warm")
    await full(first, is_full=True)
    slow, late = Origin("old", held=True), Origin("new")
    holder = await holds(first, slow)
    together = [loads(first, late) for _ in range(5)]
    assert await asyncio.wait_for(asyncio.gather(*together), 1) == ["new"] * 5
    await third.invalidate("metadata")

    value = await asyncio.wait_for(loads(first, Origin("newest")), 1)

    assert value == "newest"
    slow.go.set()
    assert await holder == "old"


async def test_a_value_loaded_without_a_lease_is_not_stored(
    server: MortalServer, process: Process
) -> None:
    """Nobody would notice that another process has set the entry meanwhile."""
    first, third = await process(server.endpoint), await process(server.endpoint)
    # So that there is a version, which nothing has to be written for.
    await first.set("metadata", "other", 1, ttl=10_000)
    await full(first, is_full=True)
    slow = Origin("old", held=True)
    holder = await holds(first, slow)
    await full(first, is_full=False)
    await third.set("metadata", "k", "set")

    slow.go.set()

    assert await holder == "old"
    assert await first.get("metadata", "k") == "set"
    assert first.stats()["metadata"].errors == {"server": 1}
