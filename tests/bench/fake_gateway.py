"""A gateway without a Valkey: a real HTTP server process that caches in its own memory.

It takes the options of ``valkeyctl gateway serve`` and answers as the real one does, so
that the bench package is tested by itself. How it misbehaves is set by environment:
FAKE_STATUS (of every answer), FAKE_BODY, FAKE_DIE_AFTER (answers), FAKE_DELAY (seconds an
origin call takes), FAKE_STALL (one pause of the whole server, with the first request from
FAKE_STALL_AT seconds after its first one on; begin and end, monotonic, go to the file
FAKE_STALL_LOG), FAKE_NO_METRICS.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import sys
import time
from pathlib import Path


class State:
    """What all connections share."""

    def __init__(self) -> None:
        self.cache: dict[bytes, bytes] = {}
        self.flights: dict[bytes, asyncio.Future[bytes]] = {}
        self.origin_calls = 0
        self.answers = 0
        self.status = int(os.environ.get("FAKE_STATUS", "200"))
        self.body = os.environ.get("FAKE_BODY", "").encode()
        self.die_after = int(os.environ.get("FAKE_DIE_AFTER", "0"))
        self.delay = float(os.environ.get("FAKE_DELAY", "0.002"))
        self.stall = float(os.environ.get("FAKE_STALL", "0"))
        self.stall_at = float(os.environ.get("FAKE_STALL_AT", "1"))
        self.began = 0.0
        self.metrics = "FAKE_NO_METRICS" not in os.environ

    async def origin(self, body: bytes) -> bytes:
        self.origin_calls += 1
        if self.delay:
            await asyncio.sleep(self.delay)
        text = hashlib.sha256(body).hexdigest()
        return json.dumps({"choices": [{"message": {"content": text}}]}).encode()

    async def answer(self, body: bytes, bypass: bool) -> tuple[bytes, str]:
        if bypass:
            return await self.origin(body), "bypass"
        if body in self.cache:
            return self.cache[body], "hit"
        flight = self.flights.get(body)
        if flight is not None:
            return await flight, "collapsed"
        flight = self.flights[body] = asyncio.get_running_loop().create_future()
        reply = await self.origin(body)
        self.cache[body] = reply
        del self.flights[body]
        flight.set_result(reply)
        return reply, "miss"


class Connection(asyncio.Protocol):
    """HTTP/1.1 with keep-alive, one request at a time: all that a load generator needs."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.buffer = b""
        self.tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, blank, rest = self.buffer.partition(b"\r\n\r\n")
        if not blank:
            return
        lines = head.decode("latin-1").split("\r\n")
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines[1:])
        }
        length = int(headers.get("content-length", "0"))
        if len(rest) < length:
            return
        self.buffer = rest[length:]
        task = asyncio.ensure_future(self.serve(lines[0].split()[1], headers, rest[:length]))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def serve(self, path: str, headers: dict[str, str], body: bytes) -> None:
        state = self.state
        if path == "/healthz":
            return self.send(200, b"ok")
        if path == "/metrics":
            if not state.metrics:
                return self.send(404, b"")
            text = (
                "# TYPE valkeyctl_origin_calls_total counter\n"
                f'valkeyctl_origin_calls_total{{upstream="fake"}} {state.origin_calls}.0\n'
            )
            return self.send(200, text.encode())
        if state.answers == 0:
            state.began = time.monotonic()
        # With a request at hand, so that it does not fall between two blocks of the load.
        if state.stall and time.monotonic() - state.began >= state.stall_at:
            length, state.stall = state.stall, 0.0
            asyncio.get_running_loop().call_soon(self.pause, length)
        state.answers += 1
        if state.die_after and state.answers > state.die_after:
            os._exit(3)
        reply, outcome = await state.answer(body, headers.get("x-valkeyctl-cache") == "off")
        return self.send(state.status, state.body or reply, outcome)

    def pause(self, length: float) -> None:
        begin = time.perf_counter()
        time.sleep(length)
        Path(os.environ["FAKE_STALL_LOG"]).write_text(json.dumps([begin, time.perf_counter()]))

    def send(self, status: int, body: bytes, outcome: str = "") -> None:
        extra = f"X-Cache: {outcome}\r\n" if outcome else ""
        head = f"HTTP/1.1 {status} x\r\nContent-Length: {len(body)}\r\n{extra}\r\n"
        self.transport.write(head.encode() + body)


async def end_with(parent: int) -> None:
    """End this process when *parent*, which has started it, is gone, as the real one does."""
    while os.getppid() == parent:  # noqa: ASYNC110 - nobody sets an event when a process ends
        await asyncio.sleep(0.1)
    os._exit(0)


async def main() -> None:
    parser = argparse.ArgumentParser()
    options = "url host port upstream seed speedup app cache-budget ttl log-level"
    for option in options.split():
        parser.add_argument(f"--{option}", required=True)
    parser.add_argument("--parent", type=int)
    given = parser.parse_args()
    assert given.url == "-"
    assert sys.stdin.readline().startswith("redis")
    assert "VALKEYCTL_URL" not in os.environ
    state = State()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Connection(state), given.host, int(given.port), backlog=2048
    )
    if given.parent is None:
        await server.serve_forever()
    await end_with(given.parent)


if __name__ == "__main__":
    asyncio.run(main())
