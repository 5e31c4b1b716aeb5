"""An endpoint that answers ``ok`` to everything, and can fall silent once.

``GET /arm?at=2&for=0.5`` makes it stall 2 s after the next request, for half a second;
``GET /stall`` says when it did, on the machine's monotonic clock.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import cast
from urllib.parse import parse_qs

import uvloop

_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Cache: hit\r\n\r\nok"


class _Stall:
    """One silence of the whole process."""

    def __init__(self) -> None:
        self.armed: tuple[float, float] | None = None
        self.begin = self.end = 0.0

    def trigger(self) -> None:
        """Fall silent, as far from now as was asked for."""
        if self.armed is not None:
            at, length = self.armed
            self.armed = None
            asyncio.get_running_loop().call_later(at, self._sleep, length)

    def _sleep(self, length: float) -> None:
        self.begin = time.perf_counter()
        time.sleep(length)
        self.end = time.perf_counter()


class _Connection(asyncio.Protocol):
    def __init__(self, stall: _Stall) -> None:
        self._stall = stall

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not inherit from asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        path = data.split(b" ", 2)[1]
        if path == b"/":
            if self._stall.armed is not None:
                self._stall.trigger()
            self._transport.write(_OK)
        elif path == b"/stall":
            self._say(json.dumps([self._stall.begin, self._stall.end]))
        elif path.startswith(b"/arm?"):
            asked = parse_qs(path.decode().partition("?")[2])
            self._stall.armed = (float(asked["at"][0]), float(asked["for"][0]))
            self._say("")
        else:
            self._transport.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")

    def _say(self, text: str) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(text)}\r\n\r\n"
        self._transport.write((head + text).encode())


async def serve() -> None:
    """Listen on a free port, print it, and answer for ever."""
    stall = _Stall()
    server = await asyncio.get_running_loop().create_server(
        lambda: _Connection(stall), "127.0.0.1", 0, backlog=2048
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve())
