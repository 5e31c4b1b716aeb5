"""The origin that makes answers up."""

from __future__ import annotations

import asyncio
import json
import math
import statistics
import time

import pytest

from tests.gateway.asking import question
from valkeyctl.gateway.failures import RequestFailure
from valkeyctl.gateway.origin import ChatCall
from valkeyctl.gateway.schemas import read_chat
from valkeyctl.gateway.simulated import (
    FIRST_TOKEN_MEDIAN,
    INPUT_HEADER,
    LENGTH_MEDIAN,
    OUTPUT_HEADER,
    PREFILL_SPEED,
    SPEED_MEDIAN,
    Draw,
    SimulatedLLM,
)


def call(text: str = "hi", headers: dict[str, str] | None = None, **fields: object) -> ChatCall:
    body = json.dumps(question(text, **fields)).encode()
    return ChatCall(body=body, headers=headers or {}, chat=read_chat(body))


def cost(draw: Draw) -> tuple[float, float, int]:
    return draw.first_token, draw.per_token, draw.output_tokens


def test_a_request_costs_the_same_each_time() -> None:
    """Both arms of a benchmark see one latency for one prompt."""
    assert SimulatedLLM(seed=1).draw(call()) == SimulatedLLM(seed=1, speedup=9).draw(call())


def test_seed_and_prompt_decide_the_cost() -> None:
    """Another seed or another prompt is another latency."""
    base = cost(SimulatedLLM(seed=1).draw(call()))

    assert cost(SimulatedLLM(seed=2).draw(call())) != base
    assert cost(SimulatedLLM(seed=1).draw(call("ho"))) != base


def test_the_draws_have_the_documented_medians() -> None:
    """1,000 prompts: each median lies within 10 % of its parameter."""
    llm = SimulatedLLM(seed=7)
    calls = [call(f"prompt {number}", {INPUT_HEADER: "1"}) for number in range(1000)]

    draws = [llm.draw(each) for each in calls]

    first = statistics.median(draw.first_token for draw in draws)
    speed = statistics.median(1 / draw.per_token for draw in draws)
    length = statistics.median(draw.output_tokens for draw in draws)
    assert math.isclose(first, FIRST_TOKEN_MEDIAN, rel_tol=0.1)
    assert math.isclose(speed, SPEED_MEDIAN, rel_tol=0.1)
    assert math.isclose(length, LENGTH_MEDIAN, rel_tol=0.1)


def test_max_tokens_is_the_length_of_the_answer() -> None:
    """Without a header, the bound is what the model writes."""
    draw = SimulatedLLM().draw(call(max_tokens=17))

    assert (draw.output_tokens, len(draw.words), draw.finish_reason) == (17, 17, "stop")


def test_a_header_sets_the_length_and_max_tokens_cuts_it() -> None:
    """A trace says how long the answer was; a bound below it ends with 'length'."""
    llm = SimulatedLLM()

    free = llm.draw(call(headers={OUTPUT_HEADER: "350"}))
    cut = llm.draw(call(headers={OUTPUT_HEADER: "350"}, max_tokens=20))

    assert (free.output_tokens, free.finish_reason) == (350, "stop")
    assert (cut.output_tokens, cut.finish_reason) == (20, "length")


def test_a_long_prompt_lengthens_the_first_token_by_its_prefill() -> None:
    """Nothing else changes with the input length."""
    llm = SimulatedLLM()

    short = llm.draw(call(headers={INPUT_HEADER: "1"}))
    long = llm.draw(call(headers={INPUT_HEADER: "80001"}))

    assert math.isclose(long.first_token - short.first_token, 80000 / PREFILL_SPEED)
    assert (long.per_token, long.output_tokens) == (short.per_token, short.output_tokens)
    assert long.input_tokens == 80001


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "many", "", "99999999999999999999", "\u0665"])
@pytest.mark.parametrize("header", [INPUT_HEADER, OUTPUT_HEADER])
def test_a_length_that_is_no_number_is_refused(header: str, value: str) -> None:
    """Ignoring it would measure something else than the benchmark says."""
    with pytest.raises(RequestFailure) as caught:
        SimulatedLLM().draw(call(headers={header: value}))

    assert (caught.value.status, caught.value.param) == (400, header)


async def test_an_answer_takes_the_time_of_its_tokens_over_the_speedup() -> None:
    """Absolute due times: a hundred calls at once take as long as the slowest one."""
    llm = SimulatedLLM(seed=3, speedup=10)
    calls = [call(f"prompt {number}", max_tokens=200) for number in range(100)]
    slowest = max(llm.draw(each).seconds for each in calls) / 10
    begun = time.monotonic()

    await asyncio.gather(*(llm.complete(each) for each in calls))

    assert slowest <= time.monotonic() - begun < slowest * 1.5


async def test_an_answer_is_a_chat_completion_that_says_it_is_simulated() -> None:
    """Client libraries can read it, and nobody takes it for a model's."""
    llm = SimulatedLLM(speedup=1000)

    reply = await llm.complete(call(max_tokens=9, headers={INPUT_HEADER: "5"}))

    document = json.loads(reply.body)
    assert document["object"] == "chat.completion"
    assert document["model"] == "m"
    assert document["choices"][0]["finish_reason"] == "stop"
    assert document["choices"][0]["message"]["content"].split()[0] == "simulated"
    assert document["usage"] == {"prompt_tokens": 5, "completion_tokens": 9, "total_tokens": 14}
    assert llm.calls == 1


async def test_a_stream_says_the_same_as_the_whole_answer() -> None:
    """The events, put together, are the text of the JSON answer of the same call."""
    llm = SimulatedLLM(speedup=10_000)
    asked = call(max_tokens=30)

    whole = json.loads((await llm.complete(asked)).body)["choices"][0]["message"]["content"]
    async with llm.stream(asked) as stream:
        events = [chunk async for chunk in stream.chunks]

    assert events[-1] == b"data: [DONE]\n\n"
    documents = [json.loads(event.removeprefix(b"data: ")) for event in events[:-1]]
    deltas = [document["choices"][0]["delta"] for document in documents]
    assert "".join(delta.get("content", "") for delta in deltas) == whole
    assert documents[-1]["choices"][0]["finish_reason"] == "stop"


async def test_usage_comes_last_and_only_where_it_is_asked_for() -> None:
    """As stream_options.include_usage says."""
    llm = SimulatedLLM(speedup=10_000)
    with_usage = call(max_tokens=2, stream_options={"include_usage": True})

    async with llm.stream(with_usage) as stream:
        told = [chunk async for chunk in stream.chunks]
    async with llm.stream(call(max_tokens=2)) as stream:
        untold = [chunk async for chunk in stream.chunks]

    last = json.loads(told[-2].removeprefix(b"data: "))
    assert (last["choices"], last["usage"]["completion_tokens"]) == ([], 2)
    assert b"usage" not in b"".join(untold)


async def test_more_than_one_choice_is_refused() -> None:
    """It would have to be made up how they differ."""
    with pytest.raises(RequestFailure) as caught:
        await SimulatedLLM().complete(call(n=2))

    assert (caught.value.status, caught.value.param) == (400, "n")
