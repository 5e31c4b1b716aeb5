"""A connection to a real server that a test can slow down, hold or cut."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from valkeyctl.endpoint import Endpoint


class Proxy:
    """Passes on what clients ask and, as the test wants it, what the server answers.

    Args:
        server: Who answers.

    Attributes:
        endpoint: Where clients connect to.
        delay: Seconds that each answer comes late.
        answering: Answers wait until it is set.
        cut: Bytes of an answer that come through before the connection is reset; None lets
            all of it through.
        forged: What clients get in the place of each answer; None gives them the answer.
    """

    def __init__(self, server: Endpoint) -> None:
        self.endpoint = server
        self.delay = 0.0
        self.answering = asyncio.Event()
        self.answering.set()
        self.cut: int | None = None
        self.forged: bytes | None = None
        self._server = server
        self._pumps: set[asyncio.Task[object]] = set()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Proxy]:
        """Take connections inside of the block."""
        listener = await asyncio.start_server(self._connected, "127.0.0.1")
        self.endpoint = Endpoint(port=listener.sockets[0].getsockname()[1])
        try:
            yield self
        finally:
            listener.close()
            for pump in self._pumps:
                pump.cancel()
            await asyncio.gather(*self._pumps, return_exceptions=True)
            await listener.wait_closed()

    async def _connected(self, asked: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        opening = asyncio.create_task(asyncio.open_connection(self._server.host, self._server.port))
        self._pumps.add(opening)
        opening.add_done_callback(self._pumps.discard)
        try:
            answers, server = await opening
        except (OSError, asyncio.CancelledError):
            # The test has ended meanwhile: nobody else closes what was taken.
            await _close(client)
            return
        for pump in (self._pump(asked, server), self._answer(answers, client)):
            task: asyncio.Task[object] = asyncio.create_task(pump)
            self._pumps.add(task)
            task.add_done_callback(self._pumps.discard)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                sink.write(data)
        except ConnectionError:
            pass
        finally:
            await _close(sink)

    async def _answer(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                await self.answering.wait()
                if self.delay:
                    await asyncio.sleep(self.delay)
                sink.write((data if self.forged is None else self.forged)[: self.cut])
                if self.cut is not None:
                    return
        except ConnectionError:
            pass
        finally:
            await _close(sink)


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
