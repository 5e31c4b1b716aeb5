"""The gateway while its cache, or its origin, is away."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import free_port, start_server
from tests.gateway.asking import ask, metric
from tests.gateway.conftest import Running, Start
from tests.gateway.fakes import HeldOrigin
from valkeyctl.endpoint import Endpoint

Server = tuple[subprocess.Popen[bytes], Endpoint]


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    """A server that the test may kill."""
    process, endpoint = start_server(tmp_path)
    yield process, endpoint
    process.kill()
    process.wait()


async def store_state(running: Running) -> str:
    answer = await running.http.get("/healthz")
    assert answer.status_code == 200
    return str(answer.json()["store"]["state"])


async def until_store_is(running: Running, state: str) -> None:
    for _ in range(500):
        if await store_state(running) == state:
            return
        await asyncio.sleep(0.02)  # another process comes or goes; nothing tells us when
    raise AssertionError(f"the store is not {state}")


def started_again(process: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
    """Start the same server on the same port."""
    return subprocess.Popen(process.args, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


async def test_a_killed_cache_costs_hits_and_nothing_else(start: Start, own_server: Server) -> None:
    """Answers go on uncached, and are cached again once a server is back."""
    process, endpoint = own_server
    running = await start(cache=endpoint)
    await ask(running.http)
    assert (await ask(running.http)).headers["x-cache"] == "hit"

    process.kill()
    process.wait()
    during = [await ask(running.http) for _ in range(5)]

    assert [answer.status_code for answer in during] == [200] * 5
    assert [answer.headers["x-cache"] for answer in during] == ["miss"] * 5
    assert during[0].headers["cache-status"] == "valkeyctl; fwd=uri-miss"
    assert await store_state(running) == "down"
    assert (await running.http.get("/readyz")).json()["status"] == "degraded"
    assert await metric(running.http, 'valkeyctl_breaker_state{state="closed"}') == 0

    again = started_again(process)
    try:
        await until_store_is(running, "up")
        assert (await ask(running.http)).headers["x-cache"] == "miss"
        assert (await ask(running.http)).headers["x-cache"] == "hit"
    finally:
        again.kill()
        again.wait()


async def test_questions_that_arrive_while_the_cache_is_away_are_still_shared(
    start: Start, own_server: Server
) -> None:
    """Single-flight is in the process, so that an outage does not multiply the calls."""
    process, endpoint = own_server
    origin = HeldOrigin()
    running = await start(origin, cache=endpoint)
    process.kill()
    process.wait()
    waiting = [asyncio.create_task(ask(running.http)) for _ in range(20)]
    await origin.asked.wait()
    await until_store_is(running, "down")

    origin.let_go.set()
    answers = await asyncio.gather(*waiting)

    assert {answer.status_code for answer in answers} == {200}
    assert origin.calls == 1


async def test_a_frozen_cache_costs_one_budget(start: Start, own_server: Server) -> None:
    """A server that accepts and does not answer delays a call by milliseconds, not seconds."""
    process, endpoint = own_server
    running = await start(HeldOrigin(held=False), cache=endpoint, cache_budget=0.025)
    await ask(running.http)
    process.send_signal(signal.SIGSTOP)
    begun = time.monotonic()

    answers = [await ask(running.http, f"question {number}") for number in range(10)]

    elapsed = time.monotonic() - begun
    process.send_signal(signal.SIGCONT)
    assert {answer.headers["x-cache"] for answer in answers} == {"miss"}
    # At most a read and a write budget for each call until the breaker opens.
    assert elapsed < 1.0
    await until_store_is(running, "up")


async def test_a_gateway_starts_without_its_cache(start: Start) -> None:
    """A cache that is not there yet must not keep a service from starting."""
    running = await start(cache=Endpoint(port=free_port()))

    answer = await ask(running.http)

    assert (answer.status_code, answer.headers["x-cache"]) == (200, "miss")
    assert (await running.http.get("/readyz")).status_code == 200


async def test_a_gateway_without_cache_and_origin_is_not_ready(start: Start) -> None:
    """Only when nothing could be answered are requests sent elsewhere."""
    origin = HeldOrigin()
    running = await start(origin, cache=Endpoint(port=free_port()))
    origin.failing = True

    answer = await running.http.get("/readyz")

    assert (answer.status_code, answer.json()["status"]) == (503, "unavailable")
    assert (await running.http.get("/healthz")).status_code == 200


async def test_a_gateway_whose_origin_fails_stays_ready(start: Start) -> None:
    """It still answers from the cache."""
    origin = HeldOrigin()
    running = await start(origin)
    origin.failing = True

    answer = await running.http.get("/readyz")

    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    assert answer.json()["origin"] == {"state": "failing"}
