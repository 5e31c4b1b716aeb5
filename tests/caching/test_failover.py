"""What an application feels of a failover and of a slot's move: misses, and no wrong answer."""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path

import pytest
from redis.crc import key_slot

from tests.caching.coherent_load import CoherentLoad, stores_again, two_caches
from tests.caching.deployments import ClusterDeployment, Member, SentinelDeployment
from valkeyctl.caching import ValkeyClient
from valkeyctl.caching.keys import SHARDS, KeyScheme
from valkeyctl.errors import UnreachableError

pytestmark = pytest.mark.slow


# Sentinels that each vote for themselves begin anew after twice their failover-timeout.
@pytest.mark.flaky(reruns=1, only_rerun="TimeoutError")
async def test_sentinel_replaces_a_killed_primary(tmp_path: Path) -> None:
    """No exception and nothing stale meanwhile; the cache works again by itself."""
    with SentinelDeployment(tmp_path) as made:
        first, second = ValkeyClient(made.endpoint), ValkeyClient(made.endpoint)
        async with two_caches(first, second) as caches:
            load = CoherentLoad([first, second], caches)
            async with load.running():
                await asyncio.sleep(1)
                before = load.confirmed
                made.primary().kill()
                killed = time.monotonic()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(6):
                        await asyncio.gather(*(stores_again(cache, "p") for cache in caches))
                recovered = time.monotonic() - killed
                await asyncio.sleep(1)
            print(f"recovered in {recovered:.2f} s; {said(load)}")

        assert load.wrong == []
        assert load.unconfirmed
        if recovered >= 6:
            raise TimeoutError("the cache did not work again within 6 s")
        assert load.confirmed > before


async def test_a_cluster_replaces_a_killed_primary(tmp_path: Path) -> None:
    """Entries of the other nodes stay available; those of the lost one come back."""
    with ClusterDeployment(tmp_path) as made:
        first, second = ValkeyClient(made.endpoint), ValkeyClient(made.endpoint)
        async with two_caches(first, second) as caches:
            load = CoherentLoad([first, second], caches)
            lost, kept = id_on(made, made.nodes[0]), id_on(made, made.nodes[1])
            async with load.running():
                await asyncio.sleep(1)
                await caches[0].set("probe", kept, 1, ttl=60)
                made.nodes[0].kill()
                killed = time.monotonic()
                hits = tries = 0
                again = asyncio.gather(*(stores_again(cache, lost) for cache in caches))
                async with asyncio.timeout(15):
                    while not again.done():
                        tries += 1
                        hits += await caches[1].get("probe", kept) == 1
                        await asyncio.sleep(0.02)
                recovered = time.monotonic() - killed
                await asyncio.sleep(1)
            print(f"recovered in {recovered:.2f} s; {hits} of {tries} reads of another node hit")
            print(said(load))

        assert load.wrong == []
        assert load.unconfirmed
        assert hits > 0.9 * tries
        assert recovered < 8


async def test_slots_move_under_load(tmp_path: Path) -> None:
    """Every slot of the application goes to another node and back, keys and all."""
    with ClusterDeployment(tmp_path, replicas=False) as made:
        first, second = ValkeyClient(made.endpoint), ValkeyClient(made.endpoint)
        async with two_caches(first, second) as caches:
            load = CoherentLoad([first, second], caches)
            async with load.running():
                await asyncio.sleep(0.5)
                before = load.confirmed
                for version in KeyScheme("t", shards=SHARDS).versions("a")[:24]:
                    await asyncio.to_thread(move, made, key_slot(version))
                moving = load.confirmed - before
                await asyncio.sleep(0.5)
            print(f"{moving} invalidations while slots moved; {said(load)}")
            moved = [await cache.get_many("a", [f"id-{n}" for n in range(60)]) for cache in caches]

        assert load.wrong == []
        # A move is no reason; a stall of this machine may be.
        assert all(isinstance(error, UnreachableError) for error in load.unconfirmed)
        assert len(load.unconfirmed) < load.confirmed / 4
        assert moving > 10
        assert moved[0] == moved[1]


def move(made: ClusterDeployment, slot: int) -> None:
    """Move *slot* to the next node, key by key, with new keys coming in."""
    source = made.owner(slot)
    target = made.nodes[(made.nodes.index(source) + 1) % 3]
    made.begin_move(slot, source, target)
    time.sleep(0.01)  # so that keys are asked for on both sides
    while made.move_keys(slot, source, target, count=3):
        time.sleep(0.002)
    made.end_move(slot, source, target)


def id_on(made: ClusterDeployment, node: Member) -> str:
    """Return an id whose entry lies on *node*."""
    keys = KeyScheme("t", shards=SHARDS)
    return next(
        id_
        for id_ in (f"p{n}" for n in range(1000))
        if made.owner(key_slot(keys.place("probe", id_).key)) is node
    )


def said(load: CoherentLoad) -> str:
    """Return what happened, for whoever runs the test with -s."""
    kinds = {type(error).__name__ for error in load.unconfirmed}
    return (
        f"{load.reads} reads, {load.loads} loads, {load.confirmed} invalidations confirmed, "
        f"{len(load.unconfirmed)} not {sorted(kinds)}, {len(load.wrong)} wrong"
    )
