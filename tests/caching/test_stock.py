"""Warming with values at hand: pairs, and the lines of a file."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.caching.conftest import MortalServer
from tests.caching.moving import RushingClock
from valkeyctl.caching import CacheService, Pace, ValkeyClient, Warmed, warm_entries, warm_file
from valkeyctl.errors import FolderError, InvalidKeyError, MissingError, UsageError


@dataclass
class Price:
    cents: int


@pytest.fixture
def cache(client: ValkeyClient) -> CacheService:
    """A service on an empty server; a generous budget, for machines that stutter."""
    return CacheService(client, app="t", budget=1.0)


async def test_pairs_are_stored(cache: CacheService) -> None:
    """Of any iterable, with ttl and tags, over what is there."""
    shelf = cache.shelf("metadata", Price)
    await shelf.set("id-0", Price(0))

    async def rows() -> AsyncIterator[tuple[str, Price]]:
        for number in range(250):
            yield f"id-{number}", Price(number + 1)

    warmed = await warm_entries(shelf, rows(), ttl=60, tags=["prices"])

    assert (warmed.loaded, warmed.fresh, warmed.failures) == (250, 0, 0)
    assert await shelf.get_many(["id-0", "id-249"]) == {"id-0": Price(1), "id-249": Price(250)}
    assert 55 < (await cache.client.ttl("t:metadata:id-0") or 0) <= 60
    await cache.invalidate_tag("prices")
    assert await shelf.get("id-0") is None


async def test_a_pair_that_cannot_be_stored_fails_alone(cache: CacheService) -> None:
    """Counted by kind; its neighbours of the same batch are stored."""
    pairs: list[tuple[str, Any]] = [("a", 1), ("two words", 2), ("c", {1, 2}), ("d", 4)]
    seen: list[Warmed] = []

    warmed = await warm_entries(
        cache.shelf("metadata"),
        pairs,
        progress=seen.append,
    )

    assert (warmed.loaded, warmed.failed) == (2, {"invalid_key": 1, "usage": 1})
    assert [report.loaded for report in seen] == [2]


async def test_storing_keeps_the_pace(cache: CacheService) -> None:
    """Entries in a second, however they are batched."""
    clock = RushingClock()
    pace = Pace(per_second=100, clock=clock, sleep=clock.sleep)

    warmed = await warm_entries(
        cache.shelf("metadata"), ((f"id-{n}", n) for n in range(100)), batch=10, pace=pace
    )

    assert warmed.seconds == pytest.approx(0.9)


async def test_storing_stops_without_the_server(server: MortalServer) -> None:
    """After the first batch that failed."""
    read = 0

    def rows() -> Iterator[tuple[str, int]]:
        nonlocal read
        for read in range(10_000):
            yield f"id-{read}", read

    async with ValkeyClient(server.endpoint) as client:
        shelf = CacheService(client, app="t").shelf("metadata")
        server.kill()
        warmed = await warm_entries(shelf, rows(), pace=Pace(concurrency=1))

    assert warmed.stopped
    assert (warmed.loaded, set(warmed.failed)) == (0, {"not_stored"})
    assert read < 400


async def test_a_file_is_stored_line_by_line(cache: CacheService, tmp_path: Path) -> None:
    """In the namespaces that its lines name, as the command does it."""
    file = tmp_path / "entries.jsonl"
    lines = [
        json.dumps({"namespace": "metadata", "id": f"id-{n}", "value": {"n": n}}) for n in range(30)
    ]
    lines += [
        '{"namespace": "context", "id": "a", "value": "text", "ttl": "5m", "tags": ["models"]}',
        "",
        "no json",
        '{"namespace": "unheard", "id": "a", "value": 1}',
        '{"namespace": "unheard", "id": "b", "value": 1, "ttl": 60}',
    ]
    file.write_text("\n".join(lines))

    warmed = await warm_file(cache, file, batch=7)

    assert (warmed.loaded, warmed.failed) == (32, {"bad_line": 1, "invalid_key": 1})
    assert await cache.get("metadata", "id-29") == {"n": 29}
    assert 295 < (await cache.client.ttl("t:context:a") or 0) <= 300
    await cache.invalidate_tag("models")
    assert await cache.get("context", "a") is None
    assert await cache.get("unheard", "b") == 1


async def test_a_file_of_something_else_stops(cache: CacheService, tmp_path: Path) -> None:
    """After too many bad lines."""
    file = tmp_path / "image.png"
    file.write_bytes(b"\x89PNG\n" * 10_000)

    warmed = await warm_file(cache, file, pace=Pace(max_failures=600))

    assert warmed.stopped
    assert warmed.failed == {"bad_line": 1000}


async def test_a_file_that_cannot_be_read_is_told(cache: CacheService, tmp_path: Path) -> None:
    """Missing, or no file."""
    with pytest.raises(MissingError, match="there is no file"):
        await warm_file(cache, tmp_path / "none.jsonl")
    with pytest.raises(FolderError, match="cannot read"):
        await warm_file(cache, tmp_path)


async def test_what_cannot_be_meant_is_refused(cache: CacheService, tmp_path: Path) -> None:
    """Before anything is read."""
    shelf = cache.shelf("metadata")

    with pytest.raises(UsageError, match="batch"):
        await warm_entries(shelf, [("a", 1)], batch=0)
    with pytest.raises(UsageError, match="batch"):
        await warm_file(cache, tmp_path, batch=0)
    with pytest.raises(UsageError, match="ttl"):
        await warm_entries(shelf, [("a", 1)], ttl=-1)
    with pytest.raises(InvalidKeyError):
        await warm_entries(shelf, [("a", 1)], tags=[""])
    with pytest.raises(InvalidKeyError):
        await warm_entries(cache.shelf("Bad"), [("a", 1)], ttl=1)
