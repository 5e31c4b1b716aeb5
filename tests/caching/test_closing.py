"""A client that is closed leaves nothing open, in whatever moment that is."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path

import pytest

from tests.caching.scripted import ScriptedServer, Start
from tests.certificates import Certificates
from valkeyctl.caching import ValkeyClient
from valkeyctl.caching.replies import RichReply
from valkeyctl.errors import ValkeyctlError

# Of the event loop: more than it takes to find a primary, connect to it and get answers.
TURNS = 70
URLS = {
    "standalone": "redis://127.0.0.1:{}",
    "sentinel": "redis+sentinel://127.0.0.1:{}/cache",
    "cluster": "redis+cluster://127.0.0.1:{}",
}


def connections_to(*ports: int) -> int:
    """Return how many sockets of this process lead to one of *ports*."""
    found = 0
    for file in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # gone meanwhile, or not connected
            if str(file.readlink()).startswith("socket:"):
                with socket.socket(fileno=os.dup(int(file.name))) as one:
                    found += one.family == socket.AF_INET and one.getpeername()[1] in ports
    return found


def tasks() -> list[str]:
    """Return the names of the library's tasks that go on."""
    here = asyncio.current_task()
    return [
        repr(task)
        for task in asyncio.all_tasks()
        if task is not here and "/valkeyctl/caching/" in repr(task.get_coro())
    ]


async def turns(count: int) -> None:
    """Let the event loop turn so often."""
    for _ in range(count):
        await asyncio.sleep(0)


async def endured(call: Coroutine[None, None, object]) -> None:
    """Wait for a call that may fail."""
    with contextlib.suppress(ValkeyctlError):
        await call


def answered(server: ScriptedServer) -> None:
    """Let *server* be a sentinel, the primary that it names, and a whole Cluster."""
    place: list[RichReply] = [b"127.0.0.1", server.port, b"id"]
    answers: dict[str, RichReply] = {
        "SENTINEL GET-MASTER-ADDR-BY-NAME": [b"127.0.0.1", b"%d" % server.port],
        "SENTINEL MASTER": {b"config-epoch": b"1"},
        "ROLE": [b"master", 0, []],
        "PING": b"PONG",
        "CLUSTER SLOTS": [[0, 16383, place]],
        "CLUSTER INFO": b"cluster_state:ok\r\n",
    }
    server.answer = lambda words: answers.get(words[0], answers.get(" ".join(words[:2])))


@pytest.fixture
async def server(start: Start) -> AsyncIterator[ScriptedServer]:
    """A server for every topology."""
    made = await start(lambda _: None)
    answered(made)
    yield made
    assert connections_to(made.port) == 0


@pytest.fixture(params=URLS)
def url(request: pytest.FixtureRequest, server: ScriptedServer) -> str:
    """Of each topology in turn."""
    return URLS[request.param].format(server.port)


@pytest.mark.parametrize("silent", [False, True])
async def test_it_may_be_closed_at_any_moment(
    url: str, server: ScriptedServer, *, silent: bool
) -> None:
    """While it looks for servers, connects, logs in, waits for an answer that never comes."""
    if silent:
        server.hold = asyncio.Event()
    for count in range(TURNS):
        client = ValkeyClient(url)
        calls = [asyncio.create_task(endured(client.get("k"))) for _ in range(4)]
        await turns(count)

        await client.aclose()

        assert connections_to(server.port) == 0, count
        await asyncio.gather(*calls)
        assert (connections_to(server.port), tasks()) == (0, []), count


async def test_who_is_cancelled_while_he_enters_the_block_leaves_nothing(
    url: str, server: ScriptedServer
) -> None:
    """The block is not entered, so it cannot be left either."""

    async def entered() -> None:
        async with ValkeyClient(url):
            await asyncio.Event().wait()

    for count in range(TURNS):
        entering = asyncio.create_task(entered())
        await turns(count)
        entering.cancel()
        await asyncio.gather(entering, return_exceptions=True)

        assert (connections_to(server.port), tasks()) == (0, []), count


async def test_who_is_cancelled_while_he_closes_leaves_nothing(
    url: str, server: ScriptedServer
) -> None:
    """What was begun is done to its end."""
    for count in range(1, 12):
        client = ValkeyClient(url)
        await client.start()
        closing = asyncio.create_task(client.aclose())
        await turns(count)
        closing.cancel()
        await asyncio.gather(closing, return_exceptions=True)
        await turns(12)

        assert (connections_to(server.port), tasks()) == (0, []), count


async def test_a_loop_that_ends_in_the_middle_of_closing_leaves_nothing(
    url: str, server: ScriptedServer
) -> None:
    """It cancels the one who closes, and every task, and turns only a few times more."""

    async def interrupted(count: int) -> None:
        client = ValkeyClient(url)
        await client.start()
        asyncio.get_running_loop().call_soon(end.append, asyncio.create_task(client.aclose()))
        await turns(count)

    end: list[asyncio.Task[None]] = []
    for count in range(1, 8):
        await asyncio.to_thread(asyncio.run, interrupted(count))

        assert connections_to(server.port) == 0, count


async def test_a_listener_that_connects_again_is_ended(url: str, server: ScriptedServer) -> None:
    """Its connection broke, and the next one is on its way."""
    for count in range(TURNS):
        client = ValkeyClient(url)
        await client.start()
        await client.subscriber.subscribe("news", lambda _: None)
        server.hang_up()
        await turns(count)

        await client.aclose()

        assert (connections_to(server.port), tasks()) == (0, []), count


async def test_a_redirection_in_the_moment_of_closing_opens_nothing(start: Start) -> None:
    """The node that it names is a new one, and the old one leaves the Cluster at once."""
    first, second = await start(lambda _: None), await start(lambda _: None)
    answered(second)
    moved = Exception(f"MOVED 7629 127.0.0.1:{second.port}")  # the slot of "k"
    for count in range(TURNS):
        answered(first)
        client = ValkeyClient(URLS["cluster"].format(first.port))
        await client.start()
        first.answer = lambda words: second.answer(words) if words[0] == "CLUSTER" else moved
        call = asyncio.create_task(endured(client.get("k")))
        await turns(count)

        await client.aclose()

        await call
        assert (connections_to(first.port, second.port), tasks()) == (0, []), count


async def test_tls_is_not_ended_politely_with_a_server_that_hangs(tmp_path: Path) -> None:
    """A farewell that it never answers would keep the socket for half a minute."""
    certificates = Certificates.make(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.crt", tmp_path / "server.key")
    taken = asyncio.Event()

    async def silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # it is a whole transport
        taken.set()
        await done.wait()
        writer.transport.abort()

    done = asyncio.Event()
    listening = await asyncio.start_server(silent, "127.0.0.1", ssl=context)
    port = listening.sockets[0].getsockname()[1]
    client = ValkeyClient(certificates.endpoint(port))
    call = asyncio.create_task(endured(client.get("k")))
    await taken.wait()
    try:
        await client.aclose()
        await call

        assert (connections_to(port), tasks()) == (0, [])
    finally:
        done.set()
        listening.close()
        await listening.wait_closed()
