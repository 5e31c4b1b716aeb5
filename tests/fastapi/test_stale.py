"""Stale answers: served at once, renewed behind the request, kept for bad times."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from structlog.testing import capture_logs

from tests.fastapi.serving import Counting, application, browsing, cache_mark
from valkeyctl.caching import NamespacePolicy
from valkeyctl.endpoint import Endpoint
from valkeyctl.fastapi import CacheRule, ResponseCacheMiddleware, cached_response

# The shortest that the server's millisecond clock and a busy machine agree on.
TTL = 0.5
STALE = NamespacePolicy(TTL, jitter=0, stale=60)
ON_ERROR = NamespacePolicy(TTL, jitter=0, stale_if_error=60)


class Session:
    """What a dependency opens for one request."""

    alive = True


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what happens behind a request."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - another task's work; nothing tells us when
            await asyncio.sleep(0.005)


async def test_a_stale_answer_is_served_at_once_and_renewed_behind_the_request(
    endpoint: Endpoint,
) -> None:
    """By asking the application again: what the request's dependencies opened is closed."""
    app, counting = application(endpoint, policy=STALE), Counting()
    opened, closed, used = Counting(), Counting(), []

    async def session() -> AsyncIterator[Session]:
        opened.next()
        made = Session()
        yield made
        made.alive = False
        closed.next()

    @app.get("/models/{name}")
    @cached_response("metadata")
    async def model(
        name: str,
        database: Session = Depends(session),  # noqa: B008 - Annotated cannot name a local
    ) -> str:
        await asyncio.sleep(0.05)  # longer than the caller's request takes
        used.append(database.alive)
        return f"{name} {counting.next()}"

    async with browsing(app) as http:
        first = await http.get("/models/a")
        await asyncio.sleep(TTL)
        stale = await http.get("/models/a", headers={"if-none-match": '"x"'})
        await until(lambda: counting.calls == 2)
        await until(lambda: closed.calls == opened.calls)
        renewed = await http.get("/models/a")

    assert [answer.json() for answer in (first, stale, renewed)] == ["a 1", "a 1", "a 2"]
    assert [cache_mark(answer) for answer in (first, stale, renewed)] == ["miss", "stale", "hit"]
    assert (stale.headers["x-cache"], stale.headers["cache-control"]) == ("hit", "no-cache")
    # Clients get what is left of the ttl, below a second here, and none of the grace.
    assert (first.headers["cache-control"], renewed.headers["cache-control"]) == ("no-cache",) * 2
    assert "age" in stale.headers
    assert used == [True, True]


async def test_middleware_renews_a_stale_answer_too(endpoint: Endpoint) -> None:
    """Behind the request, from the application behind it."""
    app, counting = application(endpoint, policy=STALE), Counting()
    app.add_middleware(ResponseCacheMiddleware, rule=CacheRule("metadata"), paths=["/"])

    @app.get("/count")
    async def count() -> int:
        return counting.next()

    async with browsing(app) as http:
        await http.get("/count")
        await asyncio.sleep(TTL)
        stale = await http.get("/count")
        await until(lambda: counting.calls == 2)
        await until(lambda: app.state.valkey_cache.stats()["metadata"].writes == 2)
        renewed = await http.get("/count")

    assert (stale.json(), cache_mark(stale)) == (1, "stale")
    assert (renewed.json(), cache_mark(renewed)) == (2, "hit")


@pytest.mark.parametrize("form", ["route", "middleware"])
async def test_a_renewal_that_brings_a_stream_or_a_refusal_ends_by_itself(
    endpoint: Endpoint, form: str
) -> None:
    """Nobody reads that stream; the stale answer stays, and nothing is left running."""
    app = renewable(endpoint, form, STALE)
    mode = "value"
    pieces = Counting()

    async def endless() -> AsyncIterator[str]:
        while pieces.next() < 10_000:  # it gives the event loop no chance to end it
            yield "more"

    @app.get("/changing")
    @maybe_cached(form)
    async def changing() -> object:
        if mode == "stream":
            return StreamingResponse(endless())
        if mode == "refusal":
            raise HTTPException(404)
        return "value"

    async with browsing(app) as http:
        await http.get("/changing")
        await asyncio.sleep(TTL)
        answers = []
        for mode in ("stream", "refusal"):  # noqa: B007 - the endpoint reads it
            loads = app.state.valkey_cache.stats()["metadata"].loads
            answers.append(await http.get("/changing"))
            await until(
                lambda before=loads: app.state.valkey_cache.stats()["metadata"].loads > before  # type: ignore[misc]
            )

    assert [answer.json() for answer in answers] == ["value", "value"]
    assert pieces.calls < 3


def renewable(endpoint: Endpoint, form: str, policy: NamespacePolicy) -> FastAPI:
    """Return an application whose answers are cached by its routes, or all by a middleware."""
    app = application(endpoint, policy=policy)
    if form == "middleware":
        app.add_middleware(ResponseCacheMiddleware, rule=CacheRule("metadata"), paths=["/"])
    return app


def maybe_cached(form: str) -> Callable[[Callable[..., object]], Callable[..., object]]:
    """Return the decorator of an endpoint in an application made by `renewable`."""
    return cached_response("metadata") if form == "route" else lambda endpoint: endpoint


@pytest.mark.parametrize("form", ["route", "middleware"])
@pytest.mark.parametrize("failure", ["exception", "HTTPException", "response"])
async def test_an_older_answer_is_served_while_the_endpoint_fails(
    endpoint: Endpoint, form: str, failure: str
) -> None:
    """However it fails; logged, since its caller sees nothing of it."""
    app = renewable(endpoint, form, ON_ERROR)
    failing = False

    @app.get("/weather")
    @maybe_cached(form)
    async def weather(response: Response) -> object:
        if not failing:
            return "sunny"
        if failure == "exception":
            raise ConnectionError("the origin is away")
        if failure == "HTTPException":
            raise HTTPException(503)
        return JSONResponse("sorry", 502)

    async with browsing(app) as http:
        await http.get("/weather")
        await asyncio.sleep(TTL)
        failing = True
        with capture_logs() as log:
            during = await http.get("/weather")
        failing = False
        after = await http.get("/weather")

    assert (during.status_code, during.json(), cache_mark(during)) == (200, "sunny", "stale")
    assert (after.status_code, cache_mark(after)) == (200, "miss")
    assert [line["event"] for line in log if line["log_level"] == "error"] == [
        "response_failed_older_served"
    ]


@pytest.mark.parametrize("form", ["route", "middleware"])
async def test_what_is_gone_is_no_failure(endpoint: Endpoint, form: str) -> None:
    """A 404 is an answer: no older one is served in its place."""
    app = renewable(endpoint, form, ON_ERROR)
    gone = False

    @app.get("/thing")
    @maybe_cached(form)
    async def thing() -> str:
        if gone:
            raise HTTPException(404)
        return "here"

    async with browsing(app) as http:
        await http.get("/thing")
        await asyncio.sleep(TTL)
        gone = True
        answers = await asyncio.gather(*(http.get("/thing") for _ in range(3)))

    assert [answer.status_code for answer in answers] == [404] * 3


@pytest.mark.parametrize("form", ["route", "middleware"])
async def test_without_an_older_answer_a_failure_is_what_it_was(
    endpoint: Endpoint, form: str
) -> None:
    """Its status and its body, for each caller its own."""
    app, counting = renewable(endpoint, form, ON_ERROR), Counting()

    @app.get("/broken")
    @maybe_cached(form)
    async def broken() -> object:
        counting.next()
        await asyncio.sleep(0.05)  # so that the others wait
        return JSONResponse("sorry", 502)

    async with browsing(app) as http:
        answers = await asyncio.gather(*(http.get("/broken") for _ in range(3)))

    assert [(answer.status_code, answer.json()) for answer in answers] == [(502, "sorry")] * 3


async def test_a_replay_is_the_request_without_its_conditions(endpoint: Endpoint) -> None:
    """Same path, query and headers, so that the answer belongs under the same key."""
    app = application(endpoint, policy=STALE)
    seen: list[tuple[str, str, str | None, str | None]] = []

    @app.get("/echo/{name}")
    @cached_response("metadata", vary=("accept-language",))
    async def echo(name: str, request: Request) -> str:
        headers = request.headers
        seen.append(
            (
                name,
                str(request.url),
                headers.get("accept-language"),
                headers.get("if-none-match"),
            )
        )
        return name

    asked = {"accept-language": "de", "if-none-match": '"x"'}
    async with browsing(app) as http:
        await http.get("/echo/ü?x=1&y=2", headers=asked)
        await asyncio.sleep(TTL)
        await http.get("/echo/ü?x=1&y=2", headers=asked)
        await until(lambda: len(seen) == 2)

    direct, replayed = seen
    assert direct[3] == '"x"'
    assert replayed == (*direct[:3], None)
