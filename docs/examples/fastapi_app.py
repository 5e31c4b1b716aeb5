"""A small shop of models: an application that goes on without its cache.

Run it: CACHE_URL=redis://127.0.0.1:6379/0 uvicorn --app-dir docs/examples fastapi_app:app
"""

from __future__ import annotations

import asyncio

from fastapi import FastAPI, HTTPException, Request
from pydantic import BaseModel

from valkeyctl.caching import NamespacePolicy
from valkeyctl.errors import ValkeyctlError
from valkeyctl.fastapi import (
    CacheDep,
    CachedRoute,
    CacheSettings,
    ClientDep,
    cached_response,
    lifespan,
)


class Model(BaseModel):
    """What the shop sells."""

    name: str
    context: int


class Database:
    """Stands for yours: right, and slow."""

    def __init__(self) -> None:
        self._models = {name: Model(name=name, context=8192) for name in ("small", "large")}

    async def names(self) -> list[str]:
        """Return the names of all models."""
        await asyncio.sleep(0.02)
        return sorted(self._models)

    async def read(self, name: str) -> Model | None:
        """Return a model, or None."""
        await asyncio.sleep(0.02)
        return self._models.get(name)

    async def write(self, model: Model) -> None:
        """Add or change a model."""
        await asyncio.sleep(0.02)
        self._models[model.name] = model


database = Database()
policies = {
    "metadata": NamespacePolicy(ttl=300),
    # Kept an hour longer, for times when the database fails.
    "page": NamespacePolicy(ttl=60, stale_if_error=3600),
}
app = FastAPI(lifespan=lifespan(CacheSettings(), policies=policies))
app.router.route_class = CachedRoute  # before the endpoints


@app.get("/models")
async def models(cache: CacheDep) -> list[str]:
    """List the models: one value, cached by hand."""
    return await cache.get_or_load("metadata", "names", database.names, tags=["models"])


def tags_of(request: Request) -> list[str]:
    """Return what a model's page is invalidated by."""
    return [f"model:{request.path_params['name']}"]


@app.get("/models/{name}")
@cached_response("page", tags=tags_of, client_ttl=0)
async def model(name: str) -> Model:
    """Describe a model: the whole response, cached."""
    found = await database.read(name)
    if found is None:
        raise HTTPException(404, f"there is no model {name}")
    return found


@app.put("/models/{name}")
async def change(name: str, context: int, cache: CacheDep) -> Model:
    """Write, then invalidate what was made of the old state."""
    changed = Model(name=name, context=context)
    await database.write(changed)
    try:
        await cache.invalidate_tag("models")
        await cache.invalidate_tag(f"model:{name}")
    except ValkeyctlError as error:
        # It is written, and readers may see the old state until it expires. The caller
        # must know, and may simply do it again.
        raise HTTPException(
            503, "written, but not yet seen by all readers", headers={"Retry-After": "1"}
        ) from error
    return changed


@app.get("/healthz")
async def healthz(client: ClientDep) -> dict[str, str]:
    """Say that the application is alive, and how its cache is."""
    try:
        await client.execute("PING", deadline=0.1)
    except ValkeyctlError as error:
        return {"status": "degraded", "cache": error.code, "breaker": client.breaker.state}
    return {"status": "ok", "cache": "up", "breaker": client.breaker.state}
