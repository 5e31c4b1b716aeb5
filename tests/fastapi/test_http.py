"""What the cache says in HTTP: validators, ages, lifetimes, and what requests ask of it."""

from __future__ import annotations

import asyncio
import hashlib

import pytest
from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse

from tests.fastapi.serving import Counting, application, ask, browsing, cache_mark
from valkeyctl.endpoint import Endpoint
from valkeyctl.fastapi import cached_response


def counting_site(endpoint: Endpoint, **rule: object) -> tuple[FastAPI, Counting]:
    """Return an application with ``/count``, cached as *rule* says."""
    app, counting = application(endpoint), Counting()

    @app.api_route("/count", methods=["GET", "HEAD"])
    @cached_response("metadata", **{"ttl": 60, **rule})  # type: ignore[arg-type]
    async def count(request: Request) -> dict[str, int]:
        return {"call": counting.next()}

    return app, counting


async def test_an_answer_has_a_strong_entity_tag_that_is_valid_http(endpoint: Endpoint) -> None:
    """Quoted, the same in a miss and a hit, and made of the content."""
    app, _ = counting_site(endpoint)

    async with browsing(app) as http:
        first, second = await http.get("/count"), await http.get("/count")

    digest = hashlib.sha256(b'content-type:application/json\n\n{"call":1}').hexdigest()
    assert first.headers["etag"] == second.headers["etag"] == f'"{digest[:32]}"'


@pytest.mark.parametrize("form", ["{}", "W/{}", '"other", {}', "*", '"a,b",W/{}'])
async def test_a_client_that_has_the_answer_gets_304(endpoint: Endpoint, form: str) -> None:
    """Without a body, with the headers that keep its copy alive."""
    app, _ = counting_site(endpoint)

    async with browsing(app) as http:
        etag = (await http.get("/count")).headers["etag"]
        again = await http.get("/count", headers={"if-none-match": form.format(etag)})

    assert again.status_code == 304
    assert again.content == b""
    assert again.headers["etag"] == etag
    assert again.headers["cache-control"].startswith("max-age=")
    assert again.headers["vary"] == "authorization, cookie"
    assert "content-type" not in again.headers
    assert cache_mark(again) == "hit"


async def test_a_client_that_has_something_else_gets_the_answer(endpoint: Endpoint) -> None:
    """An old tag, or a header that is no list of tags."""
    app, _ = counting_site(endpoint)

    async with browsing(app) as http:
        answers = [
            await http.get("/count", headers={"if-none-match": given})
            for given in ('"other"', "garbage", '"', "")
        ]

    assert [answer.status_code for answer in answers] == [200] * 4


async def test_even_the_first_answer_is_304_for_a_client_that_has_it(endpoint: Endpoint) -> None:
    """An entry that expired and came back the same."""
    app = application(endpoint)

    @app.get("/same")
    @cached_response("metadata", ttl=60)
    async def same() -> str:
        return "same"

    async with browsing(app) as http:
        etag = (await http.get("/same")).headers["etag"]
        await app.state.valkey_cache.invalidate("metadata")
        again = await http.get("/same", headers={"if-none-match": etag})

    assert (again.status_code, cache_mark(again)) == (304, "miss")


async def test_age_and_max_age_agree_on_what_is_left(endpoint: Endpoint) -> None:
    """A client counts max-age from when the answer was made, which Age tells."""
    app, _ = counting_site(endpoint, ttl=60)

    async with browsing(app) as http:
        made = await http.get("/count")
        await asyncio.sleep(1.1)  # Age is in whole seconds of the server's own clock
        hit = await http.get("/count")

    assert made.headers["cache-control"] == "max-age=60"
    assert "age" not in made.headers
    age, reuse = int(hit.headers["age"]), int(hit.headers["cache-control"].split("=")[1])
    assert age == 1
    assert 59 <= reuse <= 60  # both are rounded down
    assert reuse - age <= 59


async def test_clients_may_be_told_to_ask_each_time(endpoint: Endpoint) -> None:
    """So that an invalidation reaches them at once; mostly they get a 304."""
    app, _ = counting_site(endpoint, client_ttl=0)

    async with browsing(app) as http:
        first = await http.get("/count")
        again = await http.get("/count", headers={"if-none-match": first.headers["etag"]})

    assert first.headers["cache-control"] == "no-cache"
    assert again.status_code == 304


async def test_clients_may_be_given_less_time_than_the_cache(endpoint: Endpoint) -> None:
    """Seconds at most."""
    app, _ = counting_site(endpoint, ttl=3600, client_ttl=10)

    async with browsing(app) as http:
        answer = await http.get("/count")

    assert answer.headers["cache-control"] == "max-age=10"


@pytest.mark.parametrize(
    "asked",
    [{"x-valkeyctl-cache": "off"}, {"x-valkeyctl-cache": "Off"}, {"cache-control": "no-store"}],
)
async def test_a_request_can_do_without_the_cache(
    endpoint: Endpoint, asked: dict[str, str]
) -> None:
    """Neither read nor written; for comparisons, and for a caller's doubts."""
    app, _ = counting_site(endpoint)

    async with browsing(app) as http:
        cold = await http.get("/count", headers=asked)
        stored = await http.get("/count")
        warm = await http.get("/count", headers=asked)
        kept = await http.get("/count")

    assert [answer.json()["call"] for answer in (cold, stored, warm, kept)] == [1, 2, 3, 2]
    assert (cache_mark(cold), cache_mark(warm)) == ("bypass", "bypass")
    assert "etag" not in cold.headers


@pytest.mark.parametrize("control", ["no-cache", "max-age=0", 'foo, No-Cache="x"'])
async def test_a_request_can_ask_for_a_new_answer(endpoint: Endpoint, control: str) -> None:
    """Which is stored for the others."""
    app, _ = counting_site(endpoint)

    async with browsing(app) as http:
        await http.get("/count")
        renewed = await http.get("/count", headers={"cache-control": control})
        after = await http.get("/count")

    assert (renewed.json()["call"], cache_mark(renewed)) == (2, "miss")
    assert (after.json()["call"], cache_mark(after)) == (2, "hit")


async def test_a_rule_need_not_obey_its_callers(endpoint: Endpoint) -> None:
    """Who sends no-cache in a loop does not reach the origin."""
    app, counting = counting_site(endpoint, obey_client=False)

    async with browsing(app) as http:
        for asked in ({}, {"cache-control": "no-cache"}, {"x-valkeyctl-cache": "off"}):
            await http.get("/count", headers=asked)

    assert counting.calls == 1


async def test_a_rule_can_say_which_requests_pass(endpoint: Endpoint) -> None:
    """A preview, an administrator, a debug switch."""
    app, counting = counting_site(endpoint, bypass=lambda request: "preview" in request.headers)

    async with browsing(app) as http:
        await http.get("/count")
        answer = await http.get("/count", headers={"preview": "1"})

    assert (cache_mark(answer), counting.calls) == ("bypass", 2)


async def test_head_is_answered_from_what_get_stored(endpoint: Endpoint) -> None:
    """The same headers, no body; and a HEAD stores nothing, for it may bring nothing."""
    app, counting = counting_site(endpoint)

    async with browsing(app) as http:
        cold = await http.head("/count")
        got = await http.get("/count")
        warm = await http.head("/count")

    assert (cache_mark(cold), cache_mark(got), cache_mark(warm)) == ("miss", "miss", "hit")
    assert counting.calls == 2
    assert warm.content == b""
    for name in ("etag", "content-type", "content-length", "vary"):
        assert warm.headers[name] == got.headers[name]
    assert warm.headers["cache-control"] in {"max-age=60", "max-age=59"}
    assert warm.headers["age"] == "0"


async def test_head_sends_no_body_whatever_the_server_would_cut_off(endpoint: Endpoint) -> None:
    """Uvicorn drops one by itself; another server might not."""
    app, _ = counting_site(endpoint)

    async with app.router.lifespan_context(app):
        got = await ask(app, "/count")
        warm = await ask(app, "/count", method="HEAD")

    assert got[1]["body"] == b'{"call":1}'
    assert warm[1]["body"] == b""
    assert (b"content-length", b"10") in warm[0]["headers"]


async def test_the_endpoints_own_cache_headers_stay(endpoint: Endpoint) -> None:
    """It knows better: its validator, its lifetime for clients."""
    app = application(endpoint)

    @app.get("/own")
    @cached_response("metadata", ttl=60)
    async def own(response: Response) -> str:
        response.headers["etag"] = 'W/"edition-7"'
        response.headers["cache-control"] = "public, max-age=5, s-maxage=600"
        response.headers["last-modified"] = "Sat, 21 Nov 2026 10:00:00 GMT"
        return "own"

    async with browsing(app) as http:
        await http.get("/own")
        hit = await http.get("/own")
        again = await http.get("/own", headers={"if-none-match": '"edition-7"'})

    assert hit.headers["etag"] == 'W/"edition-7"'
    assert hit.headers["cache-control"] == "public, max-age=5, s-maxage=600"
    assert hit.headers["last-modified"] == "Sat, 21 Nov 2026 10:00:00 GMT"
    assert again.status_code == 304


async def test_an_endpoint_may_give_an_answer_less_time_than_its_rule(endpoint: Endpoint) -> None:
    """What the origin says of an answer counts for the cache as for any other (RFC 9111)."""
    app, counting = application(endpoint), Counting()

    @app.get("/short")
    @cached_response("metadata", ttl=60)
    async def short(response: Response) -> int:
        response.headers["cache-control"] = "max-age=1"
        return counting.next()

    async with browsing(app) as http:
        first, second = await http.get("/short"), await http.get("/short")
        await asyncio.sleep(1.1)  # the age is measured by the server's own clock
        third = await http.get("/short")

    assert [answer.json() for answer in (first, second, third)] == [1, 1, 2]
    assert [cache_mark(answer) for answer in (first, second, third)] == ["miss", "hit", "miss"]


async def test_an_answer_keeps_its_repeated_headers_and_its_media_type(endpoint: Endpoint) -> None:
    """A page is a page in a hit too."""
    app = application(endpoint)

    @app.get("/page")
    @cached_response("metadata", ttl=60)
    async def page() -> Response:
        answer = HTMLResponse("<p>grüße</p>")
        answer.headers.append("link", "</a.css>; rel=preload")
        answer.headers.append("link", "</b.css>; rel=preload")
        return answer

    async with browsing(app) as http:
        answers = [await http.get("/page") for _ in range(2)]

    assert [cache_mark(answer) for answer in answers] == ["miss", "hit"]
    assert answers[1].text == "<p>grüße</p>"
    assert answers[1].headers["content-type"] == "text/html; charset=utf-8"
    assert answers[1].headers.get_list("link") == answers[0].headers.get_list("link")
    assert len(answers[1].headers.get_list("link")) == 2
