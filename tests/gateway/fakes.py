"""Origins that a test holds in its hand."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from valkeyctl.gateway.failures import RequestFailure
from valkeyctl.gateway.origin import ChatCall, OriginReply, OriginStream


def completion(text: str = "held", finish_reason: str | None = "stop") -> dict[str, object]:
    """Return a chat completion."""
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": finish_reason}
    return {"id": "c1", "object": "chat.completion", "model": "m", "choices": [choice]}


class HeldOrigin:
    """Answers when the test lets it.

    Attributes:
        asked: Set when the first call has come.
        let_go: Set by the test; from then on calls are answered.
        reply: What they are answered with.
        failure: Raised instead, if there is one.
        failing: What it says of itself.
        closed: Whether the gateway closed it.
        left: Streams that were given up before their end.
    """

    identity = "held"

    def __init__(self, reply: OriginReply | None = None, *, held: bool = True) -> None:
        self.calls = 0
        self.asked = asyncio.Event()
        self.let_go = asyncio.Event()
        if not held:
            self.let_go.set()
        self.reply = reply or OriginReply(
            200, json.dumps(completion()).encode(), {"content-type": "application/json"}
        )
        self.failure: Exception | None = None
        self.failing = False
        self.closed = False
        self.left = asyncio.Event()

    async def complete(self, call: ChatCall) -> OriginReply:
        """Answer once the test lets it."""
        self.calls += 1
        self.asked.set()
        await self.let_go.wait()
        if self.failure is not None:
            raise self.failure
        return self.reply

    @asynccontextmanager
    async def stream(self, call: ChatCall) -> AsyncIterator[OriginStream]:
        """One event at once, the next when the test lets it, then the failure if there is one."""
        self.calls += 1
        self.asked.set()
        finished = False

        async def chunks() -> AsyncIterator[bytes]:
            nonlocal finished
            yield b"data: {}\n\n"
            await self.let_go.wait()
            if self.failure is not None:
                raise self.failure
            yield b"data: [DONE]\n\n"
            finished = True

        try:
            yield OriginStream(200, {"content-type": "text/event-stream"}, chunks())
        finally:
            if not finished:
                self.left.set()

    async def aclose(self) -> None:
        """Note it."""
        self.closed = True


def refusal(status: int = 502) -> RequestFailure:
    """Return how an origin says that there is no answer."""
    return RequestFailure(status, "upstream_failed", "the connection to the provider broke off")
