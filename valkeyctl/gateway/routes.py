"""The gateway's paths, and the three that tell how it is."""

from __future__ import annotations

import json
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from valkeyctl.errors import ValkeyctlError
from valkeyctl.gateway.chat import chat
from valkeyctl.gateway.context import Gateway, gateway_of

_FRESH = {"cache-control": "no-store"}


async def healthz(request: Request) -> Response:
    """Say that the process is alive, with 200 always, and how its store is."""
    gateway = gateway_of(request)
    return _json(200, {"status": "ok", "store": await _store(gateway)})


async def readyz(request: Request) -> Response:
    """Say whether requests should come here: 503 only when none could be answered.

    Without its cache the gateway asks the origin each time, without its origin it still
    answers from the cache: both are ``degraded`` and stay in rotation.
    """
    gateway = gateway_of(request)
    store = await _store(gateway)
    failing = gateway.origin.failing
    away = store["state"] != "up"
    status = "unavailable" if failing and away else "degraded" if failing or away else "ready"
    report = {
        "status": status,
        "store": store,
        "origin": {"state": "failing" if failing else "up"},
    }
    return _json(503 if status == "unavailable" else 200, report)


async def metrics(request: Request) -> Response:
    """Return the metrics page for Prometheus."""
    page, content_type = gateway_of(request).metrics.page(request.headers.get("accept", ""))
    return Response(page, headers={**_FRESH, "content-type": content_type})


async def _store(gateway: Gateway) -> dict[str, str]:
    breaker = gateway.client.breaker
    try:
        await gateway.client.ping()
    except ValkeyctlError as error:
        # The code and not the text, which names the address and may quote the server.
        return {"state": "down", "reason": error.code, "breaker": breaker.state}
    return {"state": "up", "breaker": breaker.state}


def _json(status: int, document: Mapping[str, object]) -> Response:
    return Response(
        json.dumps(document).encode(),
        status_code=status,
        media_type="application/json",
        headers=_FRESH,
    )


ROUTES = [
    Route("/v1/chat/completions", chat, methods=["POST"]),
    Route("/healthz", healthz, methods=["GET"]),
    Route("/readyz", readyz, methods=["GET"]),
    Route("/metrics", metrics, methods=["GET"]),
]
