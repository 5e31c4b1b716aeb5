"""Cached endpoints: what is stored, who loads, and what FastAPI still does."""

from __future__ import annotations

import asyncio
from typing import Annotated

import httpx
import pytest
from fastapi import APIRouter, BackgroundTasks, Depends, FastAPI, HTTPException, Request, Response
from pydantic import BaseModel

from tests.fastapi.serving import Counting, application, browsing, cache_mark
from valkeyctl.caching import CacheService, ValkeyClient
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import InvalidKeyError, UsageError
from valkeyctl.fastapi import CachedRoute, cached_response, get_cache


class Account(BaseModel):
    name: str
    number: int


class SecretAccount(Account):
    password: str = "hunter2"


async def test_the_second_request_gets_the_first_ones_answer(endpoint: Endpoint) -> None:
    """Byte for byte, without the endpoint."""
    app, counting = application(endpoint), Counting()

    @app.get("/models/{name}")
    @cached_response("metadata", ttl=60)
    async def model(name: str) -> dict[str, object]:
        return {"name": name, "call": counting.next()}

    async with browsing(app) as http:
        first = await http.get("/models/a")
        second = await http.get("/models/a")
        other = await http.get("/models/b")

    assert (cache_mark(first), cache_mark(second), cache_mark(other)) == ("miss", "hit", "miss")
    assert first.json() == {"name": "a", "call": 1}
    assert second.content == first.content
    assert second.headers["content-type"] == first.headers["content-type"] == "application/json"
    assert counting.calls == 2


async def test_two_processes_worth_of_applications_share_their_answers(endpoint: Endpoint) -> None:
    """The cache is in the server, and so are its entity tags."""
    answers = []

    for _ in range(2):
        app = application(endpoint)

        @app.get("/models")
        @cached_response("metadata", ttl=60)
        async def models() -> list[str]:
            return ["a"]

        async with browsing(app) as http:
            # The name that a balancer in front of both is known by.
            answers.append(await http.get("/models", headers={"host": "shop.example"}))

    assert [cache_mark(answer) for answer in answers] == ["miss", "hit"]
    assert answers[0].headers["etag"] == answers[1].headers["etag"]


async def test_concurrent_misses_run_the_endpoint_once(endpoint: Endpoint) -> None:
    """Fifty requests for a cold answer cost the origin one call."""
    app, counting = application(endpoint, budget=5), Counting()

    @app.get("/slow")
    @cached_response("metadata", ttl=60)
    async def slow() -> int:
        await asyncio.sleep(0.2)  # stands for an origin that takes its time
        return counting.next()

    async with browsing(app) as http:
        answers = await asyncio.gather(*(http.get("/slow") for _ in range(50)))

    assert {answer.text for answer in answers} == {"1"}
    assert counting.calls == 1
    marks = sorted(cache_mark(answer) for answer in answers)
    assert marks.count("miss") == 1
    assert marks.count("collapsed") >= 40


async def test_a_synchronous_endpoint_is_cached_and_still_runs_in_a_thread(
    endpoint: Endpoint,
) -> None:
    """It may block; the event loop must not."""
    app = application(endpoint)
    threads = []

    @app.get("/report")
    @cached_response("metadata", ttl=60)
    def report() -> str:
        import threading

        threads.append(threading.current_thread() is threading.main_thread())
        return "done"

    async with browsing(app) as http:
        answers = [await http.get("/report") for _ in range(2)]

    assert [answer.json() for answer in answers] == ["done", "done"]
    assert threads == [False]


async def test_a_response_model_hides_as_much_in_a_hit_as_in_a_miss(endpoint: Endpoint) -> None:
    """What is stored is what FastAPI made of the value, not the value."""
    app = application(endpoint)

    @app.get("/account", response_model=Account)
    @cached_response("metadata", ttl=60)
    async def account() -> SecretAccount:
        return SecretAccount(name="alice", number=1)

    async with browsing(app) as http:
        answers = [await http.get("/account") for _ in range(2)]
        cache: CacheService = app.state.valkey_cache
        stored = [await cache.client.execute("GET", key) for key in await _keys(cache)]

    assert [answer.json() for answer in answers] == [{"name": "alice", "number": 1}] * 2
    assert stored
    assert b"hunter2" not in b"".join(value for value in stored if isinstance(value, bytes))


async def _keys(cache: CacheService) -> list[bytes]:
    keys = await cache.client.execute("KEYS", "site:metadata:*")
    return [key for key in keys if isinstance(key, bytes)] if isinstance(keys, list) else []


async def test_dependencies_run_before_the_cache_is_asked(endpoint: Endpoint) -> None:
    """A hit is no way around the check of who asks."""
    app, counting = application(endpoint), Counting()

    def checked(key: str = "") -> None:
        if key != "good":
            raise HTTPException(403)

    @app.get("/guarded", dependencies=[Depends(checked)])
    @cached_response("metadata", ttl=60)
    async def guarded(request: Request) -> int:
        return counting.next()

    async with browsing(app) as http:
        let_in = [await http.get("/guarded?key=good") for _ in range(2)]
        refused = await http.get("/guarded?key=bad")

    assert [answer.status_code for answer in let_in] == [200, 200]
    assert refused.status_code == 403
    assert counting.calls == 1


async def test_headers_of_dependencies_are_those_of_each_request(endpoint: Endpoint) -> None:
    """A rolling session cookie neither is stored nor keeps the answer from being stored."""
    app, counting = application(endpoint), Counting()

    def session(response: Response) -> None:
        response.set_cookie("visit", str(counting.next()))

    @app.get("/page", dependencies=[Depends(session)])
    @cached_response("metadata", ttl=60)
    async def page(response: Response) -> str:
        response.headers["x-edition"] = "7"
        return "page"

    async with browsing(app) as http:
        answers = []
        for _ in range(2):
            answers.append(await http.get("/page"))
            http.cookies.clear()

    assert [cache_mark(answer) for answer in answers] == ["miss", "hit"]
    assert [answer.headers["x-edition"] for answer in answers] == ["7", "7"]
    assert ["visit=1" in answers[0].headers["set-cookie"]] == [True]
    assert ["visit=2" in answers[1].headers["set-cookie"]] == [True]


async def test_an_error_of_the_endpoint_reaches_its_callers_and_is_not_stored(
    endpoint: Endpoint,
) -> None:
    """With the status that the endpoint meant, for those who waited too."""
    app, counting = application(endpoint), Counting()

    @app.get("/missing")
    @cached_response("metadata", ttl=60)
    async def missing() -> None:
        counting.next()
        await asyncio.sleep(0.1)  # so that the others wait
        raise HTTPException(404, "no such thing")

    async with browsing(app) as http:
        together = await asyncio.gather(*(http.get("/missing") for _ in range(5)))
        later = await http.get("/missing")

    assert {answer.status_code for answer in (*together, later)} == {404}
    assert together[0].json() == {"detail": "no such thing"}
    assert counting.calls < 6


async def test_a_refusal_of_one_caller_is_not_given_to_another(endpoint: Endpoint) -> None:
    """What an endpoint looks at beyond the rule may differ between those who wait together."""
    app = application(endpoint)

    @app.get("/unchanged")
    @cached_response("metadata", ttl=60)
    async def unchanged(request: Request) -> str:
        await asyncio.sleep(0.05)  # so that the others wait
        if "if-modified-since" in request.headers:
            raise HTTPException(304)
        return "whole"

    async with browsing(app) as http:
        conditional = asyncio.create_task(
            http.get("/unchanged", headers={"if-modified-since": "yesterday"})
        )
        await asyncio.sleep(0.02)  # it leads
        other = await http.get("/unchanged")

    assert (await conditional).status_code == 304
    assert (other.status_code, other.json()) == (200, "whole")


async def test_invalidation_reaches_cached_responses(endpoint: Endpoint) -> None:
    """By namespace, by fixed tag, and by a tag that the request decides."""
    app, counting = application(endpoint), Counting()

    def tags(request: Request) -> list[str]:
        return ["models", f"model:{request.path_params['name']}"]

    @app.get("/models/{name}")
    @cached_response("metadata", ttl=60, tags=tags)
    async def model(name: str) -> int:
        return counting.next()

    @app.put("/models/{name}")
    async def change(name: str, cache: Annotated[CacheService, Depends(get_cache)]) -> None:
        await cache.invalidate_tag(f"model:{name}")

    async with browsing(app) as http:

        async def read() -> tuple[int, int]:
            return (await http.get("/models/a")).json(), (await http.get("/models/b")).json()

        first = await read()
        await http.put("/models/a")
        after_tag = await read()
        await app.state.valkey_cache.invalidate("metadata")
        after_namespace = await read()

    assert (first, after_tag, after_namespace) == ((1, 2), (3, 2), (4, 5))


async def test_a_tag_that_a_caller_made_impossible_is_no_error(endpoint: Endpoint) -> None:
    """A space in a path is a request without the cache, not a 500."""
    app = application(endpoint)

    @app.get("/models/{name}")
    @cached_response("metadata", ttl=60, tags=lambda request: [request.path_params["name"]])
    async def model(name: str) -> str:
        return name

    async with browsing(app) as http:
        answer = await http.get("/models/a%20b")

    assert (answer.status_code, cache_mark(answer)) == (200, "bypass")


async def test_background_tasks_run_for_those_who_ran_the_endpoint(endpoint: Endpoint) -> None:
    """A hit sends no second mail."""
    app, counting = application(endpoint), Counting()

    @app.get("/mail")
    @cached_response("metadata", ttl=60)
    async def mail(tasks: BackgroundTasks) -> str:
        tasks.add_task(counting.next)
        return "sent"

    async with browsing(app) as http:
        answers = [await http.get("/mail") for _ in range(3)]

    assert [cache_mark(answer) for answer in answers] == ["miss", "hit", "hit"]
    assert counting.calls == 1


async def test_other_methods_pass(endpoint: Endpoint) -> None:
    """A POST may change something."""
    app, counting = application(endpoint), Counting()

    @app.post("/count")
    @cached_response("metadata", ttl=60)
    async def count() -> int:
        return counting.next()

    async with browsing(app) as http:
        answers = [await http.post("/count") for _ in range(2)]

    assert [answer.json() for answer in answers] == [1, 2]
    assert cache_mark(answers[1]) == "bypass"


async def test_a_router_that_is_included_is_cached_too(endpoint: Endpoint) -> None:
    """The way larger applications are built."""
    app, counting = application(endpoint), Counting()
    router = APIRouter(route_class=CachedRoute)

    @router.get("/count")
    @cached_response("metadata", ttl=60)
    async def count() -> int:
        return counting.next()

    app.include_router(router, prefix="/v1")

    async with browsing(app) as http:
        answers = [await http.get("/v1/count") for _ in range(2)]

    assert [answer.json() for answer in answers] == [1, 1]


async def test_a_mounted_application_uses_its_own_cache(endpoint: Endpoint) -> None:
    """Its own lifespan state, or none: then it says so."""
    app, inner = application(endpoint), application(endpoint)

    @inner.get("/count")
    @cached_response("metadata", ttl=60)
    async def count() -> int:
        return 1

    app.mount("/inner", inner)

    async with browsing(app) as http:
        inner.state.valkey_cache = app.state.valkey_cache
        answers = [await http.get("/inner/count") for _ in range(2)]

    assert [cache_mark(answer) for answer in answers] == ["miss", "hit"]


async def test_without_its_route_class_an_endpoint_says_what_is_missing(
    endpoint: Endpoint,
) -> None:
    """At the first request, rather than never caching anything."""
    app = FastAPI()

    @app.get("/count")
    @cached_response("metadata", ttl=60)
    async def count() -> int:
        return 1

    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://site") as http:
        with pytest.raises(RuntimeError, match="route_class=CachedRoute"):
            await http.get("/count")


async def test_a_cache_can_be_put_in_place_without_the_lifespan(client: ValkeyClient) -> None:
    """The way applications are tested: it is where the lifespan would put it."""
    app = FastAPI()
    app.router.route_class = CachedRoute
    app.state.valkey_cache = CacheService(client, app="replaced", budget=5)

    @app.get("/count")
    @cached_response("metadata", ttl=60)
    async def count() -> int:
        return 1

    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://site") as http:
        answers = [await http.get("/count") for _ in range(2)]

    assert [cache_mark(answer) for answer in answers] == ["miss", "hit"]


async def test_called_directly_an_endpoint_is_what_it_was() -> None:
    """Unit tests of an application need no cache."""

    @cached_response("metadata", ttl=60)
    async def double(number: int) -> int:
        return 2 * number

    assert await double(21) == 42


def test_what_cannot_be_meant_is_told_when_the_endpoint_is_declared() -> None:
    """Not at the first request."""

    def numbers() -> object:
        yield 1

    with pytest.raises(UsageError, match="yields"):
        cached_response("metadata", ttl=60)(numbers)
    with pytest.raises(InvalidKeyError):
        cached_response("Not a namespace")
    with pytest.raises(InvalidKeyError):
        cached_response("metadata", tags=["a tag"])
    for wrong in (
        {"ttl": 0},
        {"ttl": float("nan")},
        {"client_ttl": -1},
        {"max_bytes": 0},
        {"vary": "accept"},
        {"vary": ("*",)},
        {"vary": ("no header",)},
        {"scope": "private"},
        {"tags": "models"},
    ):
        with pytest.raises(UsageError):
            cached_response("metadata", **wrong)


async def test_the_cache_is_no_part_of_an_endpoints_description(endpoint: Endpoint) -> None:
    """OpenAPI shows the parameters that callers give, and the return type."""
    app = FastAPI()
    app.router.route_class = CachedRoute

    @app.get("/models/{name}")
    @cached_response("metadata", ttl=60)
    async def model(name: str, full: bool = False) -> Account:
        """Return a model."""
        return Account(name=name, number=int(full))

    described = app.openapi()["paths"]["/models/{name}"]["get"]

    assert [parameter["name"] for parameter in described["parameters"]] == ["name", "full"]
    assert described["description"] == "Return a model."
    schema = described["responses"]["200"]["content"]["application/json"]["schema"]
    assert schema["$ref"].endswith("/Account")
