"""The client and the cache in a FastAPI application of somebody's own."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import httpx
import pytest
from fastapi import Depends, FastAPI, Request
from prometheus_client import CollectorRegistry, make_asgi_app

from tests.conftest import free_port, start_server
from tests.gateway.serving import served
from valkeyctl.caching import CacheService, NamespacePolicy, ValkeyClient
from valkeyctl.caching.observers.prometheus import PrometheusObserver
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import InvalidKeyError, UnreachableError, UsageError
from valkeyctl.fastapi import (
    CacheDep,
    CacheSettings,
    ClientDep,
    get_cache,
    get_client,
    lifespan,
)


def application(settings: CacheSettings) -> FastAPI:
    app = FastAPI(lifespan=lifespan(settings))
    loads = []

    @app.get("/models/{name}")
    async def model(name: str, cache: Annotated[CacheService, Depends(get_cache)]) -> object:
        async def load() -> str:
            loads.append(name)
            return f"{name} number {len(loads)}"

        return await cache.get_or_load("metadata", name, load)

    @app.get("/ping")
    async def ping(client: Annotated[ValkeyClient, Depends(get_client)]) -> bool:
        return bool(await client.raw.ping())

    return app


async def test_the_typed_parameters_give_the_same_objects(endpoint: Endpoint) -> None:
    """Without Depends, and without FastAPI's hop into a thread."""
    app = FastAPI(lifespan=lifespan(CacheSettings(url=endpoint.url())))

    @app.get("/same")
    async def same(request: Request, cache: CacheDep, client: ClientDep) -> bool:
        return cache is get_cache(request) and client is get_client(request)

    async with served(app) as url:
        assert (await get(url, "/same")).json() is True


async def get(url: str, path: str) -> httpx.Response:
    async with httpx.AsyncClient(base_url=url, trust_env=False) as http:
        return await http.get(path)


async def test_an_application_gets_the_cache_and_the_client(endpoint: Endpoint) -> None:
    """Both dependencies work on one client, opened at start."""
    app = application(CacheSettings(url=endpoint.url(), app="myapp"))

    async with served(app) as url:
        first = await get(url, "/models/a")
        second = await get(url, "/models/a")
        pinged = await get(url, "/ping")

    assert first.json() == second.json() == "a number 1"
    assert pinged.json() is True


async def test_the_client_is_closed_with_the_application(endpoint: Endpoint) -> None:
    """No connection is left behind."""
    app = application(CacheSettings(url=endpoint.url()))

    async with served(app):
        client: ValkeyClient = app.state.valkey
        await client.ping()

    with pytest.raises(UnreachableError):
        await client.ping()


async def test_an_application_starts_without_its_cache_and_finds_it_later(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Reads are misses until the server is there; nobody has to restart anything."""
    process, endpoint = start_server(tmp_path_factory.mktemp("gone"))
    process.kill()
    process.wait()
    app = application(CacheSettings(url=endpoint.url()))

    async with served(app) as url:
        without = [(await get(url, "/models/a")).json() for _ in range(2)]
        again = subprocess.Popen(process.args, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)  # noqa: ASYNC220 - returns at once
        client: ValkeyClient = app.state.valkey
        try:
            for _ in range(500):
                if client.breaker.state == "closed":
                    break
                await asyncio.sleep(0.02)  # another process comes up; nothing tells us when
            with_it = [(await get(url, "/models/b")).json() for _ in range(2)]
        finally:
            again.kill()
            again.wait()

    assert without == ["a number 1", "a number 2"]
    assert with_it == ["b number 3", "b number 3"]


async def test_a_lifespan_of_ones_own_can_enter_it(endpoint: Endpoint) -> None:
    """For applications that open other things too."""
    settings = CacheSettings(url=endpoint.url())
    seen: list[str] = []

    @asynccontextmanager
    async def mine(app: FastAPI) -> AsyncIterator[None]:
        async with lifespan(settings)(app):
            seen.append(type(app.state.valkey).__name__)
            yield

    async with served(FastAPI(lifespan=mine)):
        assert seen == ["ValkeyClient"]


async def test_observers_and_policies_reach_the_cache(endpoint: Endpoint) -> None:
    """Prometheus scrapes what the application's requests did."""
    registry = CollectorRegistry()
    settings = CacheSettings(url=endpoint.url(), app="watched", budget=5)
    opening = lifespan(
        settings,
        policies={"own": NamespacePolicy(60)},
        observers=[PrometheusObserver(registry)],
    )
    app = FastAPI(lifespan=opening)
    app.mount("/metrics", make_asgi_app(registry))

    @app.get("/value")
    async def value(cache: Annotated[CacheService, Depends(get_cache)]) -> object:
        return await cache.get("own", "a", "none")

    async with served(app) as url:
        await get(url, "/value")
        page = (await get(url, "/metrics/")).text

    assert 'valkeyctl_cache_reads_total{namespace="own",outcome="miss"} 1.0' in page


async def test_a_cache_can_be_made_by_the_application(endpoint: Endpoint) -> None:
    """For what settings cannot say; it is closed all the same."""
    closed = []

    class Own(CacheService):
        async def aclose(self) -> None:
            closed.append(self.keys.app)
            await super().aclose()

    settings = CacheSettings(url=endpoint.url())
    app = FastAPI(lifespan=lifespan(settings, open_cache=lambda client: Own(client, app="own")))

    async with served(app):
        assert isinstance(app.state.valkey_cache, Own)

    assert closed == ["own"]


def test_a_dependency_without_the_lifespan_says_what_is_missing() -> None:
    """Not an AttributeError about some state."""
    request = Request({"type": "http", "app": FastAPI()})

    for dependency in (get_client, get_cache):
        with pytest.raises(RuntimeError, match="lifespan"):
            dependency(request)


def test_settings_that_cannot_be_meant_are_told_before_anything_starts() -> None:
    """When the application is made, not at its first request."""
    with pytest.raises(UsageError):
        lifespan(CacheSettings(url="http://127.0.0.1"))
    with pytest.raises(InvalidKeyError):
        lifespan(CacheSettings(app="My App"), endpoint=Endpoint(port=free_port()))


@pytest.mark.parametrize("package", ["fastapi", "pydantic_settings"])
def test_a_missing_package_is_told_with_the_command_that_installs_it(package: str) -> None:
    """One sentence instead of an ImportError about a name inside."""
    code = f"""
import sys
sys.modules[{package!r}] = None
from valkeyctl.errors import MissingError
try:
    import valkeyctl.fastapi
except MissingError as error:
    print(error, error.hint)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert package in done.stdout
    assert "pip install 'valkeyctl[gateway]'" in done.stdout
