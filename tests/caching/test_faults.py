"""What callers of a cache notice of whatever can become of its server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.caching.conftest import MortalServer
from tests.caching.faults import FAULTS, measured, row
from tests.caching.origin import Origin
from valkeyctl.caching import CacheService, NamespacePolicy, ValkeyClient
from valkeyctl.caching.replies import RichReply
from valkeyctl.caching.script import Script

# After these the breaker refuses calls; the others are answers.
BREAKING = ("killed", "frozen", "refused", "reset mid-reply", "garbage", "30 ms late", "maxclients")
POLICIES = {"metadata": NamespacePolicy(60), "stale": NamespacePolicy(60, stale=60)}


async def load_many(ids: Sequence[str]) -> dict[str, str]:
    """Load all of them."""
    return dict.fromkeys(ids, "loaded")


@pytest.mark.parametrize("name", FAULTS)
async def test_whatever_becomes_of_the_server_the_application_goes_on(
    name: str, tmp_path: Path
) -> None:
    """No exception reaches a caller but its own loader's, alone or in a crowd."""
    async with FAULTS[name](tmp_path) as fault, ValkeyClient(fault.endpoint) as client:
        cache = CacheService(client, app="t", policies=POLICIES)
        await cache.set_many("stale", {"k": "loaded"}, tags=["x"])
        await cache.get_or_load("metadata", "warm", Origin())
        await fault.strike()

        for round_ in range(3):
            for id_ in ("k", f"new-{round_}"):
                assert await cache.get("stale", id_) in {None, "loaded"}
                assert set((await cache.get_many("stale", [id_, "b"])).values()) <= {"loaded"}
                assert await cache.contains("stale", id_) in {True, False}
                assert await cache.get_or_load("stale", id_, Origin(), tags=["x"]) == "loaded"
                assert (await cache.fetch("metadata", id_, Origin())).value == "loaded"
                values = await cache.load_many("metadata", [id_, "b", "c"], load_many)
                assert values == dict.fromkeys([id_, "b", "c"], "loaded")
                assert await cache.set("metadata", id_, "loaded") in {True, False}
            with pytest.raises(LookupError, match="no such model"):
                await cache.get_or_load("metadata", "r", Origin(LookupError("no such model")))
        crowd = await asyncio.gather(
            *(cache.get_or_load("metadata", f"c-{n // 2}", Origin()) for n in range(50)),
            *(cache.load_many("metadata", [f"{n}", f"{n + 1}"], load_many) for n in range(20)),
            *(cache.set("metadata", f"s-{n}", "loaded") for n in range(20)),
            *(cache.get("metadata", f"c-{n}") for n in range(20)),
        )

        assert crowd[:50] == ["loaded"] * 50
        await fault.mend()


@pytest.mark.flaky(reruns=2)  # milliseconds, on a machine that others use as well
@pytest.mark.parametrize("name", FAULTS)
async def test_what_a_fault_costs_the_callers_is_bounded(name: str, tmp_path: Path) -> None:
    """One budget for the first calls, then next to nothing; and it is over within a second."""
    async with FAULTS[name](tmp_path) as fault:
        cost = await measured(fault, calls=40, crowds=2)

    print(row(name, cost), cost.errors)
    assert cost.max_ms < 50 + 100  # 50 ms, and a machine that stutters
    assert cost.crowd_max_ms < 50 + 250  # fifty callers' own work, too
    if name in BREAKING:
        assert cost.median_ms < 1
    assert cost.recovery_ms < 1000


@pytest.mark.parametrize(
    "answer", [7, None, [], [1, 2, 3], [2, 0, b"", [7], b""], [3, 5, None, []], {b"a": 1}]
)
async def test_a_claim_answered_in_a_form_of_its_own_is_a_failed_one(
    client: ValkeyClient, monkeypatch: pytest.MonkeyPatch, answer: RichReply
) -> None:
    """As a lookup is: whatever speaks there is no server of ours."""

    async def scripts(_: Script, calls: Sequence[object], **__: object) -> list[RichReply]:
        return [answer] * len(calls)

    monkeypatch.setattr(client, "scripts", scripts)
    cache = CacheService(client, app="t", budget=5)

    assert await cache.get_or_load("metadata", "k", Origin()) == "loaded"
    assert cache.stats()["metadata"].errors == {"server": 1}


async def test_fifty_callers_of_a_frozen_server_wait_no_longer_than_one(
    server: MortalServer,
) -> None:
    """They ask together, so they fail together."""
    async with ValkeyClient(server.endpoint) as client:
        cache = CacheService(client, app="t")
        await asyncio.gather(*(cache.get_or_load("metadata", "k", Origin()) for _ in range(50)))
        server.freeze()
        began = time.perf_counter()

        await asyncio.gather(
            *(cache.get_or_load("metadata", f"k-{n}", Origin()) for n in range(50))
        )

        assert time.perf_counter() - began < 0.05 + 0.1  # the bound, and a machine that stutters
        assert cache.stats()["metadata"].errors == {"deadline": 50}


async def test_a_busy_event_loop_turns_no_hit_into_a_miss(client: ValkeyClient) -> None:
    """Each turn takes longer than the budget, and yet the server is as quick as ever."""
    loop = asyncio.get_running_loop()
    ids = [str(n) for n in range(30)]
    stop = asyncio.Event()

    def stall() -> None:
        time.sleep(0.03)
        if not stop.is_set():
            loop.call_soon(stall)

    async with CacheService(client, app="t") as cache:
        await cache.set_many("metadata", dict.fromkeys(ids, "v"))
        loop.call_soon(stall)
        alone = await cache.get("metadata", "0")
        together = await asyncio.gather(
            *(cache.get("metadata", id_) for id_ in ids),
            *(cache.set("context", id_, "v") for id_ in ids),
            *(cache.get_or_load("context", f"new-{id_}", Origin()) for id_ in ids),
        )
        stop.set()

    assert [alone, *together[:30]] == ["v"] * 31
    assert together[30:60] == [True] * 30
    assert [counts.errors for counts in cache.stats().values() if counts.errors] == []
    assert cache.stats()["context"].writes == 60
    assert client.breaker.state == "closed"
