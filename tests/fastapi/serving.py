"""Applications with cached endpoints, behind uvicorn, and clients of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from fastapi import FastAPI
from starlette.types import ASGIApp, Message

from tests.gateway.serving import served
from valkeyctl.caching import NamespacePolicy
from valkeyctl.endpoint import Endpoint
from valkeyctl.fastapi import CachedRoute, CacheSettings, lifespan


def application(
    endpoint: Endpoint, *, budget: float = 0.5, policy: NamespacePolicy | None = None
) -> FastAPI:
    """Return an application without endpoints, whose routes can be cached.

    Its budget is ample: a test on a busy machine asks what is cached, not how fast. The
    *policy* is that of the namespace ``metadata``.
    """
    settings = CacheSettings(url=endpoint.url(), app="site", budget=budget)
    policies = None if policy is None else {"metadata": policy}
    app = FastAPI(lifespan=lifespan(settings, policies=policies), openapi_url=None)
    app.router.route_class = CachedRoute
    return app


@asynccontextmanager
async def browsing(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """Serve *app* while the context lasts; yields a client of it that keeps no cookies."""
    async with (
        served(app) as url,
        httpx.AsyncClient(base_url=url, trust_env=False) as http,
    ):
        yield http


def cache_mark(answer: httpx.Response) -> str:
    """Return what the cache says that it did."""
    return answer.headers["x-valkeyctl-cache"]


class Counting:
    """Counts how often an endpoint ran."""

    def __init__(self) -> None:
        self.calls = 0

    def next(self) -> int:
        self.calls += 1
        return self.calls


async def ask(app: ASGIApp, path: str, *, method: str = "GET") -> list[Message]:
    """Return what *app* sends, word for word: a server would hide some of it."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"site")],
        "client": None,
        "server": None,
    }
    await app(scope, receive, send)
    return sent
