"""Taking an answer from an ASGI application as it sends it: whole, or passed on."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import Message, Send

from valkeyctl.fastapi.answer import marks_of
from valkeyctl.fastapi.exchange import Outcome
from valkeyctl.fastapi.rule import CacheRule
from valkeyctl.fastapi.stored import StoredResponse, may_be_shared, stored_from


class Taking:
    """The ``send`` of an application whose answer may be stored.

    It keeps back an answer that may be, as long as that is whole in its first piece or
    has a length within the rule; everything else goes on at once.

    Args:
        rule: What may be stored.
        whole: Called with a complete answer, instead of sending it.
        passed: Called with the status of any other answer before its first message is sent;
            says whether it shall be sent.
        send: Where those go.

    Attributes:
        decided: Whether one of the two has been called.
    """

    def __init__(
        self,
        rule: CacheRule,
        *,
        whole: Callable[[StoredResponse], Awaitable[None]],
        passed: Callable[[int], Awaitable[bool]],
        send: Send,
    ) -> None:
        self.decided = False
        self._sending = False
        self._rule = rule
        self._whole = whole
        self._passed = passed
        self._send = send
        self._held: list[Message] = []
        self._length: int | None = None

    async def __call__(self, message: Message) -> None:
        """Take one message."""
        if self.decided:
            if self._sending:
                await self._send(message)
        elif message["type"] == "http.response.start":
            self._held.append(message)
            headers = message.get("headers", ())
            self._length = _length_of(headers)
            if message.get("trailers") or not may_be_shared(
                message["status"], headers, self._rule, now=time.time()
            ):
                await self._pass()
        elif not self._held:
            await self._send(message)  # something that may come before an answer
        else:
            self._held.append(message)
            if message["type"] != "http.response.body":
                await self._pass()  # such as a file that the server shall send by itself
            elif not message.get("more_body", False):
                await self._complete()
            elif self._length is None or self._length > self._rule.max_bytes:
                await self._pass()

    async def finish(self) -> None:
        """Pass on what is held back of an answer that the application has not ended."""
        if not self.decided:
            await self._pass()

    async def _complete(self) -> None:
        start, *parts = self._held
        body = b"".join(part.get("body", b"") for part in parts)
        if self._length is not None and self._length != len(body):
            await self._pass()  # broken; the server will say so
            return
        self.decided = True
        self._held = []
        await self._whole(stored_from(start.get("headers", ()), body, now=time.time()))

    async def _pass(self) -> None:
        self.decided = True
        held, self._held = self._held, []
        self._sending = await self._passed(held[0]["status"] if held else 0)
        if self._sending:
            for message in held:
                await self._send(message)


def marked(send: Send, outcome: Outcome) -> Send:
    """Return *send* with the headers that say what the cache did."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(raw=list(message.get("headers", ())))
            for name, value in marks_of(outcome):
                headers[name] = value  # in place of what another cache behind has said
            message = {**message, "headers": headers.raw}
        await send(message)

    return sending


def _length_of(headers: list[tuple[bytes, bytes]]) -> int | None:
    length = Headers(raw=list(headers)).get("content-length", "")
    return int(length) if length.isascii() and length.isdigit() else None
