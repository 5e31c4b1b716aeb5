"""The sample application on a real server, driven as an ASGI server would drive it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field

import pytest

from valkeyctl.endpoint import Endpoint
from valkeyctl.sample.app import Message, Sample
from valkeyctl.sample.settings import SampleSettings


@dataclass(frozen=True)
class Answer:
    """One answer, whole."""

    status: int
    headers: dict[str, str]
    body: bytes = field(repr=False)

    @property
    def source(self) -> str | None:
        """What X-Cache says."""
        return self.headers.get("x-cache")

    @property
    def message(self) -> str:
        """Of an error."""
        return str(json.loads(self.body)["error"]["message"])


@dataclass(frozen=True)
class Caller:
    """Sends requests to a running application."""

    app: Sample

    async def __call__(
        self, path: str, *, method: str = "GET", query: str = "", **headers: str
    ) -> Answer:
        sent: list[Message] = []
        arriving = [{"type": "http.request", "body": b"x", "more_body": True}]
        arriving.append({"type": "http.request", "body": b"x", "more_body": False})

        async def receive() -> Message:
            return arriving.pop(0)

        async def send(message: Message) -> None:
            sent.append(message)

        given = [(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()]
        scope: Message = {"type": "http", "method": method, "path": path}
        scope.update(query_string=query.encode(), headers=given)
        # A task of its own, as an ASGI server gives each request.
        await asyncio.create_task(self.app(scope, receive, send))
        start, body = sent
        found = {name.decode(): value.decode() for name, value in start["headers"]}
        return Answer(start["status"], found, body["body"])

    async def origin_calls(self) -> int:
        """Return what the metrics page says."""
        page = (await self("/metrics")).body.decode()
        return int(page.splitlines()[-1].split()[1])


Running = Callable[..., AbstractAsyncContextManager[Caller]]


@asynccontextmanager
async def running(settings: SampleSettings) -> AsyncIterator[Caller]:
    """Keep an application of *settings* alive."""
    app = Sample(settings)
    up, down = asyncio.Event(), asyncio.Event()
    messages = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]

    async def receive() -> Message:
        if len(messages) == 1:
            await down.wait()
        return messages.pop(0)

    async def send(_: Message) -> None:
        up.set()

    life = asyncio.create_task(app({"type": "lifespan"}, receive, send))
    await up.wait()
    try:
        yield Caller(app)
    finally:
        down.set()
        await life


@pytest.fixture
def sample(endpoint: Endpoint) -> Running:
    """Start applications on the emptied server, with an origin that takes no time."""

    def start(**settings: object) -> AbstractAsyncContextManager[Caller]:
        fields = {"cache": endpoint, "app": "t", "origin": 0.0, "cache_budget": 5.0, **settings}
        return running(SampleSettings(**fields))  # type: ignore[arg-type]

    return start
