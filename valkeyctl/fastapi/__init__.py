"""A Valkey client, a cache and cached responses in a FastAPI application of your own.

::

    from fastapi import FastAPI
    from valkeyctl.fastapi import CacheDep, CachedRoute, CacheSettings, cached_response, lifespan

    app = FastAPI(lifespan=lifespan(CacheSettings()))
    app.router.route_class = CachedRoute

    @app.get("/models/{name}")
    async def model(name: str, cache: CacheDep) -> Model:
        return await cache.get_or_load("metadata", name, lambda: read_model(name))

    @app.get("/catalog")
    @cached_response("catalog", ttl=60)
    async def catalog() -> list[Model]: ...
"""

from __future__ import annotations

from valkeyctl.errors import MissingError

try:
    import fastapi  # noqa: F401 - tried here, so that one sentence answers for all below
    import pydantic_settings  # noqa: F401
except ModuleNotFoundError as error:
    raise MissingError(
        f"the FastAPI integration needs the package {error.name}, which is not installed",
        hint="Install it: pip install 'valkeyctl[gateway]'",
    ) from error

from valkeyctl.fastapi.lifespan import CacheDep, ClientDep, get_cache, get_client, lifespan
from valkeyctl.fastapi.middleware import ResponseCacheMiddleware
from valkeyctl.fastapi.route import CachedRoute, cached_response
from valkeyctl.fastapi.rule import CacheRule
from valkeyctl.fastapi.settings import CacheSettings

__all__ = [
    "CacheDep",
    "CacheRule",
    "CacheSettings",
    "CachedRoute",
    "ClientDep",
    "ResponseCacheMiddleware",
    "cached_response",
    "get_cache",
    "get_client",
    "lifespan",
]
