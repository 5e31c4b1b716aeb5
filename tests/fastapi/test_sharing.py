"""Who gets whose answer, and which answers nobody else gets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse, StreamingResponse

from tests.fastapi.serving import Counting, application, browsing, cache_mark
from valkeyctl.endpoint import Endpoint
from valkeyctl.fastapi import cached_response


def counting_site(endpoint: Endpoint, **rule: object) -> tuple[FastAPI, Counting]:
    """Return an application with ``/count``, cached as *rule* says."""
    app, counting = application(endpoint), Counting()

    @app.get("/count")
    @cached_response("metadata", **{"ttl": 60, **rule})  # type: ignore[arg-type]
    async def count(request: Request) -> int:
        return counting.next()

    return app, counting


@pytest.mark.parametrize("name", ["authorization", "cookie", "x-api-key", "Api-Key"])
async def test_a_request_with_credentials_is_not_cached_unless_the_rule_says_for_whom(
    endpoint: Endpoint, name: str
) -> None:
    """Neither stored for others, nor answered with what others got (RFC 9111, 3.5)."""
    app, _ = counting_site(endpoint)

    async with browsing(app) as http:
        anonymous = await http.get("/count")
        alice = [await http.get("/count", headers={name: "alice=1"}) for _ in range(2)]
        again = await http.get("/count")

    assert [cache_mark(answer) for answer in alice] == ["bypass", "bypass"]
    assert [answer.json() for answer in (anonymous, *alice, again)] == [1, 2, 3, 1]
    assert "cookie" in anonymous.headers["vary"]


async def test_a_scope_keeps_users_apart_and_their_answers_out_of_proxies(
    endpoint: Endpoint,
) -> None:
    """Each user has entries of their own, marked private; without a user nothing is cached."""
    app, _ = counting_site(endpoint, scope=lambda request: request.headers.get("authorization"))

    async with browsing(app) as http:

        async def ask(user: str) -> tuple[object, str]:
            answer = await http.get("/count", headers={"authorization": user})
            assert answer.headers["cache-control"].startswith("private, max-age=")
            assert answer.headers["vary"] == "authorization, cookie"
            return answer.json(), cache_mark(answer)

        asked = [await ask(user) for user in ("alice", "bob", "alice", "bob")]
        nobody = await http.get("/count")

    assert asked == [(1, "miss"), (2, "miss"), (1, "hit"), (2, "hit")]
    assert cache_mark(nobody) == "bypass"


async def test_a_public_answer_is_the_same_for_everybody(endpoint: Endpoint) -> None:
    """Said so explicitly, a cookie does not matter."""
    app, _ = counting_site(endpoint, scope="public")

    async with browsing(app) as http:
        answers = [await http.get("/count", headers={"cookie": f"id={n}"}) for n in range(3)]

    assert [answer.json() for answer in answers] == [1, 1, 1]
    assert answers[0].headers["cache-control"].startswith("max-age=")
    assert "vary" not in answers[0].headers


async def test_a_rule_that_changes_its_scope_does_not_serve_what_it_stored_before(
    endpoint: Endpoint,
) -> None:
    """A deployment that notices its mistake is not haunted by it until the ttl ends."""
    marks = []

    for scope in ("public", None, lambda _: "public", lambda _: "of"):
        app, _ = counting_site(endpoint, scope=scope)
        async with browsing(app) as http:
            answer = await http.get("/count", headers={"host": "shop.example"})
            marks.append(cache_mark(answer))

    assert marks == ["miss"] * 4


async def test_a_request_with_a_body_is_not_cached(endpoint: Endpoint) -> None:
    """Its endpoint might read it, and the key does not have it."""
    app, _ = counting_site(endpoint)

    async with browsing(app) as http:
        await http.get("/count")
        told = await http.request("GET", "/count", content=b"question")
        streamed = await http.request("GET", "/count", content=_pieces())

    assert (cache_mark(told), cache_mark(streamed)) == ("bypass", "bypass")


async def _pieces() -> AsyncIterator[bytes]:
    yield b"question"


async def test_the_order_of_query_parameters_does_not_matter_their_values_do(
    endpoint: Endpoint,
) -> None:
    """The order of one parameter's values does: it may be a list."""
    app, _ = counting_site(endpoint)
    groups = [
        ["/count?a=1&b=2", "/count?b=2&a=1"],
        ["/count?a=1&a=2&b=2", "/count?b=2&a=1&a=2"],
        ["/count?a=2&a=1&b=2"],
        ["/count?a=&b=2", "/count?a&b=2"],
        ["/count?b=2"],
        ["/count?a=%C3%BC", "/count?a=%c3%bc"],
        ["/count?a=%FE"],
        ["/count?a=%FF"],
        ["/count?a=1%262"],
        ["/count", "/count?"],
    ]

    async with browsing(app) as http:
        seen = [[(await http.get(url)).json() for url in group] for group in groups]

    assert all(len(set(calls)) == 1 for calls in seen)
    assert len({calls[0] for calls in seen}) == len(groups)


async def test_hosts_do_not_share_answers(endpoint: Endpoint) -> None:
    """Tenants by host name, and a made-up Host header that gets into an absolute link."""
    app = application(endpoint)

    @app.get("/link")
    @cached_response("metadata", ttl=60)
    async def link(request: Request) -> str:
        return str(request.url)

    async with browsing(app) as http:
        good = await http.get("/link", headers={"host": "shop.example"})
        evil = await http.get("/link", headers={"host": "evil.example"})
        again = await http.get("/link", headers={"host": "shop.example"})

    assert good.json() == again.json() == "http://shop.example/link"
    assert evil.json() == "http://evil.example/link"


async def test_the_vary_headers_are_part_of_the_question(endpoint: Endpoint) -> None:
    """And named in the answer, for the caches further out."""
    app, _ = counting_site(endpoint, vary=("Accept-Language",), scope="public")

    async with browsing(app) as http:

        async def ask(language: str) -> object:
            answer = await http.get("/count", headers={"accept-language": language})
            assert answer.headers["vary"] == "accept-language"
            return answer.json()

        asked = [await ask(language) for language in ("de", "en", "de")]

    assert asked == [1, 2, 1]


async def test_an_answer_that_varies_by_what_is_no_part_of_its_key_is_not_stored(
    endpoint: Endpoint,
) -> None:
    """It would be served to those for whom it is wrong."""
    app, counting = application(endpoint), Counting()

    @app.get("/hello")
    @cached_response("metadata", ttl=60)
    async def hello(request: Request, response: Response) -> str:
        response.headers["vary"] = "Accept-Language"
        return f"{request.headers['accept-language']} {counting.next()}"

    async with browsing(app) as http:
        german = await http.get("/hello", headers={"accept-language": "de"})
        english = await http.get("/hello", headers={"accept-language": "en"})

    assert (german.json(), english.json()) == ("de 1", "en 2")
    assert english.headers["vary"] == "Accept-Language"


def _cookie() -> Response:
    answer = PlainTextResponse("hello")
    answer.set_cookie("session", "alice")
    return answer


def _with_control(control: str) -> Response:
    return PlainTextResponse("hello", headers={"cache-control": control})


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(_cookie, id="set-cookie"),
        pytest.param(lambda: _with_control("no-store"), id="no-store"),
        pytest.param(lambda: _with_control("private, max-age=60"), id="private"),
        pytest.param(lambda: _with_control("no-cache"), id="no-cache"),
        pytest.param(lambda: _with_control("max-age=0"), id="max-age=0"),
        pytest.param(lambda: _with_control("max-age=soon"), id="max-age=soon"),
        pytest.param(lambda: PlainTextResponse("hello", headers={"expires": "0"}), id="expires"),
        pytest.param(lambda: PlainTextResponse("hello", headers={"vary": "*"}), id="vary"),
        pytest.param(lambda: JSONResponse({}, 404), id="404"),
        pytest.param(lambda: Response(status_code=204), id="204"),
        pytest.param(lambda: Response(status_code=206), id="206"),
        pytest.param(lambda: JSONResponse({}, 500), id="500"),
    ],
)
async def test_an_answer_for_one_caller_reaches_only_that_one(
    endpoint: Endpoint,
    answer: object,
) -> None:
    """It is sent as it is, never stored, and not given to those who wait."""
    app, counting = application(endpoint), Counting()

    @app.get("/own")
    @cached_response("metadata", ttl=60)
    async def own() -> Response:
        counting.next()
        await asyncio.sleep(0.05)  # so that the others wait
        assert callable(answer)
        made = answer()
        assert isinstance(made, Response)
        return made

    async with browsing(app) as http:
        together = await asyncio.gather(*(http.get("/own") for _ in range(3)))
        http.cookies.clear()
        later = await http.get("/own")

    assert counting.calls == 4
    assert {cache_mark(reply) for reply in (*together, later)} == {"miss"}
    assert "etag" not in later.headers


async def test_a_stream_passes_as_it_comes(endpoint: Endpoint) -> None:
    """The first piece is there before the last one is made, and nobody waits for its end."""
    app = application(endpoint)
    more = asyncio.Event()

    @app.get("/stream")
    @cached_response("metadata", ttl=60)
    async def stream() -> StreamingResponse:
        async def pieces() -> AsyncIterator[str]:
            yield "one "
            await more.wait()
            yield "two"

        return StreamingResponse(pieces(), media_type="text/plain")

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

    assert begun == ["one ", "one "]
    assert rest == [["two"], ["two"]]
    assert cache_mark(first) == "miss"


async def test_a_file_passes_as_it_is(endpoint: Endpoint, tmp_path: Path) -> None:
    """It is on a disk already; ranges of it go on working."""
    app = application(endpoint)
    path = tmp_path / "file.txt"
    path.write_text("0123456789")

    @app.get("/file")
    @cached_response("metadata", ttl=60)
    async def file() -> FileResponse:
        return FileResponse(path)

    async with browsing(app) as http:
        whole = [await http.get("/file") for _ in range(2)]
        part = await http.get("/file", headers={"range": "bytes=2-4"})

    assert [(answer.text, cache_mark(answer)) for answer in whole] == [("0123456789", "miss")] * 2
    assert (part.status_code, part.text) == (206, "234")


async def test_a_large_answer_is_shared_with_those_who_wait_but_not_stored(
    endpoint: Endpoint,
) -> None:
    """The bound is on the cache's memory, not on what an endpoint may answer."""
    app, counting = application(endpoint), Counting()

    @app.get("/large")
    @cached_response("metadata", ttl=60, max_bytes=1000)
    async def large() -> Response:
        counting.next()
        await asyncio.sleep(0.05)  # so that the others wait
        return PlainTextResponse("x" * 1001)

    async with browsing(app) as http:
        together = await asyncio.gather(*(http.get("/large") for _ in range(5)))
        later = await http.get("/large")

    assert {len(answer.content) for answer in (*together, later)} == {1001}
    assert counting.calls == 2
    assert cache_mark(later) == "miss"
    assert later.headers["cache-control"] == "no-cache"


async def test_a_callers_identity_is_in_no_key(endpoint: Endpoint) -> None:
    """What KEYS shows are digests: no token, no path, no query."""
    app, _ = counting_site(endpoint, scope=lambda request: request.headers.get("authorization"))

    async with browsing(app) as http:
        await http.get("/count?mail=alice@example.com", headers={"authorization": "Bearer t0k3n"})
        keys = await app.state.valkey.execute("KEYS", "*")

    assert keys
    assert not [key for key in keys if b"t0k3n" in key or b"alice" in key or b"count" in key]


async def test_a_foreign_value_under_an_answers_key_is_no_answer(endpoint: Endpoint) -> None:
    """Somebody else's set() into the namespace costs a load, not an error."""
    app, counting = counting_site(endpoint)

    async with browsing(app) as http:
        await http.get("/count")
        (key,) = await app.state.valkey.execute("KEYS", "site:metadata:*")
        id_ = key.decode().rpartition(":")[2]
        for foreign in ("text", {"headers": 1, "body": b"", "at": 0.0}, {"headers": [["a"]]}):
            await app.state.valkey_cache.set("metadata", id_, foreign, ttl=60)
            answer = await http.get("/count")
            assert answer.status_code == 200
        again = await http.get("/count")

    assert counting.calls == 4
    assert cache_mark(again) == "hit"
