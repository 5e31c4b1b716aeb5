"""The response cache in front of any ASGI application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse
from starlette.background import BackgroundTask
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import Receive, Scope, Send

from tests.fastapi.serving import Counting, application, browsing, cache_mark
from valkeyctl.caching import CacheService, ValkeyClient
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import UsageError
from valkeyctl.fastapi import CacheRule, ResponseCacheMiddleware, cached_response

RULE = CacheRule("response", ttl=60)


def site(endpoint: Endpoint, rule: CacheRule = RULE) -> tuple[FastAPI, Counting]:
    """Return an application with the cache in front of ``/count`` and all below ``/below/``."""
    app, counting = application(endpoint, budget=5), Counting()
    app.add_middleware(ResponseCacheMiddleware, rule=rule, paths=["/count", "/below/"])

    @app.get("/count")
    @app.get("/below/deeper")
    @app.get("/other")
    async def count() -> dict[str, int]:
        return {"call": counting.next()}

    @app.post("/count")
    async def post() -> dict[str, int]:
        return {"call": counting.next()}

    return app, counting


async def test_the_paths_it_is_given_are_cached_and_no_others(endpoint: Endpoint) -> None:
    """Exactly, or all below one with a slash at its end."""
    app, _ = site(endpoint)

    async with browsing(app) as http:
        seen = {
            path: [(await http.get(path)).json()["call"] for _ in range(2)]
            for path in ("/count", "/below/deeper", "/other")
        }
        posted = [(await http.post("/count")).json()["call"] for _ in range(2)]

    assert seen == {"/count": [1, 1], "/below/deeper": [2, 2], "/other": [3, 4]}
    assert posted == [5, 6]


async def test_a_hit_is_the_answer_with_what_http_says_about_it(endpoint: Endpoint) -> None:
    """As for a cached endpoint: validator, age, lifetime, 304, HEAD."""
    app, _ = site(endpoint)

    async with browsing(app) as http:
        miss, hit = await http.get("/count"), await http.get("/count")
        head = await http.head("/count")
        unchanged = await http.get("/count", headers={"if-none-match": miss.headers["etag"]})

    assert (cache_mark(miss), cache_mark(hit), cache_mark(head)) == ("miss", "hit", "hit")
    assert miss.content == hit.content == b'{"call":1}'
    assert hit.headers["age"] == "0"
    assert hit.headers["cache-control"].startswith("max-age=")
    assert (head.content, head.headers["etag"]) == (b"", miss.headers["etag"])
    assert (unchanged.status_code, unchanged.content) == (304, b"")


async def test_concurrent_misses_reach_the_application_once(endpoint: Endpoint) -> None:
    """Here too."""
    app, counting = application(endpoint, budget=5), Counting()
    app.add_middleware(ResponseCacheMiddleware, rule=RULE, paths=["/"])

    @app.get("/slow")
    async def slow() -> int:
        await asyncio.sleep(0.2)  # stands for an origin that takes its time
        return counting.next()

    async with browsing(app) as http:
        answers = await asyncio.gather(*(http.get("/slow") for _ in range(30)))

    assert {answer.text for answer in answers} == {"1"}
    assert counting.calls == 1


async def test_credentials_bypasses_and_refreshes_are_those_of_the_rule(
    endpoint: Endpoint,
) -> None:
    """One rule means the same in both forms."""
    app, _ = site(endpoint)

    async with browsing(app) as http:

        async def ask(**headers: str) -> tuple[int, str]:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            answer = await http.get("/count", headers=named)
            return answer.json()["call"], cache_mark(answer)

        asked = [
            await ask(),
            await ask(authorization="alice"),
            await ask(cookie="a=1"),
            await ask(x_valkeyctl_cache="off"),
            await ask(cache_control="no-store"),
            await ask(range="bytes=0-1"),
            await ask(cache_control="no-cache"),
            await ask(),
        ]

    assert asked == [
        (1, "miss"),
        (2, "bypass"),
        (3, "bypass"),
        (4, "bypass"),
        (5, "bypass"),
        (6, "bypass"),
        (7, "miss"),
        (7, "hit"),
    ]


@pytest.mark.parametrize("status", [404, 500])
async def test_an_error_passes_and_is_not_stored(endpoint: Endpoint, status: int) -> None:
    """Whether the application answers with it or falls over."""
    app, counting = application(endpoint), Counting()
    app.add_middleware(ResponseCacheMiddleware, rule=RULE, paths=["/"])

    @app.get("/error")
    async def error() -> Response:
        return JSONResponse({"call": counting.next()}, status)

    async with browsing(app) as http:
        answers = [await http.get("/error") for _ in range(2)]

    assert [answer.status_code for answer in answers] == [status, status]
    assert [answer.json()["call"] for answer in answers] == [1, 2]


async def test_an_exception_of_the_application_reaches_all_who_wait(endpoint: Endpoint) -> None:
    """As a 500 each, and the next request asks again."""
    calls = 0

    async def falling(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0.1)  # so that the others wait
        raise ValueError("bug")

    async with ValkeyClient(endpoint) as client:
        cache = CacheService(client, app="site", budget=5)
        app = ResponseCacheMiddleware(falling, rule=RULE, paths=["/"], cache=cache)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://site") as http:
            together = await asyncio.gather(
                *(http.get("/bug") for _ in range(5)), return_exceptions=True
            )
            with pytest.raises(ValueError, match="bug"):
                await http.get("/bug")

    assert [type(reply) for reply in together] == [ValueError] * 5
    assert calls < 6


@pytest.mark.parametrize("headers", [{}, {"content-length": "7"}])
async def test_a_stream_passes_without_delay(endpoint: Endpoint, headers: dict[str, str]) -> None:
    """The first piece arrives before the last one is made; nobody waits for another's stream."""
    app = application(endpoint)
    rule = CacheRule("response", ttl=60, max_bytes=6)
    app.add_middleware(ResponseCacheMiddleware, rule=rule, paths=["/"])
    more = asyncio.Event()

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        async def pieces() -> AsyncIterator[str]:
            yield "one "
            await more.wait()
            yield "two"

        return StreamingResponse(pieces(), media_type="text/plain", headers=headers)

    async with (
        browsing(app) as http,
        asyncio.timeout(5),
        http.stream("GET", "/stream") as first,
        http.stream("GET", "/stream") as second,
    ):
        chunks = [aiter(first.aiter_text()), aiter(second.aiter_text())]
        begun = [await anext(chunk) for chunk in chunks]
        more.set()
        rest = [[text async for text in chunk] for chunk in chunks]

    assert (begun, rest) == (["one ", "one "], [["two"], ["two"]])


async def test_a_file_within_the_bound_is_stored_and_a_larger_one_passes(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    """A file announces its length before its first piece."""
    app = application(endpoint)
    rule = CacheRule("response", ttl=60, max_bytes=200_000)
    app.add_middleware(ResponseCacheMiddleware, rule=rule, paths=["/"])

    @app.get("/file/{size}")
    async def file(size: int) -> FileResponse:
        path = tmp_path / str(size)
        path.write_bytes(b"x" * size)
        return FileResponse(path)

    async with browsing(app) as http:
        small = [await http.get("/file/150000") for _ in range(2)]
        large = [await http.get("/file/250000") for _ in range(2)]

    assert [cache_mark(answer) for answer in small] == ["miss", "hit"]
    assert small[0].content == small[1].content == b"x" * 150_000
    assert small[1].headers["etag"] == small[0].headers["etag"]
    assert [cache_mark(answer) for answer in large] == ["miss", "miss"]
    assert large[1].content == b"x" * 250_000


async def test_middleware_that_hands_answers_on_in_pieces_keeps_them_cacheable(
    endpoint: Endpoint,
) -> None:
    """BaseHTTPMiddleware makes a stream of everything, with the length still told."""
    app, counting = application(endpoint), Counting()

    async def stamped(
        request: Request, call_next: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        answer = await call_next(request)
        answer.headers["x-stamp"] = "1"
        return answer

    app.add_middleware(BaseHTTPMiddleware, dispatch=stamped)
    app.add_middleware(ResponseCacheMiddleware, rule=RULE, paths=["/"])

    @app.get("/count")
    async def count() -> int:
        return counting.next()

    async with browsing(app) as http:
        answers = [await http.get("/count") for _ in range(2)]

    assert [cache_mark(answer) for answer in answers] == ["miss", "hit"]
    assert [answer.headers["x-stamp"] for answer in answers] == ["1", "1"]


async def test_compression_behind_it_needs_its_header_in_vary(endpoint: Endpoint) -> None:
    """Without, a compressed answer is not stored; with it, each form is, under its own tag."""
    page = "x" * 5000

    async def ask(vary: tuple[str, ...]) -> list[tuple[str, str | None]]:
        app = application(endpoint)
        rule = CacheRule("response", ttl=60, vary=vary)
        app.add_middleware(GZipMiddleware)
        app.add_middleware(ResponseCacheMiddleware, rule=rule, paths=["/"])

        @app.get("/page")
        async def read() -> str:
            return page

        async with browsing(app) as http:
            seen = []
            for encoding in ("gzip", "identity", "gzip", "identity"):
                answer = await http.get("/page", headers={"accept-encoding": encoding})
                assert answer.json() == page
                seen.append((cache_mark(answer), answer.headers.get("content-encoding")))
            return seen

    without, with_it = await ask(()), await ask(("accept-encoding",))

    assert [mark for mark, _ in without] == ["miss"] * 4
    assert with_it == [("miss", "gzip"), ("miss", None), ("hit", "gzip"), ("hit", None)]


async def test_what_an_application_does_after_its_answer_does_not_delay_it(
    endpoint: Endpoint,
) -> None:
    """Background tasks run when the caller has got the answer."""
    app = application(endpoint)
    app.add_middleware(ResponseCacheMiddleware, rule=RULE, paths=["/"])
    go_on, went_on = asyncio.Event(), asyncio.Event()

    async def after() -> None:
        await go_on.wait()
        went_on.set()

    @app.get("/work")
    async def work() -> Response:
        return JSONResponse("ok", background=BackgroundTask(after))

    async with browsing(app) as http, asyncio.timeout(5):
        answer = await http.get("/work")
        again = await http.get("/work")
        go_on.set()
        await went_on.wait()

    assert (answer.json(), cache_mark(again)) == ("ok", "hit")


async def test_an_application_that_answers_304_itself_is_asked_without_conditions(
    endpoint: Endpoint,
) -> None:
    """Else what it has to say would never be stored."""
    app = application(endpoint)
    app.add_middleware(ResponseCacheMiddleware, rule=RULE, paths=["/"])

    @app.get("/own")
    async def own(request: Request) -> Response:
        etag = {"etag": '"v1"'}
        if request.headers.get("if-none-match") == '"v1"':
            return Response(status_code=304, headers=etag)
        return JSONResponse("body", headers=etag)

    async with browsing(app) as http:
        first = await http.get("/own", headers={"if-none-match": '"v1"'})
        second = await http.get("/own")

    assert (first.status_code, cache_mark(first)) == (304, "miss")
    assert (second.json(), cache_mark(second)) == ("body", "hit")


async def test_an_application_that_answers_nothing_holds_nobody_up(endpoint: Endpoint) -> None:
    """A bug behind the cache is the server's to report, as without it."""
    calls = 0

    async def silent(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            await send({"type": "http.response.start", "status": 200, "headers": []})

    async with ValkeyClient(endpoint) as client:
        cache = CacheService(client, app="site", budget=5)
        app = ResponseCacheMiddleware(silent, rule=RULE, paths=["/"], cache=cache)

        async def receive() -> dict[str, object]:
            return {"type": "http.request"}

        sent: list[str] = []

        async def send(message: object) -> None:
            assert isinstance(message, dict)
            sent.append(message["type"])

        scope = {
            "type": "http",
            "method": "GET",
            "path": "/",
            "query_string": b"",
            "headers": [],
        }
        async with asyncio.timeout(5):
            await app(dict(scope), receive, send)
            await app(dict(scope), receive, send)

    assert sent == ["http.response.start"]


async def test_a_cached_endpoint_behind_it_works_as_well(endpoint: Endpoint) -> None:
    """Two caches, one answer; the outer one's word counts."""
    app, counting = application(endpoint), Counting()
    app.add_middleware(
        ResponseCacheMiddleware, rule=CacheRule("response", ttl=60), paths=["/count"]
    )

    @app.get("/count")
    @cached_response("metadata", ttl=60)
    async def count() -> int:
        return counting.next()

    async with browsing(app) as http:
        first = await http.get("/count")
        await app.state.valkey_cache.invalidate("response")
        second = await http.get("/count")
        third = await http.get("/count")

        passed = await http.get("/count", headers={"cookie": "a=1"})

    assert [answer.json() for answer in (first, second, third)] == [1, 1, 1]
    assert third.headers.get_list("x-valkeyctl-cache") == ["hit"]
    assert passed.headers.get_list("x-valkeyctl-cache") == ["bypass"]


async def test_websockets_and_lifespans_pass(endpoint: Endpoint) -> None:
    """It is for requests."""
    seen = []

    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["type"])

    async def nothing(*_: object) -> dict[str, object]:
        return {}

    app = ResponseCacheMiddleware(inner, rule=RULE, paths=["/"])
    for kind in ("lifespan", "websocket"):
        await app({"type": kind, "path": "/"}, nothing, nothing)  # type: ignore[arg-type]

    assert seen == ["lifespan", "websocket"]


async def test_any_asgi_application_can_stand_behind_it(endpoint: Endpoint) -> None:
    """With a cache of its own; no FastAPI needed."""
    counting = Counting()

    async def plain(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        body = str(counting.next()).encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    async with ValkeyClient(endpoint) as client:
        cache = CacheService(client, app="site")
        app = ResponseCacheMiddleware(plain, rule=RULE, paths=["/"], cache=cache)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://site") as http:
            answers = [await http.get("/") for _ in range(2)]

    assert [answer.text for answer in answers] == ["1", "1"]


@pytest.mark.parametrize("paths", [[], ["models"], "/models", [""]])
def test_paths_that_cannot_be_meant_are_told_at_once(paths: object) -> None:
    """A string would be taken for its letters."""

    async def inner(scope: Scope, receive: Receive, send: Send) -> None: ...

    with pytest.raises(UsageError, match="paths"):
        ResponseCacheMiddleware(inner, rule=RULE, paths=paths)  # type: ignore[arg-type]
