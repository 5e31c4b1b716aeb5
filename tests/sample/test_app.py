"""Items by HTTP: the right bytes from the right place."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.conftest import command, free_port
from tests.sample.conftest import Running
from valkeyctl.endpoint import Endpoint
from valkeyctl.sample.items import LARGEST

OFF = {"x_valkeyctl_cache": "off"}


async def test_an_item_comes_from_the_origin_once(sample: Running) -> None:
    """Then from the cache, with the same bytes; past it, with the same bytes again."""
    async with sample() as call:
        first, second = await call("/items/a"), await call("/items/a")
        past = await call("/items/a", **OFF)

        assert [one.source for one in (first, second, past)] == ["miss", "hit", "bypass"]
        assert first.body == second.body == past.body
        assert await call.origin_calls() == 2
    document = json.loads(first.body)
    assert (document["key"], document["bytes"], len(document["value"])) == ("a", 1024, 1024)
    assert document["value"].isalpha()
    assert first.headers["content-length"] == str(len(first.body))


@pytest.mark.parametrize("settings", [{"seed": 7}, {"single_flight": False}, {"near": True}])
async def test_the_bytes_are_those_of_key_and_size_alone(
    sample: Running, settings: dict[str, object]
) -> None:
    """Arms whose settings differ are compared by the same answers."""
    async with sample() as usual:
        expected = (await usual("/items/k:1", query="bytes=77", **OFF)).body

    async with sample(app="other", **settings) as call:
        bodies = [(await call("/items/k:1", query="bytes=77")).body for _ in range(2)]
        other = await call("/items/k:2", query="bytes=77")

    assert bodies == [expected] * 2
    assert other.body[-60:] != expected[-60:]


async def test_one_item_has_one_size_at_a_time(sample: Running) -> None:
    """Asked for with another one it is no hit, and never an answer of the wrong size."""
    async with sample() as call:
        sizes = [5, 6, 6, 5]
        answers = [await call("/items/a", query=f"bytes={size}") for size in sizes]

        assert [json.loads(one.body)["bytes"] for one in answers] == sizes
        assert [one.source for one in answers] == ["miss", "miss", "hit", "miss"]
        together = await asyncio.gather(
            *(call("/items/b", query=f"bytes={size}") for size in (1, 2, 3) * 5)
        )
    assert [json.loads(one.body)["bytes"] for one in together] == [1, 2, 3] * 5


async def test_those_who_miss_together_share_one_origin_call(sample: Running) -> None:
    """A stampede of fifty is one call; the others say that they shared it."""
    async with sample(origin=0.05) as call:
        answers = await asyncio.gather(*(call("/items/hot") for _ in range(50)))

        assert await call.origin_calls() == 1
    assert sorted(one.source or "" for one in answers) == ["collapsed"] * 49 + ["miss"]


async def test_without_single_flight_each_asks_for_itself(sample: Running) -> None:
    """And an origin with room for one at a time lets them queue."""
    loop = asyncio.get_running_loop()
    async with sample(origin=0.01, origin_at_once=1, single_flight=False) as call:
        began = loop.time()
        answers = await asyncio.gather(*(call("/items/hot") for _ in range(20)))
        took = loop.time() - began

        assert await call.origin_calls() == 20
        assert (await call("/items/hot")).source == "hit"
    assert {one.source for one in answers} == {"miss"}
    # 20 calls of at least 10 ms / 2, one after the other: the least that the draw can give.
    assert took > 0.1


async def test_a_stale_item_is_served_while_one_renews_it(sample: Running) -> None:
    """Nobody waits for the origin."""
    async with sample(ttl=0.05, jitter=0.0, stale=60.0) as call:
        await call("/items/a")
        await asyncio.sleep(0.06)  # the server's clock cannot be moved

        assert (await call("/items/a")).source == "stale"


async def test_near_items_are_hits_without_the_server(sample: Running) -> None:
    """They say hit, as any other."""
    async with sample(near=True) as call:
        sources = [(await call("/items/a")).source for _ in range(4)]

    assert sources == ["miss", "hit", "hit", "hit"]


async def test_a_write_makes_the_item_a_miss(sample: Running) -> None:
    """One past the cache leaves it alone."""
    async with sample() as call:
        await call("/items/a")
        past = await call("/items/a", method="PUT", **OFF)
        kept = await call("/items/a")
        written = await call("/items/a", method="PUT")
        gone = await call("/items/a")

    assert [past.status, written.status] == [204, 204]
    assert "content-length" not in written.headers
    assert [kept.source, gone.source] == ["hit", "miss"]


async def test_a_flush_makes_every_item_a_miss(sample: Running) -> None:
    """Whatever their number, in one write."""
    async with sample() as call:
        for key in "abc":
            await call(f"/items/{key}")
        flushed = await call("/flush", method="POST")

        assert (flushed.status, flushed.body) == (200, b'{"flushed": "items"}')
        assert (await call("/items/b")).source == "miss"


async def test_an_item_costs_the_server_about_its_size(sample: Running, endpoint: Endpoint) -> None:
    """Nothing is compressed: `eviction` fills a server's memory with items."""
    async with sample() as call:
        await call("/items/big", query="bytes=100000")

    size = int(command(endpoint, "STRLEN", "t:items:big")[1:])
    assert 100_000 < size < 100_300


@pytest.mark.parametrize(
    ("path", "query", "method", "status", "words"),
    [
        ("/items/a", "bytes=0", "GET", 400, "bytes=N"),
        ("/items/a", f"bytes={LARGEST + 1}", "GET", 400, "bytes=N"),
        ("/items/a", "bytes=1x", "GET", 400, "bytes=N"),
        ("/items/a", "bytes=1&x=1", "GET", 400, "bytes=N"),
        ("/items/", "", "GET", 404, "nothing at this URL"),
        ("/items/" + "a" * 201, "", "GET", 404, "nothing at this URL"),
        ("/items/a b", "", "GET", 404, "nothing at this URL"),
        ("/items/a", "", "DELETE", 405, "GET and PUT"),
        ("/flush", "", "GET", 405, "takes POST"),
    ],
)
async def test_a_request_that_cannot_be_meant_is_refused(
    sample: Running, path: str, query: str, method: str, status: int, words: str
) -> None:
    """In the same words for the same fault, without an origin call."""
    async with sample() as call:
        answer = await call(path, query=query, method=method)

        assert answer.status == status
        assert words in answer.message
        assert await call.origin_calls() == 0


async def test_a_misspelt_bypass_is_refused(sample: Running) -> None:
    """A comparison with and without the cache would measure nothing."""
    async with sample() as call:
        answer = await call("/items/a", x_valkeyctl_cache="of")

    assert (answer.status, answer.message) == (400, "'x-valkeyctl-cache' must be on or off")


async def test_without_a_server_every_item_is_a_miss() -> None:
    """It starts and answers all the same; a write that was not confirmed says so."""
    from tests.sample.conftest import running
    from valkeyctl.sample.settings import SampleSettings

    away = Endpoint(port=free_port())
    async with running(SampleSettings(cache=away, origin=0.0)) as call:
        health = await call("/healthz")
        assert (health.status, json.loads(health.body)["store"]["state"]) == (200, "down")
        answers = [await call("/items/a") for _ in range(2)]
        written = await call("/items/a", method="PUT")
        flushed = await call("/flush", method="POST")

    assert [(one.status, one.source) for one in answers] == [(200, "miss")] * 2
    assert [written.status, flushed.status] == [503, 503]
    assert "not forgotten" in written.message
