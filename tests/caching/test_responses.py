"""Equal requests of one scope get the stored answer; different ones never do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from valkeyctl.caching import ResponseCache, ValkeyClient
from valkeyctl.caching.responses import IGNORED, digest, finished
from valkeyctl.errors import UsageError

REQUEST: dict[str, object] = {
    "model": "gpt-x",
    "messages": [{"role": "user", "content": "hi"}],
    "temperature": 0,
}
ANSWER: dict[str, object] = {
    "id": "chatcmpl-1",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"content": "hello"}}],
}
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters()),
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(st.text(), parts, max_size=3),
    max_leaves=8,
)
BODIES = st.dictionaries(st.text(st.characters()) | st.sampled_from(["model", "n"]), JSON)


class Provider:
    """Answers, and counts how often it was asked."""

    def __init__(self, answer: Mapping[str, object] = ANSWER) -> None:
        self.calls = 0
        self.answer = answer

    async def __call__(self) -> Mapping[str, object]:
        self.calls += 1
        await asyncio.sleep(0)
        return self.answer


@pytest.fixture
def responses(client: ValkeyClient) -> ResponseCache:
    """An empty response cache; a generous budget, for machines that stutter."""
    return ResponseCache(client, app="t", budget=1.0)


async def test_the_second_equal_request_is_a_hit(responses: ResponseCache) -> None:
    """With its age and what it has left, under the digest that both share."""
    provider = Provider()

    first = await responses.complete(REQUEST, provider, scope="alice")
    second = await responses.complete(
        dict(reversed(REQUEST.items())) | {"stream": True, "user": "u-7"}, provider, scope="alice"
    )

    assert (first.body, first.outcome, first.age) == (ANSWER, "miss", None)
    assert (second.body, second.outcome, second.digest) == (ANSWER, "hit", first.digest)
    assert second.age is not None
    assert second.ttl is not None
    assert provider.calls == 1


async def test_another_scope_or_origin_never_gets_it(responses: ResponseCache) -> None:
    """What is alice's stays alice's, and one provider's answer is not another's."""
    provider = Provider()
    await responses.complete(REQUEST, provider, scope="alice")

    for scope, origin in (("bob", ""), ("alice", "https://other.example"), ("", "alice")):
        answer = await responses.complete(REQUEST, provider, scope=scope, origin=origin)
        assert answer.outcome == "miss"


async def test_concurrent_equal_requests_ask_the_provider_once(responses: ResponseCache) -> None:
    """All but one share its answer."""
    provider = Provider()

    answers = await asyncio.gather(
        *(responses.complete(REQUEST, provider, scope="alice") for _ in range(50))
    )

    assert provider.calls == 1
    assert [answer.outcome for answer in answers].count("miss") == 1
    assert all(answer.body == ANSWER for answer in answers)


@pytest.mark.parametrize(
    "field",
    [
        {"store": True},
        {"previous_response_id": "resp_1"},
        {"conversation": "conv_1"},
        {"conversation": {}},
        {"background": True},
    ],
)
async def test_a_request_for_state_bypasses_the_cache(
    responses: ResponseCache, client: ValkeyClient, field: dict[str, object]
) -> None:
    """Its answer goes on elsewhere; giving it twice would be wrong."""
    provider = Provider()

    for _ in range(2):
        answer = await responses.complete(REQUEST | field, provider, scope="alice")
        assert answer.outcome == "bypass"

    assert provider.calls == 2
    assert await client.execute("DBSIZE") == 0


@pytest.mark.parametrize("field", [{"store": False}, {"previous_response_id": None}])
async def test_a_request_that_declines_state_is_cached(
    responses: ResponseCache, field: dict[str, object]
) -> None:
    """Saying no is not asking for it."""
    await responses.complete(REQUEST | field, Provider(), scope="alice")

    assert (await responses.complete(REQUEST | field, Provider(), scope="alice")).outcome == "hit"


async def test_an_unfinished_answer_is_given_and_not_stored(responses: ResponseCache) -> None:
    """The next caller asks again."""
    provider = Provider({"choices": [{"finish_reason": "content_filter"}]})

    for _ in range(2):
        answer = await responses.complete(REQUEST, provider, scope="alice")
        assert (answer.outcome, answer.ttl) == ("miss", None)

    assert provider.calls == 2


async def test_a_failed_call_reaches_its_caller(responses: ResponseCache) -> None:
    """The provider's exception is nobody else's business."""

    async def refused() -> dict[str, object]:
        raise ConnectionError("provider down")

    with pytest.raises(ConnectionError, match="provider down"):
        await responses.complete(REQUEST, refused, scope="alice")


async def test_invalidating_forgets_every_answer(responses: ResponseCache) -> None:
    """At constant cost, like any namespace."""
    await responses.complete(REQUEST, Provider(), scope="alice")

    await responses.invalidate()

    assert (await responses.complete(REQUEST, Provider(), scope="alice")).outcome == "miss"


async def test_refreshing_asks_again_and_stores_the_new_answer(responses: ResponseCache) -> None:
    """A caller who wants no stored answer leaves a newer one for the others."""
    await responses.complete(REQUEST, Provider(), scope="alice")
    newer = ANSWER | {"id": "chatcmpl-2"}

    asked = await responses.complete(REQUEST, Provider(newer), scope="alice", refresh=True)
    later = await responses.complete(REQUEST, Provider(), scope="alice")

    assert (asked.outcome, asked.body) == ("miss", newer)
    assert (later.outcome, later.body) == ("hit", newer)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (ANSWER, True),
        ({"choices": [{"finish_reason": "tool_calls"}, {"finish_reason": "length"}]}, True),
        ({"choices": [{"finish_reason": "stop"}, {"finish_reason": "content_filter"}]}, False),
        ({"choices": [{"finish_reason": "error"}]}, False),
        ({"choices": [{"finish_reason": None}]}, False),
        ({"choices": [{}]}, False),
        ({"choices": []}, False),
        ({"choices": ["stop"]}, False),
        (ANSWER | {"error": {"message": "overloaded"}}, False),
        ({"error": {"message": "overloaded"}}, False),
        ({"type": "message", "stop_reason": "end_turn"}, True),
        ({"type": "message", "stop_reason": "tool_use"}, True),
        ({"type": "message", "stop_reason": "refusal"}, False),
        ({"type": "message", "stop_reason": "pause_turn"}, False),
        ({"type": "message", "stop_reason": None}, False),
        ({"type": "error", "error": {"type": "overloaded_error"}}, False),
        ({"object": "response", "status": "completed", "error": None}, True),
        ({"object": "response", "status": "incomplete"}, False),
        ({"object": "response", "status": "queued"}, False),
        ({}, False),
    ],
)
def test_only_answers_that_came_to_their_end_are_stored(
    answer: dict[str, object], expected: bool
) -> None:
    """OpenAI's and Anthropic's bodies; what is not known is not stored."""
    assert finished(answer) is expected


def canonical(body: Mapping[str, object]) -> str:
    """Return what the body says, by another road than the code under test."""
    kept = {name: value for name, value in body.items() if name not in IGNORED}

    def spelled(value: object) -> object:
        if isinstance(value, dict):
            return ["dict", sorted((name, spelled(part)) for name, part in value.items())]
        if isinstance(value, list):
            return ["list", [spelled(part) for part in value]]
        return [type(value).__name__, repr(value)]

    return repr(spelled(kept))


@given(BODIES, BODIES)
@example({"n": 1}, {"n": True})
@example({"n": 1}, {"n": 1.0})
@example({"n": "1"}, {"n": 1})
@example({"n": 0.0}, {"n": -0.0})
@example({"a": {"b": 1}}, {"a": {}, "b": 1})
@example({"n": "\ud800"}, {"n": "\\ud800"})
@example({"n": None}, {})
@example({"messages": ["a", "b"]}, {"messages": ["b", "a"]})
def test_different_bodies_never_share_a_digest(
    one: dict[str, object], other: dict[str, object]
) -> None:
    """And bodies that say the same always do."""
    same = canonical(one) == canonical(other)

    assert (digest(one, scope="s") == digest(other, scope="s")) is same


def shuffled(value: object) -> object:
    """Return *value* with the members of every object in reverse order."""
    if isinstance(value, dict):
        return {name: shuffled(value[name]) for name in reversed(value)}
    return [shuffled(part) for part in value] if isinstance(value, list) else value


@given(BODIES, st.dictionaries(st.sampled_from(sorted(IGNORED)), JSON))
def test_order_of_members_and_transport_fields_do_not_matter(
    body: dict[str, object], transport: dict[str, object]
) -> None:
    """At every depth; fields of the same name deeper down do matter."""
    shuffled_body = shuffled({**transport, **body, **transport})
    assert isinstance(shuffled_body, dict)

    assert digest(body, scope="s") == digest(shuffled_body, scope="s")
    nested = {"model": "m", "input": {"user": 1}}
    assert digest(nested, scope="s") != digest({"model": "m", "input": {}}, scope="s")


def test_the_digest_of_today_is_the_digest_of_tomorrow() -> None:
    """A change of it empties every cache in use: change SCHEMA and say so instead."""
    assert digest(REQUEST, scope="alice", origin="openai") == (
        "b82f51c03e169f8940aac4f496ac18a99b994c3e9e99583435e31682f06c4dd7"
    )


@pytest.mark.parametrize(
    "body",
    [{1: "a"}, {"a": {1: "b"}}, {"a": float("nan")}, {"a": b"x"}, {"a": [object()]}],
)
def test_a_request_that_is_no_json_is_refused(body: dict[str, object]) -> None:
    """JSON would silently make it equal to another request."""
    with pytest.raises(UsageError, match="a request has"):
        digest(body, scope="s")


@given(BODIES)
def test_a_body_read_from_the_wire_has_the_same_digest(body: dict[str, object]) -> None:
    """What the gateway parses and what a library user builds meet in one entry."""
    parsed = json.loads(json.dumps(body))

    assert digest(parsed, scope="s") == digest(body, scope="s")
