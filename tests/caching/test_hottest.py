"""The hottest ids of all processes: saved on the server and in files, read at the next start."""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.caching.conftest import MortalServer
from tests.caching.moving import MovingClock
from valkeyctl.caching import CacheService, HotId, NamespacePolicy, ValkeyClient
from valkeyctl.caching.heat import HALF_LIFE, Heat
from valkeyctl.caching.hottest import Hottest, read_hottest
from valkeyctl.caching.keys import KeyScheme
from valkeyctl.errors import FolderError, UsageError

POLICIES = {"metadata": NamespacePolicy(300, hottest=100), "cold": NamespacePolicy(300)}


def service(client: ValkeyClient, near: float | None = None) -> CacheService:
    """Return a service that counts the reads of one namespace."""
    policies = {**POLICIES, "metadata": NamespacePolicy(300, hottest=100, near=near)}
    return CacheService(client, app="t", budget=1.0, policies=policies)


async def one() -> int:
    return 1


async def test_every_way_to_read_an_id_counts(client: ValkeyClient) -> None:
    """Once each, hit or miss; writing does not."""
    cache = service(client)
    shelf = cache.shelf("metadata")

    await shelf.set("a", 1)
    await shelf.get("a")
    await shelf.contains("a")
    await shelf.get_many(["a", "b"])
    await shelf.get_or_load("a", one)
    await shelf.fetch("a", one)
    await cache.get_many("cold", ["c"])

    async def many(ids: object) -> dict[str, int]:
        return {"d": 1}

    await shelf.load_many(["a", "d"], many)

    assert cache.hottest.top("metadata") == [HotId("a", 6), HotId("b", 1), HotId("d", 1)]
    with pytest.raises(UsageError, match="'cold' does not count"):
        cache.hottest.top("cold")


async def test_hits_of_this_process_count_too(client: ValkeyClient) -> None:
    """The hottest ids are those that never reach the server."""
    cache = service(client, near=60)
    await cache.set("metadata", "a", 1)

    for _ in range(20):
        await cache.get("metadata", "a")

    assert cache.hottest.top("metadata") == [HotId("a", 20)]


async def test_what_processes_read_adds_up_on_the_server(client: ValkeyClient) -> None:
    """Saved at the end of each, and readable by the next; the key has an expiry."""
    for number in (1, 2):
        cache = service(client)
        for _ in range(3):
            await cache.get("metadata", "both")
        await cache.get("metadata", f"only-{number}")
        await cache.aclose()
        await cache.aclose()  # nothing is counted twice

    cache = service(client)
    assert [(hot.id, round(hot.reads, 2)) for hot in await cache.hottest.stored("metadata")] == [
        ("both", 6),
        ("only-2", 1),
        ("only-1", 1),
    ]
    assert [hot.id for hot in await cache.hottest.stored("metadata", limit=1)] == ["both"]
    assert 6 * 86400 < (await client.ttl("t:~hot:metadata") or 0) <= 7 * 86400


async def test_older_runs_count_less(client: ValkeyClient) -> None:
    """How long ago the last one saved is read off what the key has left."""
    old = service(client)
    for _ in range(8):
        await old.get("metadata", "old")
    await old.aclose()
    await client.expire("t:~hot:metadata", 7 * 86400 - 2 * HALF_LIFE)

    new = service(client)
    for _ in range(3):
        await new.get("metadata", "new")
    await new.aclose()

    stored = await new.hottest.stored("metadata")
    assert [(hot.id, round(hot.reads)) for hot in stored] == [("new", 3), ("old", 2)]


async def test_the_server_keeps_as_many_ids_as_asked_for(client: ValkeyClient) -> None:
    """And the hottest of them, however many scripts it takes to save them."""
    heat = Heat(600)
    hottest = Hottest(client, KeyScheme("t"), {"metadata": heat})
    for number in range(1000):
        for _ in range(2 if number < 500 else 1):
            heat.add(f"id-{number}")

    await hottest.save()

    stored = await hottest.stored("metadata", limit=2000)
    assert len(stored) == 600
    assert {hot.id for hot in stored} >= {f"id-{n}" for n in range(500)}


async def test_what_many_processes_add_stays_bounded(client: ValkeyClient) -> None:
    """Each brings other ids; the server keeps the hottest of all."""
    for number in range(3):
        heat = Heat(50)
        for id in range(50):  # noqa: A001
            for _ in range(number + 1):
                heat.add(f"{number}-{id}")
        await Hottest(client, KeyScheme("t"), {"metadata": heat}).save()

    stored = await Hottest(client, KeyScheme("t"), {}).stored("metadata", limit=500)
    assert {hot.id for hot in stored} == {f"2-{id}" for id in range(50)}  # noqa: A001


async def test_counts_are_saved_now_and_then(client: ValkeyClient) -> None:
    """So that a process that is killed loses minutes and not all."""
    clock = MovingClock()
    heat = Heat(10, clock=clock)
    hottest = Hottest(client, KeyScheme("t"), {"metadata": heat}, clock=clock)
    for _ in range(1024):
        heat.add("a")
    assert await hottest.stored("metadata") == []

    clock.move(301)
    for _ in range(1024):
        heat.add("a")
    stored: list[HotId] = []
    for _ in range(1000):
        stored = stored or await hottest.stored("metadata")  # it is saved beside us

    assert stored == [HotId("a", 2048)]
    await hottest.aclose()


async def test_a_server_that_is_away_costs_the_counts_and_nothing_else(
    server: MortalServer,
) -> None:
    """Closing neither raises nor waits long."""
    async with ValkeyClient(server.endpoint) as client:
        cache = service(client)
        await cache.get("metadata", "a")
        server.kill()

        with capture_logs() as logs:
            await cache.aclose()

    assert "hottest_not_saved" in [log["event"] for log in logs]


async def test_a_frozen_server_holds_closing_up_for_half_a_second(server: MortalServer) -> None:
    """However many scripts there are to run."""
    async with ValkeyClient(server.endpoint, deadline=10) as client:
        cache = service(client)
        await cache.get("metadata", "a")
        server.freeze()

        with capture_logs() as logs:
            async with asyncio.timeout(5):
                await cache.hottest.aclose()
        server.thaw()

    assert "hottest_not_saved" in [log["event"] for log in logs]


async def test_a_file_holds_what_this_process_read(client: ValkeyClient, tmp_path: Path) -> None:
    """Whole, readable by its owner alone, and without a server by the next."""
    cache = service(client)
    for id in ("a", "b", "a"):  # noqa: A001
        await cache.get("metadata", id)
    file = tmp_path / "hottest.json"

    await cache.hottest.save_to(file)

    assert await read_hottest(file, "metadata") == [HotId("a", 2), HotId("b", 1)]
    assert await read_hottest(file, "metadata", limit=1) == [HotId("a", 2)]
    assert await read_hottest(file, "other") == []
    assert await read_hottest(tmp_path / "none.json", "metadata") == []
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == [file.name]  # noqa: PTH208


@pytest.mark.parametrize(
    "text",
    [
        *("", "\x00", "[]", "null", "{}", '{"schema": 1}', '{"schema": 2, "namespaces": {}}'),
        '{"schema": 1, "namespaces": []}',
        '{"schema": 1, "namespaces": {"metadata": [1]}}',
    ],
)
async def test_a_file_that_is_something_else_is_told(tmp_path: Path, text: str) -> None:
    """And not taken for an empty one."""
    file = tmp_path / "other.json"
    file.write_text(text)

    with pytest.raises(FolderError, match="holds no hottest ids"):
        await read_hottest(file, "metadata")


async def test_a_file_that_cannot_be_written_is_told(client: ValkeyClient, tmp_path: Path) -> None:
    """With the reason; nothing is left behind."""
    with pytest.raises(FolderError, match="cannot write the hottest ids"):
        await service(client).hottest.save_to(tmp_path / "none" / "hottest.json")


async def test_a_folder_is_no_file(tmp_path: Path) -> None:
    """Reading tells the reason."""
    with pytest.raises(FolderError, match="cannot read the hottest ids"):
        await read_hottest(tmp_path, "metadata")
