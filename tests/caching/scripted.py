"""A server that answers as a test wants it to, for what a real one cannot be made to do."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

from valkeyctl.caching.replies import RichReply

Answer = Callable[[tuple[str, ...]], "RichReply | Exception | None"]
"""Returns the answer to a command; an exception is an error reply."""

Start = Callable[[Answer], Awaitable["ScriptedServer"]]
"""What the fixture `start` gives."""


class ScriptedServer:
    """Speaks RESP3 on a loopback port.

    Args:
        answer: What it answers; HELLO and SUBSCRIBE it knows by itself.
    """

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.port = 0
        self.asked: list[tuple[str, ...]] = []
        self.hold: asyncio.Event | None = None
        """Nothing is answered until it is set."""
        self._writers: set[asyncio.StreamWriter] = set()
        self._listening: set[asyncio.StreamWriter] = set()

    @property
    def listeners(self) -> int:
        """How many connections have subscribed."""
        return len(self._listening)

    @property
    def connections(self) -> int:
        """How many there are."""
        return len(self._writers)

    def hang_up(self) -> None:
        """Close every connection."""
        for writer in self._writers:
            writer.close()

    def announce(self, channel: str, message: str) -> None:
        """Tell everybody who has subscribed what was published."""
        push = b">3\r\n" + b"".join(map(_packed, (b"message", channel.encode(), message.encode())))
        for writer in self._listening:
            writer.write(push)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[ScriptedServer]:
        """Serve inside of the block."""
        server = await asyncio.start_server(self._serve, "127.0.0.1")
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self.hang_up()
            await server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while True:
                count = int((await reader.readline())[1:])
                words = []
                for _ in range(count):
                    size = int((await reader.readline())[1:])
                    words.append((await reader.readexactly(size + 2))[:-2].decode())
                if self.hold is not None:
                    await self.hold.wait()
                if words[0] == "SUBSCRIBE":
                    self._listening.add(writer)
                writer.write(self._reply(tuple(words)))
        except (asyncio.IncompleteReadError, ConnectionError, ValueError):
            pass  # the client has gone
        finally:
            self._writers.discard(writer)
            self._listening.discard(writer)
            writer.close()

    def _reply(self, words: tuple[str, ...]) -> bytes:
        if words[0] == "HELLO":
            return _packed({b"server": b"scripted", b"proto": 3})
        if words[0] == "SUBSCRIBE":
            return b"".join(
                b">3\r\n" + _packed(b"subscribe") + _packed(word.encode()) + _packed(1)
                for word in words[1:]
            )
        self.asked.append(words)
        return _packed(self.answer(words))


def _packed(answer: RichReply | Exception) -> bytes:
    match answer:
        case Exception():
            return f"-{answer}\r\n".encode()
        case None:
            return b"_\r\n"
        case bytes():
            return b"$%d\r\n%b\r\n" % (len(answer), answer)
        case int():
            return b":%d\r\n" % answer
        case list():
            return b"*%d\r\n" % len(answer) + b"".join(map(_packed, answer))
        case dict():
            pairs = b"".join(_packed(name) + _packed(value) for name, value in answer.items())
            return b"%%%d\r\n" % len(answer) + pairs
    raise TypeError(type(answer))
