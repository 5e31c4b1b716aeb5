"""What can become of a server: each fault strikes, and is mended again.

`FAULTS` has them by name; `measured` says what a fault costs the callers of a cache.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tests.caching.conftest import MortalServer
from tests.caching.origin import until
from tests.caching.proxy import Proxy
from tests.conftest import free_port
from valkeyctl.caching import CacheService, ValkeyClient
from valkeyctl.endpoint import Endpoint

Deed = Callable[[], Awaitable[object]]
_KEYS = 3000


@dataclass(frozen=True)
class Fault:
    """A server, and what happens to it.

    Attributes:
        endpoint: Where clients look for it.
        strike: Lets it happen.
        mend: Lets it be over.
    """

    endpoint: Endpoint
    strike: Deed
    mend: Deed


@asynccontextmanager
async def _served(folder: Path, *options: str) -> AsyncIterator[tuple[MortalServer, ValkeyClient]]:
    """Start a server; the client is an operator's."""
    server = MortalServer(folder, *options)
    await asyncio.to_thread(server.start)
    try:
        async with ValkeyClient(server.endpoint, deadline=10) as operator:
            yield server, operator
    finally:
        server.kill()


def _in_a_thread(work: Callable[[], None]) -> Deed:
    return lambda: asyncio.to_thread(work)


@asynccontextmanager
async def killed(folder: Path) -> AsyncIterator[Fault]:
    """SIGKILL."""
    async with _served(folder) as (server, _):
        yield Fault(server.endpoint, _in_a_thread(server.kill), _in_a_thread(server.start))


@asynccontextmanager
async def frozen(folder: Path) -> AsyncIterator[Fault]:
    """SIGSTOP: connections are taken, and nothing is answered."""
    async with _served(folder) as (server, _):
        yield Fault(server.endpoint, _in_a_thread(server.freeze), _in_a_thread(server.thaw))


@asynccontextmanager
async def refused(folder: Path) -> AsyncIterator[Fault]:
    """Nothing listens there, from the client's first moment on."""
    server = MortalServer(folder)
    try:
        yield Fault(server.endpoint, lambda: asyncio.sleep(0), _in_a_thread(server.start))
    finally:
        server.kill()


@asynccontextmanager
async def _proxied(folder: Path, **struck: object) -> AsyncIterator[Fault]:
    """Start a server behind a proxy, whose settings a fault changes."""
    async with _served(folder) as (server, _), Proxy(server.endpoint).running() as proxy:
        before = {name: getattr(proxy, name) for name in struck}

        async def change(values: dict[str, object]) -> None:
            for name, value in values.items():
                setattr(proxy, name, value)

        yield Fault(proxy.endpoint, lambda: change(struck), lambda: change(before))


@asynccontextmanager
async def reset(folder: Path) -> AsyncIterator[Fault]:
    """Each connection is reset in the middle of its first answer."""
    async with _proxied(folder, cut=3) as fault:
        yield fault


@asynccontextmanager
async def slow(folder: Path) -> AsyncIterator[Fault]:
    """Each answer comes 30 ms late, and so after the budget of a call."""
    async with _proxied(folder, delay=0.03) as fault:
        yield fault


@asynccontextmanager
async def garbage(folder: Path) -> AsyncIterator[Fault]:
    """What answers does not speak the protocol."""
    async with _proxied(folder, forged=b"HTTP/1.1 400 Bad Request\r\n\r\n") as fault:
        yield fault


@asynccontextmanager
async def nonsense(folder: Path) -> AsyncIterator[Fault]:
    """What answers speaks the protocol, and says something else than a Valkey server."""
    async with _proxied(folder, forged=b"*2\r\n:1\r\n:2\r\n") as fault:
        yield fault


@asynccontextmanager
async def full(folder: Path) -> AsyncIterator[Fault]:
    """Out of memory, and nothing may be evicted."""
    async with _served(folder) as (server, operator):

        def limit(size: int) -> Deed:
            return lambda: operator.execute("CONFIG", "SET", "maxmemory", size)

        yield Fault(server.endpoint, limit(1), limit(0))


@asynccontextmanager
async def read_only(folder: Path) -> AsyncIterator[Fault]:
    """It has become a replica, of a primary that is away."""
    async with _served(folder) as (server, operator):

        def follow(*whom: str | int) -> Deed:
            return lambda: operator.execute("REPLICAOF", *whom)

        yield Fault(server.endpoint, follow("127.0.0.1", free_port()), follow("NO", "ONE"))


@asynccontextmanager
async def loading(folder: Path) -> AsyncIterator[Fault]:
    """Restarted, it reads its data for a second or two and answers LOADING meanwhile."""
    delay = ("--key-load-delay", "400", "--loading-process-events-interval-bytes", "1024")
    async with _served(folder, *delay) as (server, operator):
        await operator.pipeline([("SET", f"filler:{n}", "x" * 100) for n in range(_KEYS)])

        async def strike() -> None:
            await operator.execute("SAVE")
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start)

        async def is_there() -> bool:
            return (await operator.info("persistence"))["loading"] != "1"

        yield Fault(server.endpoint, strike, lambda: until(is_there, within=20))


@asynccontextmanager
async def wrong_password(folder: Path) -> AsyncIterator[Fault]:
    """It was given another one, and those who were logged in were thrown out."""
    async with _served(folder) as (server, _):

        async def change(before: str | None, after: str) -> None:
            endpoint = dataclasses.replace(server.endpoint, password=before)
            async with ValkeyClient(endpoint) as insider:
                await insider.execute("CONFIG", "SET", "requirepass", after)
                await insider.execute("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

        yield Fault(server.endpoint, lambda: change(None, "new"), lambda: change("new", ""))


@asynccontextmanager
async def crowded(folder: Path) -> AsyncIterator[Fault]:
    """It takes no more clients, and has closed the connections that there were."""
    async with _served(folder) as (server, operator):
        await operator.ping()

        async def strike() -> None:
            await operator.execute("CONFIG", "SET", "maxclients", 1)
            for kind in ("normal", "pubsub"):
                await operator.execute("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")

        yield Fault(
            server.endpoint, strike, lambda: operator.execute("CONFIG", "SET", "maxclients", 10_000)
        )


FAULTS: dict[str, Callable[[Path], AbstractAsyncContextManager[Fault]]] = {
    "killed": killed,
    "frozen": frozen,
    "refused": refused,
    "reset mid-reply": reset,
    "out of memory": full,
    "read-only": read_only,
    "loading": loading,
    "wrong password": wrong_password,
    "garbage": garbage,
    "other answers": nonsense,
    "30 ms late": slow,
    "maxclients": crowded,
}
"""By the name in the table."""


@dataclass(frozen=True)
class Cost:
    """What a fault costs, in ms beyond the loader's time.

    Attributes:
        first_ms: The first call.
        median_ms: Of calls one after another.
        max_ms: Of those.
        crowd_median_ms: Of callers fifty at a time.
        crowd_max_ms: Of those.
        recovery_ms: From the mending until a value is stored and read again.
        loads: How often the loader was called for how many calls.
        errors: What the cache counted.
    """

    first_ms: float
    median_ms: float
    max_ms: float
    crowd_median_ms: float
    crowd_max_ms: float
    recovery_ms: float
    loads: tuple[int, int]
    errors: dict[str, int]


async def measured(
    fault: Fault, *, calls: int = 60, crowds: int = 4, crowd: int = 50, **options: float
) -> Cost:
    """Return what *fault* costs a cache that was in use when it struck."""
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(ValkeyClient(fault.endpoint))
        cache = await stack.enter_async_context(CacheService(client, app="t", **options))  # type: ignore[arg-type]
        loads = 0

        async def load() -> str:
            nonlocal loads
            loads += 1
            return "loaded"

        async def call(id_: str) -> float:
            began = time.perf_counter()
            assert await cache.get_or_load("metadata", id_, load) == "loaded"
            return (time.perf_counter() - began) * 1000

        # Connections, scripts and the subscription are there, as in any process at work.
        for round_ in range(2):
            await asyncio.gather(*(call(f"warm-{round_}-{n}") for n in range(crowd)))
        await call("hot")
        loads = 0
        await fault.strike()
        # A hit and a miss by turns.
        alone = [await call("hot" if n % 2 else f"alone-{n}") for n in range(calls)]
        together: list[float] = []
        for round_ in range(crowds):
            together += await asyncio.gather(*(call(f"{round_}-{n}") for n in range(crowd)))
        errors = dict(cache.stats()["metadata"].errors)
        counted = loads
        await fault.mend()
        began = time.perf_counter()

        async def works() -> bool:
            id_ = f"after-{time.perf_counter()}"
            return await cache.set("metadata", id_, 1) and await cache.get("metadata", id_) == 1

        await until(works, within=10)
        recovery = (time.perf_counter() - began) * 1000
    return Cost(
        alone[0],
        median(alone),
        max(alone),
        median(together),
        max(together),
        recovery,
        (counted, calls + crowds * crowd),
        errors,
    )


def row(name: str, cost: Cost) -> Sequence[str]:
    """Return the cells of a fault in a table."""
    return (
        name,
        f"{cost.first_ms:.1f}",
        f"{cost.median_ms:.2f}",
        f"{cost.max_ms:.1f}",
        f"{cost.crowd_median_ms:.1f}",
        f"{cost.crowd_max_ms:.1f}",
        f"{cost.recovery_ms:,.0f}",
        f"{cost.loads[0]}/{cost.loads[1]}",
    )
