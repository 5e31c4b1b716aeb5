"""load_many in several processes at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest

from tests.caching.loading import LEASE, holds, nothing_is_left
from tests.caching.origin import Origin, Process, is_awaited, until
from valkeyctl.caching import CacheService


async def test_two_processes_load_the_ids_that_both_want_once(
    first: CacheService, second: CacheService
) -> None:
    """Each loads what the other does not, in one call, and waits for the rest."""
    asked: dict[str, list[str]] = {"first": [], "second": []}
    go = asyncio.Event()

    def loader(name: str) -> Callable[[Sequence[str]], Awaitable[dict[str, str]]]:
        async def load(ids: Sequence[str]) -> dict[str, str]:
            asked[name] += ids
            if name == "first":
                await go.wait()
            return {id_: name for id_ in ids if id_ != "unknown"}

        return load

    ids = [str(n) for n in range(60)]
    early = asyncio.create_task(first.load_many("metadata", ids[:40], loader("first")))
    await until(lambda: len(asked["first"]) == 40)
    late = asyncio.create_task(
        second.load_many("metadata", [*ids[20:], "unknown"], loader("second"))
    )
    await until(lambda: len(asked["second"]) == 21)
    go.set()

    assert await early == dict.fromkeys(ids[:40], "first")
    assert await late == dict.fromkeys(ids[20:40], "first") | dict.fromkeys(ids[40:], "second")
    assert asked == {"first": ids[:40], "second": [*ids[40:], "unknown"]}
    assert len(await first.get_many("metadata", ids)) == 60
    await until(lambda: nothing_is_left(first, second))


async def test_a_bulk_load_that_fails_leaves_nothing_behind(
    first: CacheService, second: CacheService
) -> None:
    """Ids that it would have waited for are no longer waited for."""
    slow = Origin("v", held=True)
    holder = await holds(first, slow)

    async def failing(_: Sequence[str]) -> dict[str, str]:
        await until(lambda: is_awaited(second.client, LEASE))
        raise LookupError("origin down")

    with pytest.raises(LookupError, match="origin down"):
        await second.load_many("metadata", ["k", "a", "b"], failing)
    await until(lambda: nothing_is_left(second))

    slow.go.set()
    assert await holder == "v"


async def test_a_large_bulk_load_is_one_claim_and_one_write(
    first: CacheService, process: Process
) -> None:
    """Within the usual budget, on a client that has not even subscribed yet."""
    second = await process(budget=0.025)
    ids = [str(n) for n in range(1000)]
    calls = 0

    async def load(asked: Sequence[str]) -> dict[str, str]:
        nonlocal calls
        calls += 1
        return dict.fromkeys(asked, "v")

    values = await second.load_many("metadata", ids, load)

    assert len(values) == 1000
    assert calls == 1
    stats = second.stats()["metadata"]
    assert (stats.writes, stats.misses, stats.errors) == (1000, 1000, {})
    assert len(await first.get_many("metadata", ids)) == 1000
