"""What the routes share: made when the application starts, closed when it ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from starlette.requests import Request
from structlog.typing import FilteringBoundLogger

from valkeyctl.caching import ResponseCache, ValkeyClient
from valkeyctl.gateway.metrics import Metrics
from valkeyctl.gateway.origin import Origin
from valkeyctl.gateway.settings import GatewaySettings


@dataclass(frozen=True)
class Gateway:
    """The parts of one running gateway.

    Attributes:
        settings: What it was started with.
        origin: Answers what the cache cannot.
        client: The way to the cache.
        responses: The cache of answers.
        metrics: What it counts.
        journal: Where it logs.
    """

    settings: GatewaySettings
    origin: Origin
    client: ValkeyClient
    responses: ResponseCache
    metrics: Metrics
    journal: FilteringBoundLogger


def gateway_of(request: Request) -> Gateway:
    """Return the gateway that *request* came to."""
    return cast("Gateway", request.app.state.gateway)


def request_id_of(request: Request) -> str:
    """Return the correlation id that the front gave *request*."""
    return cast("str", request.state.request_id)
