"""Chat requests through the gateway: cached, shared, bypassed."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.conftest import command
from tests.gateway.asking import CHAT, ask, metric, question
from tests.gateway.conftest import Running, Start
from tests.gateway.fakes import HeldOrigin, completion, refusal
from valkeyctl.endpoint import Endpoint
from valkeyctl.gateway.origin import OriginReply


async def test_a_repeated_question_is_answered_from_the_cache(running: Running) -> None:
    """The second answer is the first one, and the origin was asked once."""
    first = await ask(running.http)
    second = await ask(running.http)

    assert (first.status_code, second.status_code) == (200, 200)
    assert (first.headers["x-cache"], second.headers["x-cache"]) == ("miss", "hit")
    assert second.json() == first.json()
    assert running.calls == 1


async def test_a_hit_tells_its_age_and_a_miss_that_it_was_stored(running: Running) -> None:
    """RFC 9211 and RFC 9111 headers, and no leave for a proxy to keep the answer."""
    first = await ask(running.http)
    second = await ask(running.http)

    assert first.headers["cache-status"] == "valkeyctl; fwd=uri-miss; stored"
    assert "age" not in first.headers
    status, _, ttl = second.headers["cache-status"].rpartition("=")
    assert status == "valkeyctl; hit; ttl"
    assert 3000 < int(ttl) <= 3600
    assert second.headers["age"] == "0"
    for answer in (first, second):
        assert answer.headers["cache-control"] == "private, no-store"
        assert answer.headers["content-type"] == "application/json"


async def test_the_order_of_fields_and_the_accounting_fields_make_no_other_question(
    running: Running,
) -> None:
    """Equal JSON is an equal question."""
    body = question(temperature=0.5)

    await running.http.post(CHAT, json=body)
    turned = await running.http.post(CHAT, json=dict(reversed(body.items())) | {"metadata": {}})

    assert turned.headers["x-cache"] == "hit"


async def test_another_parameter_is_another_question(running: Running) -> None:
    """Also one that nobody here has heard of."""
    answers = [
        await ask(running.http),
        await ask(running.http, temperature=0.5),
        await ask(running.http, brand_new=1),
        await ask(running.http, "something else"),
    ]

    assert [answer.headers["x-cache"] for answer in answers] == ["miss"] * 4


async def test_fifty_identical_questions_at_once_cost_one_origin_call(start: Start) -> None:
    """One miss, and the other 49 share its answer."""
    running = await start(speedup=10.0)  # slow enough that all are there before it answers

    answers = await asyncio.gather(*(ask(running.http) for _ in range(50)))

    outcomes = [answer.headers["x-cache"] for answer in answers]
    assert (outcomes.count("miss"), outcomes.count("collapsed")) == (1, 49)
    assert running.calls == 1
    assert len({json.dumps(answer.json()) for answer in answers}) == 1
    shared = answers[outcomes.index("collapsed")]
    assert shared.headers["cache-status"] == "valkeyctl; fwd=uri-miss; collapsed"


async def test_a_caller_that_leaves_takes_no_answer_from_the_others(start: Start) -> None:
    """The call it began goes on, once, for those who wait."""
    origin = HeldOrigin()
    running = await start(origin)
    leaver = asyncio.create_task(ask(running.http))
    await origin.asked.wait()
    others = [asyncio.create_task(ask(running.http)) for _ in range(5)]

    leaver.cancel()
    await running.http.get("/healthz")  # by now the gateway knows that it left
    origin.let_go.set()

    outcomes = {(await other).headers["x-cache"] for other in others}
    assert outcomes <= {"collapsed", "hit"}
    assert origin.calls == 1


async def test_a_lone_caller_that_leaves_still_fills_the_cache(start: Start) -> None:
    """The answer is paid for already."""
    origin = HeldOrigin()
    running = await start(origin)
    leaver = asyncio.create_task(ask(running.http))
    await origin.asked.wait()

    leaver.cancel()
    await running.http.get("/healthz")
    origin.let_go.set()

    assert (await ask(running.http)).headers["x-cache"] in {"collapsed", "hit"}
    assert origin.calls == 1


async def test_an_answer_that_did_not_end_is_given_and_not_stored(start: Start) -> None:
    """A filtered answer, or one without its end, must not be served for an hour."""
    body = json.dumps(completion(finish_reason="content_filter")).encode()
    origin = HeldOrigin(OriginReply(200, body, {"content-type": "application/json"}), held=False)
    running = await start(origin)

    answers = [await ask(running.http) for _ in range(2)]

    assert [answer.content for answer in answers] == [body, body]
    assert [answer.headers["x-cache"] for answer in answers] == ["miss", "miss"]
    assert answers[0].headers["cache-status"] == "valkeyctl; fwd=uri-miss"


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"\xff", b""])
async def test_what_is_no_answer_passes_as_it_is_and_is_not_stored(
    start: Start, body: bytes
) -> None:
    """200 with something else in it, as a proxy in between may send."""
    origin = HeldOrigin(OriginReply(200, body, {"content-type": "text/html"}), held=False)
    running = await start(origin)

    answers = [await ask(running.http) for _ in range(2)]

    assert [answer.content for answer in answers] == [body, body]
    assert answers[0].headers["content-type"] == "text/html"
    assert origin.calls == 2


async def test_a_refusal_reaches_all_who_waited_and_nobody_after_them(start: Start) -> None:
    """One 429 for five callers, with its headers; the next caller asks anew."""
    headers = {"content-type": "application/json", "retry-after": "3"}
    origin = HeldOrigin(OriginReply(429, b'{"error": {}}', headers))
    running = await start(origin)
    waiting = [asyncio.create_task(ask(running.http)) for _ in range(5)]
    await origin.asked.wait()
    for _ in range(10):  # turns of the loop in which the other four arrive and wait
        await running.http.get("/healthz")
    origin.let_go.set()

    answers = await asyncio.gather(*waiting)

    assert {answer.status_code for answer in answers} == {429}
    outcomes = [answer.headers["x-cache"] for answer in answers]
    assert outcomes.count("miss") == origin.calls
    assert outcomes.count("collapsed") == 5 - origin.calls
    assert {answer.headers["retry-after"] for answer in answers} == {"3"}
    calls = origin.calls
    assert calls < 5
    assert (await ask(running.http)).status_code == 429
    assert origin.calls == calls + 1


async def test_a_stream_that_breaks_ends_with_an_error_event(start: Start) -> None:
    """The status is sent already; client libraries raise on this event."""
    origin = HeldOrigin(held=False)
    origin.failure = refusal()
    running = await start(origin)

    answer = await running.http.post(CHAT, json=question(stream=True))

    assert answer.status_code == 200
    assert b"[DONE]" not in answer.content
    last = answer.content.strip().rpartition(b"data: ")[2]
    assert json.loads(last)["error"]["code"] == "upstream_failed"


async def test_a_stream_that_nobody_reads_is_given_up(start: Start) -> None:
    """The provider stops working, and billing, when the caller leaves."""
    origin = HeldOrigin()
    running = await start(origin)

    async with running.http.stream("POST", CHAT, json=question(stream=True)) as answer:
        await anext(answer.aiter_bytes())

    async with asyncio.timeout(5):
        await origin.left.wait()


@pytest.mark.parametrize("headers", [{"X-Valkeyctl-Cache": "off"}, {"Cache-Control": "no-store"}])
async def test_a_caller_can_leave_the_cache_out(
    running: Running, endpoint: Endpoint, headers: dict[str, str]
) -> None:
    """Nothing is read and nothing is written."""
    await ask(running.http)

    around = await ask(running.http, headers=headers)
    alone = await ask(running.http, "never asked before", headers=headers)

    assert around.headers["x-cache"] == alone.headers["x-cache"] == "bypass"
    assert around.headers["cache-status"] == "valkeyctl; fwd=bypass"
    assert running.calls == 3
    assert (await ask(running.http, "never asked before")).headers["x-cache"] == "miss"


async def test_a_caller_can_ask_for_a_new_answer(running: Running) -> None:
    """no-cache does not read the cache and does write it."""
    first = await ask(running.http)
    renewed = await ask(running.http, headers={"Cache-Control": "no-cache"})
    after = await ask(running.http)

    assert renewed.headers["x-cache"] == "miss"
    assert renewed.headers["cache-status"] == "valkeyctl; fwd=request; stored"
    assert after.headers["x-cache"] == "hit"
    assert running.calls == 2
    assert first.status_code == 200


async def test_a_mistyped_switch_is_refused(running: Running) -> None:
    """It would silently measure something else."""
    answer = await ask(running.http, headers={"X-Valkeyctl-Cache": "offf"})

    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "x-valkeyctl-cache"


async def test_a_stream_passes_uncached(running: Running) -> None:
    """Events as they come, ended by [DONE], never stored."""
    texts = []
    for _ in range(2):
        async with running.http.stream(
            "POST", CHAT, json=question(stream=True, max_tokens=5)
        ) as answer:
            texts.append(await answer.aread())
            assert answer.headers["content-type"].startswith("text/event-stream")
            assert answer.headers["x-cache"] == "bypass"

    assert all(text.endswith(b"data: [DONE]\n\n") for text in texts)
    assert all(text.count(b"data: {") == 6 for text in texts)
    assert running.calls == 2
    assert (await ask(running.http, max_tokens=5)).headers["x-cache"] == "miss"


async def test_a_question_with_one_name_twice_is_not_cached(running: Running) -> None:
    """Two parsers could read two questions in it."""
    body = b'{"model": "m", "model": "n", "messages": [{"role": "user", "content": "x"}]}'

    answers = [
        await running.http.post(CHAT, content=body, headers={"content-type": "application/json"})
        for _ in range(2)
    ]

    assert [answer.headers["x-cache"] for answer in answers] == ["bypass", "bypass"]


async def test_answers_are_not_shared_between_credentials(running: Running) -> None:
    """Another key, another user of one key, or none: nobody reads another one's answer."""
    callers: list[tuple[dict[str, str], str | None]] = [
        ({}, None),
        ({"Authorization": "Bearer alice"}, None),
        ({"Authorization": "Bearer bob"}, None),
        ({"api-key": "alice"}, None),
        ({"Authorization": "Bearer alice"}, "u1"),
        ({"Authorization": "Bearer alice"}, "u2"),
    ]

    async def once() -> list[str]:
        answers = [await ask(running.http, headers=each, user=user) for each, user in callers]
        return [answer.headers["x-cache"] for answer in answers]

    assert await once() == ["miss"] * len(callers)
    assert await once() == ["hit"] * len(callers)


async def test_no_credential_is_in_a_key(running: Running, endpoint: Endpoint) -> None:
    """Whoever lists the keys learns nothing that opens a door."""
    await ask(running.http, "topsecretprompt", headers={"Authorization": "Bearer topsecretkey"})

    keys = command(endpoint, "KEYS", "*")

    assert b"default:response:" in keys
    assert b"topsecret" not in keys


async def test_a_number_out_of_range_is_refused(running: Running) -> None:
    """Python reads 1e999 as infinity, which no JSON can say again."""
    body = b'{"model": "m", "messages": [{"role": "user"}], "x": 1e999}'

    answer = await running.http.post(
        CHAT, content=body, headers={"content-type": "application/json"}
    )

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_json")


@pytest.mark.parametrize("depth", [400, 900, 2000])
async def test_a_deep_question_is_answered_or_refused(running: Running, depth: int) -> None:
    """Never a 500, whatever the recursion limits of the parts are."""
    deep = b"[" * depth + b"]" * depth
    body = b'{"model": "m", "messages": [{"role": "user"}], "x": ' + deep + b"}"

    answer = await running.http.post(
        CHAT, content=body, headers={"content-type": "application/json"}
    )

    assert answer.status_code in {200, 400}


async def test_half_a_character_makes_no_difference(running: Running) -> None:
    """A lone surrogate is legal JSON text, and half an emoji does reach providers."""
    body = (
        b'{"model": "m", "user": "\\ud83d", "messages": [{"role": "user", "content": "\\ud83d"}]}'
    )

    answers = [
        await running.http.post(CHAT, content=body, headers={"content-type": "application/json"})
        for _ in range(2)
    ]

    assert [answer.headers["x-cache"] for answer in answers] == ["miss", "hit"]


async def test_every_repeat_of_a_burst_is_a_hit_or_shared(running: Running) -> None:
    """Hundreds at once, few repeats: the origin is asked once per distinct question."""
    texts = [f"question {number}" for number in range(150)] + [
        f"question {number * 7}" for number in range(20)
    ]

    answers = await asyncio.gather(*(ask(running.http, text, max_tokens=1) for text in texts))

    outcomes = [answer.headers["x-cache"] for answer in answers]
    assert outcomes.count("miss") == running.calls == 150
    assert outcomes.count("hit") + outcomes.count("collapsed") == 20


async def test_the_metrics_tell_the_truth(running: Running) -> None:
    """Every chat request is counted once, by what the cache did."""
    await ask(running.http)
    await ask(running.http)
    await ask(running.http, headers={"X-Valkeyctl-Cache": "off"})
    await ask(running.http, n=2)  # the simulated origin refuses it
    await running.http.post(CHAT, content=b"{")
    await running.http.get("/no/such/page?secret=1")

    for result, count in {"hit": 1, "miss": 1, "collapsed": 0, "bypass": 1, "error": 1}.items():
        labels = f'namespace="response",result="{result}"'
        assert await metric(running.http, f"valkeyctl_cache_requests_total{{{labels}}}") == count
    assert await metric(running.http, "valkeyctl_origin_calls_total") == running.calls == 3
    assert await metric(running.http, "valkeyctl_origin_seconds_count") == 3
    assert await metric(running.http, 'valkeyctl_breaker_state{state="closed"}') == 1
    # What the cache's own observer counts stands beside what the gateway counts.
    loads = 'valkeyctl_cache_load_seconds_count{{cause="miss",namespace="response",result="{}"}}'
    assert await metric(running.http, loads.format("ok")) == 1
    assert await metric(running.http, loads.format("failed")) == 1
    seen = 'valkeyctl_request_seconds_count{{route="{}",status="{}"}}'
    assert await metric(running.http, seen.format("/v1/chat/completions", 200)) == 3
    assert await metric(running.http, seen.format("/v1/chat/completions", 400)) == 2
    assert await metric(running.http, seen.format("other", 404)) == 1
    assert "secret" not in (await running.http.get("/metrics")).text


async def test_two_gateways_in_one_process_count_apart(start: Start) -> None:
    """No metric is global."""
    first, second = await start(app="one"), await start(app="two")

    await ask(first.http)

    assert await metric(first.http, "valkeyctl_origin_calls_total") == 1
    assert await metric(second.http, "valkeyctl_origin_calls_total") == 0
