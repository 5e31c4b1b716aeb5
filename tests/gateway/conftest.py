"""A gateway on a real socket, in the test's own event loop."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

import httpx
import pytest
from fastapi import FastAPI

from tests.gateway.serving import served
from valkeyctl.endpoint import Endpoint
from valkeyctl.gateway.app import create_app
from valkeyctl.gateway.context import Gateway
from valkeyctl.gateway.origin import Origin
from valkeyctl.gateway.settings import GatewaySettings

# Fast enough to test, and not instant: calls overlap when they are sent together.
SPEEDUP = 1000.0


@dataclass(frozen=True)
class Running:
    """A gateway that answers.

    Attributes:
        http: A client of it.
        gateway: Its inside.
        url: Where it listens.
    """

    http: httpx.AsyncClient
    gateway: Gateway
    url: str

    @property
    def calls(self) -> int:
        """How often the origin was asked."""
        return self.gateway.origin.calls


Start = Callable[..., Awaitable[Running]]


@pytest.fixture
async def start(endpoint: Endpoint) -> AsyncIterator[Start]:
    """Starts gateways: settings as keywords, and an origin of the test's own if it likes."""
    async with AsyncExitStack() as stack:

        async def run(origin: Origin | None = None, **options: object) -> Running:
            # A test machine that is busy must not turn a hit into a miss.
            chosen = {"cache": endpoint, "speedup": SPEEDUP, "cache_budget": 2.0} | options
            settings = GatewaySettings(**chosen)  # type: ignore[arg-type]
            app: FastAPI = create_app(settings, origin=origin)
            url = await stack.enter_async_context(served(app))
            limits = httpx.Limits(max_connections=None)
            http = await stack.enter_async_context(
                httpx.AsyncClient(base_url=url, timeout=20, limits=limits, trust_env=False)
            )
            return Running(http, app.state.gateway, url)

        yield run


@pytest.fixture
async def running(start: Start) -> Running:
    """A gateway with the simulated origin."""
    return await start()
