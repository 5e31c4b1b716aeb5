"""The example application of the documentation, under uvicorn, while its Valkey dies."""

from __future__ import annotations

import asyncio
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from tests.caching.conftest import MortalServer
from tests.conftest import free_port

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
# The database of the example takes 20 ms, the budget is 25 ms; the rest is for a machine
# with two cores and other work.
SLOWEST = 0.75
BACK_WITHIN = 1.0


@dataclass
class Shop:
    """The running example.

    Attributes:
        url: Its base URL.
        process: uvicorn.
        log: What it wrote, once it has ended.
    """

    url: str
    process: subprocess.Popen[str]
    log: str = ""


@contextmanager
def shop(server: MortalServer) -> Iterator[Shop]:
    """Run the example with its cache on *server*; it ends with the context."""
    port = free_port()
    process = subprocess.Popen(
        [
            *(sys.executable, "-W", "always::ResourceWarning", "-m", "uvicorn", "fastapi_app:app"),
            *("--app-dir", str(EXAMPLES), "--port", str(port), "--no-access-log", "--ws", "none"),
        ],
        env={"CACHE_URL": server.endpoint.url(), "CACHE_APP": "shop", "NO_COLOR": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    running = Shop(f"http://127.0.0.1:{port}", process)
    try:
        yield running
    finally:
        process.send_signal(signal.SIGTERM)
        running.log, _ = process.communicate(timeout=15)


@asynccontextmanager
async def visiting(running: Shop) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client of *running*, which listens by then."""
    async with httpx.AsyncClient(base_url=running.url, trust_env=False, timeout=10) as http:
        for _ in range(1000):
            try:
                await http.get("/healthz")
            except httpx.ConnectError:
                assert running.process.poll() is None, "uvicorn ended"
                await asyncio.sleep(0.01)  # another process comes up; nothing tells us when
            else:
                break
        yield http


@dataclass
class Traffic:
    """Readers that go on whatever happens, and what they got.

    Attributes:
        seconds: How long each answer took.
        wrong: Answers that were not 200, or not what the database has.
        marks: What the cache said of each cached response, with the time.
    """

    http: httpx.AsyncClient
    context: int = 8192
    seconds: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    marks: list[tuple[float, str]] = field(default_factory=list)

    async def read(self) -> None:
        while True:
            for path, right in (
                ("/models/small", {"name": "small", "context": self.context}),
                ("/models", ["large", "small"]),
            ):
                began = time.perf_counter()
                try:
                    answer = await self.http.get(path)
                except httpx.HTTPError as error:
                    self.wrong.append(repr(error))
                    continue
                self.seconds.append(time.perf_counter() - began)
                if answer.status_code != 200 or answer.json() != right:
                    self.wrong.append(f"{answer.status_code} {answer.text}")
                if path != "/models":
                    self.marks.append((time.perf_counter(), answer.headers["x-valkeyctl-cache"]))
            await asyncio.sleep(0.005)

    def first_hit(self, since: float) -> float | None:
        """Return the seconds from *since* to the first hit after it."""
        return next((at - since for at, mark in self.marks if at > since and mark == "hit"), None)


@asynccontextmanager
async def traffic(http: httpx.AsyncClient, readers: int = 4) -> AsyncIterator[Traffic]:
    """Let *readers* read while the context lasts."""
    flow = Traffic(http)
    tasks = [asyncio.create_task(flow.read()) for _ in range(readers)]
    yield flow
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def back(flow: Traffic, since: float) -> float:
    """Return the seconds from *since* until the cache answers again."""
    async with asyncio.timeout(10):
        # Another process recovers; nothing tells us when.
        while (took := flow.first_hit(since)) is None:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    return took


def told(flow: Traffic, what: str, took: float) -> str:
    """Return what a reader of a failed run needs to know."""
    times = sorted(flow.seconds)
    return (
        f"{what}: n={len(times)} p50={statistics.median(times) * 1000:.1f} ms "
        f"p99={times[int(len(times) * 0.99)] * 1000:.1f} ms max={times[-1] * 1000:.1f} ms, "
        f"cache back after {took * 1000:.0f} ms"
    )


def assert_quiet(log: str) -> None:
    """Nothing was left behind: no task, no connection, no unread exception, no traceback."""
    assert "Application shutdown complete" in log, log
    assert not re.search(
        r"Warning|Traceback|never (awaited|retrieved)|was destroyed|unclosed|Exception", log
    ), log


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MortalServer]:
    """A server of this test's own, not yet started."""
    made = MortalServer(tmp_path)
    yield made
    made.kill()


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["kill", "freeze"])
async def test_readers_notice_nothing_while_the_cache_is_away(
    server: MortalServer, fault: str
) -> None:
    """Every answer is 200 and right and quick, and the cache works again by itself."""
    server.start()
    with shop(server) as running:
        async with visiting(running) as http, traffic(http) as flow:
            await back(flow, time.perf_counter())
            server.kill() if fault == "kill" else server.freeze()
            await asyncio.sleep(1.5)  # time in which readers meet the fault
            health = (await http.get("/healthz")).json()
            server.start() if fault == "kill" else server.thaw()
            took = await back(flow, time.perf_counter())
            await asyncio.sleep(0.3)  # readers go on with the cache

    report = told(flow, fault, took)
    print(report)
    assert flow.wrong == [], report
    assert max(flow.seconds) < SLOWEST, report
    assert took < BACK_WITHIN, report
    assert health["status"] == "degraded"
    assert_quiet(running.log)


@pytest.mark.slow
async def test_it_starts_without_its_cache_and_finds_it_later(server: MortalServer) -> None:
    """Degraded, in the log and to health checks, and then not any more."""
    with shop(server) as running:
        async with visiting(running) as http, traffic(http) as flow:
            before = (await http.get("/healthz")).json()
            await asyncio.sleep(0.3)  # readers without a cache
            server.start()
            took = await back(flow, time.perf_counter())
            after = (await http.get("/healthz")).json()

    report = told(flow, "late", took)
    print(report)
    assert flow.wrong == [], report
    assert took < BACK_WITHIN, report
    assert (before["status"], after["status"]) == ("degraded", "ok")
    assert re.search(r"cache_opened.*answers=False", running.log)
    assert_quiet(running.log)


async def test_a_write_is_seen_by_the_next_reader(server: MortalServer) -> None:
    """Of the cached response and of the cached value, in the browser's copy too."""
    server.start()
    with shop(server) as running:
        async with visiting(running) as http:
            first = await http.get("/models/small")
            assert (await http.get("/models")).json() == ["large", "small"]
            await http.put("/models/small?context=16")
            await http.put("/models/tiny?context=1")
            known = {"if-none-match": first.headers["etag"]}
            after = await http.get("/models/small", headers=known)
            again = await http.get(
                "/models/small", headers={"if-none-match": after.headers["etag"]}
            )
            names = (await http.get("/models")).json()
            missing = await http.get("/models/none")

    assert first.json()["context"] == 8192
    assert (after.status_code, after.json()["context"]) == (200, 16)
    assert (again.status_code, again.headers["x-valkeyctl-cache"]) == (304, "hit")
    assert names == ["large", "small", "tiny"]
    assert missing.status_code == 404
    assert_quiet(running.log)


async def test_a_write_that_the_cache_did_not_hear_of_is_told(server: MortalServer) -> None:
    """Its caller does it again when the cache is back, and no reader keeps the old state."""
    server.start()
    with shop(server) as running:
        async with visiting(running) as http:
            await http.get("/models/small")
            server.freeze()
            during = await http.put("/models/small?context=16")
            read_meanwhile = await http.get("/models/small")
            server.thaw()
            async with asyncio.timeout(5):
                # As Retry-After says, only sooner.
                while (await http.put("/models/small?context=16")).status_code != 200:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
            after = await http.get("/models/small")

    assert (during.status_code, during.headers["retry-after"]) == (503, "1")
    assert read_meanwhile.json()["context"] == 16
    assert after.json()["context"] == 16
    assert_quiet(running.log)
