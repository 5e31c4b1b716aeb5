"""The gateway as an application: `create_app`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast, get_args

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from structlog.typing import FilteringBoundLogger

from valkeyctl.caching import NamespacePolicy, ResponseCache, ValkeyClient
from valkeyctl.caching.breaker import State
from valkeyctl.caching.observers.prometheus import PrometheusObserver
from valkeyctl.fastapi import CacheSettings, lifespan
from valkeyctl.gateway.context import Gateway, request_id_of
from valkeyctl.gateway.failures import RequestFailure
from valkeyctl.gateway.front import Front
from valkeyctl.gateway.journal import open_journal
from valkeyctl.gateway.metrics import Metrics
from valkeyctl.gateway.origin import Origin
from valkeyctl.gateway.routes import ROUTES
from valkeyctl.gateway.settings import GatewaySettings
from valkeyctl.gateway.simulated import SimulatedLLM
from valkeyctl.gateway.upstream import Upstream

# Seconds for calls of the client that are not lookups, such as the PING of /healthz.
_DEADLINE = 1.0


def create_app(
    settings: GatewaySettings,
    *,
    origin: Origin | None = None,
    journal: FilteringBoundLogger | None = None,
) -> FastAPI:
    """Return the gateway, for an ASGI server that runs lifespans.

    While it runs, ``app.state.gateway`` is its `Gateway` and ``app.state.valkey`` the
    client of its cache. Nothing is connected before it starts.

    Args:
        settings: How it behaves.
        origin: Where answers come from; None opens what ``settings.upstream`` names. It
            is closed with the application.
        journal: Where it logs; None writes JSON lines to stderr.

    Raises:
        InvalidKeyError: ``settings.app`` cannot be part of a key.
    """
    log = journal or open_journal(settings.log_level)
    cached = lifespan(_cache_settings(settings), endpoint=settings.cache)

    @asynccontextmanager
    async def running(app: FastAPI) -> AsyncIterator[None]:
        async with cached(app):
            client: ValkeyClient = app.state.valkey
            answering = origin or open_origin(settings)
            app.state.gateway = Gateway(
                settings=settings,
                origin=answering,
                client=client,
                responses=ResponseCache(
                    client,
                    app=settings.app,
                    policy=NamespacePolicy(settings.response_ttl),
                    budget=settings.cache_budget,
                    observers=[observer],
                ),
                metrics=metrics,
                journal=log,
            )
            try:
                yield
            finally:
                await answering.aclose()

    app = FastAPI(
        title="valkeyctl gateway",
        lifespan=running,
        routes=[*ROUTES],
        # The routes are the provider's, described by the provider; a slash too many is
        # an error there too.
        openapi_url=None,
        redirect_slashes=False,
        exception_handlers={RequestFailure: _answer_failure, HTTPException: _answer_http},
    )
    metrics = Metrics(
        origin_calls=lambda: cast("int", app.state.gateway.origin.calls),
        breaker_state=lambda: cast("str", app.state.gateway.client.breaker.state),
        breaker_states=get_args(State),
    )
    observer = PrometheusObserver(metrics.registry)
    app.add_middleware(
        Front,
        journal=log,
        routes=frozenset(route.path for route in ROUTES),
        observe=metrics.request,
    )
    return app


def _cache_settings(settings: GatewaySettings) -> CacheSettings:
    # Every field is given: what is not would be read from the environment, where CACHE_*
    # may be meant for another program.
    return CacheSettings(
        url=settings.cache.url(),
        password_file=None,
        ca_file=None,
        cert_file=None,
        key_file=None,
        app=settings.app,
        budget=settings.cache_budget,
        deadline=_DEADLINE,
        connect_timeout=1.0,
        pool_size=64,
        max_value_bytes=8 * 2**20,
    )


def open_origin(settings: GatewaySettings) -> Origin:
    """Return the origin that *settings* name."""
    if settings.simulated:
        return SimulatedLLM(seed=settings.seed, speedup=settings.speedup)
    return Upstream(
        settings.upstream_base,
        api_key=settings.upstream_api_key,
        connect_timeout=settings.connect_timeout,
        timeout=settings.upstream_timeout,
        connections=settings.upstream_connections,
        max_reply_bytes=settings.max_reply_bytes,
    )


async def _answer_failure(request: Request, error: Exception) -> Response:
    failure = cast("RequestFailure", error)
    return failure.response(request_id_of(request))


async def _answer_http(request: Request, error: Exception) -> Response:
    """Answer what the router refuses: an unknown path, or a method that it has not."""
    refusal = cast("HTTPException", error)
    if refusal.status_code == 405:
        failure = RequestFailure(
            405, "method_not_allowed", "this URL has no such method", headers=refusal.headers
        )
    elif refusal.status_code == 404:
        failure = RequestFailure(404, "unknown_url", "there is nothing at this URL")
    else:
        failure = RequestFailure(
            refusal.status_code,
            "request_refused",
            "the request was refused",
            headers=refusal.headers,
        )
    return failure.response(request_id_of(request))
