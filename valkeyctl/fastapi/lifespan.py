"""The client and the cache of an application: opened at start, closed at shutdown."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Annotated, TypeAlias

import structlog
from fastapi import Depends, FastAPI, Request

from valkeyctl.caching import CacheService, NamespacePolicy, ValkeyClient
from valkeyctl.caching.keys import KeyScheme
from valkeyctl.caching.observer import Observer
from valkeyctl.endpoint import Endpoint
from valkeyctl.fastapi.settings import CacheSettings

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def lifespan(
    settings: CacheSettings,
    *,
    endpoint: Endpoint | None = None,
    policies: Mapping[str, NamespacePolicy] | None = None,
    observers: Iterable[Observer] = (),
    open_cache: Callable[[ValkeyClient], CacheService] | None = None,
) -> Lifespan:
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
        endpoint: Used instead of ``settings.url`` and the files beside it.
        policies: How long entries live, by namespace; None takes the library's defaults.
        observers: Who hears what the cache does, such as a `PrometheusObserver`.
        open_cache: Makes the service, for what cannot be said here, such as a key ring;
            policies, observers and the cache's part of the settings are then its own.

    Raises:
        UsageError: ``settings.url`` is not a server URL; see `CacheSettings.endpoint`.
        FolderError: The password file cannot be read.
        InvalidKeyError: ``settings.app`` cannot be part of a key.
    """
    KeyScheme(settings.app)  # here, so that a wrong name is told before a server is started
    target = endpoint or settings.endpoint()

    told = tuple(observers)

    def usual(client: ValkeyClient) -> CacheService:
        return CacheService(
            client,
            app=settings.app,
            policies=policies,
            budget=settings.budget,
            observers=told,
            max_value_bytes=settings.max_value_bytes,
        )

    @asynccontextmanager
    async def opened(app: FastAPI) -> AsyncIterator[None]:
        log = structlog.get_logger("valkeyctl.fastapi")
        client = ValkeyClient(
            target,
            deadline=settings.deadline,
            connect_timeout=settings.connect_timeout,
            pool_size=settings.pool_size,
        )
        cache = (open_cache or usual)(client)
        try:
            answers = await client.start()
            app.state.valkey = client
            app.state.valkey_cache = cache
            log.info("cache_opened", address=target.address, answers=answers)
            yield
        finally:
            await client.aclose()  # and with it the cache
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


# FastAPI calls a plain function in a thread, which costs more than a hit does; these wait
# for nothing and are async all the same.
async def _client(request: Request) -> ValkeyClient:
    return get_client(request)


async def _cache(request: Request) -> CacheService:
    return get_cache(request)


ClientDep: TypeAlias = Annotated[ValkeyClient, Depends(_client)]
"""A parameter of this type gets the application's client, quicker than by `get_client`."""

CacheDep: TypeAlias = Annotated[CacheService, Depends(_cache)]
"""A parameter of this type gets the application's cache, quicker than by `get_cache`."""
