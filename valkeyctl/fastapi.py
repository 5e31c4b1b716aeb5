"""A Valkey client and a cache in a FastAPI application of your own.

::

    from fastapi import Depends, FastAPI
    from valkeyctl.fastapi import CacheSettings, get_cache, lifespan

    app = FastAPI(lifespan=lifespan(CacheSettings()))

    @app.get("/models/{name}")
    async def model(name: str, cache: Annotated[CacheService, Depends(get_cache)]) -> Model:
        return await cache.get_or_load("metadata", name, lambda: read_model(name))
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import structlog

from valkeyctl.caching import CacheService, ValkeyClient
from valkeyctl.caching.keys import KeyScheme
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import MissingError

try:
    from fastapi import FastAPI, Request
    from pydantic import Field
    from pydantic_settings import BaseSettings, SettingsConfigDict
except ModuleNotFoundError as error:
    raise MissingError(
        f"the FastAPI integration needs the package {error.name}, which is not installed",
        hint="Install it: pip install 'valkeyctl[gateway]'",
    ) from error

__all__ = ["CacheSettings", "get_cache", "get_client", "lifespan"]

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


class CacheSettings(BaseSettings):
    """Where the cache is and how patient the application is with it.

    Each field is read from the environment variable ``CACHE_`` and its name, such as
    ``CACHE_URL``, unless it is given.
    """

    model_config = SettingsConfigDict(env_prefix="CACHE_", frozen=True, extra="ignore")

    url: str = Field(
        "redis://127.0.0.1:6379/0",
        repr=False,
        description="Server of the cache; rediss:// for TLS. May hold a password.",
    )
    app: str = Field("default", description="First part of every key.")
    budget: float = Field(
        0.025, gt=0, allow_inf_nan=False, description="Seconds a cache read may take."
    )
    deadline: float = Field(
        1.0, gt=0, allow_inf_nan=False, description="Seconds any other call may take."
    )


def lifespan(settings: CacheSettings, *, endpoint: Endpoint | None = None) -> Lifespan:
    """Return what FastAPI's ``lifespan=`` takes: open at start, closed at shutdown.

    At start the client is on ``app.state.valkey`` and the cache on
    ``app.state.valkey_cache``, and the server is asked with PING. One that does not
    answer is logged and does not keep the application from starting: reads are misses
    until it comes back, which the client notices by itself.

    An application with a lifespan of its own enters this one within it::

        async with lifespan(settings)(app):
            yield

    Args:
        settings: Where and how patient.
        endpoint: Used instead of ``settings.url``, for what a URL cannot say.

    Raises:
        UsageError: ``settings.url`` is not a server URL.
        InvalidKeyError: ``settings.app`` cannot be part of a key.
    """
    KeyScheme(settings.app)  # here, so that a wrong name is told before a server is started
    target = endpoint or Endpoint.parse(settings.url)

    @asynccontextmanager
    async def opened(app: FastAPI) -> AsyncIterator[None]:
        log = structlog.get_logger("valkeyctl.fastapi")
        client = ValkeyClient(target, deadline=settings.deadline)
        try:
            answers = await client.start()
            app.state.valkey = client
            app.state.valkey_cache = CacheService(client, app=settings.app, budget=settings.budget)
            log.info("cache_opened", address=target.address, answers=answers)
            yield
        finally:
            await client.aclose()
            log.info("cache_closed", address=target.address)

    return opened


def get_client(request: Request) -> ValkeyClient:
    """Return the application's client; for ``Depends`` or a direct call.

    ``.raw`` is the ``redis.asyncio`` client beneath.

    Raises:
        RuntimeError: The application was started without `lifespan`.
    """
    client = getattr(request.app.state, "valkey", None)
    if not isinstance(client, ValkeyClient):
        raise RuntimeError("the application has no cache: FastAPI(lifespan=lifespan(settings))")
    return client


def get_cache(request: Request) -> CacheService:
    """Return the application's cache; for ``Depends`` or a direct call.

    Raises:
        RuntimeError: The application was started without `lifespan`.
    """
    cache = getattr(request.app.state, "valkey_cache", None)
    if not isinstance(cache, CacheService):
        raise RuntimeError("the application has no cache: FastAPI(lifespan=lifespan(settings))")
    return cache
