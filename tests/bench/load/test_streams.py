"""What a language model's answer says of itself, in both protocols."""

from __future__ import annotations

import json
import math

import pytest

from valkeyctl.bench.load.streams import NOTHING, told


def sse(*documents: object, end: bytes = b"\n\n") -> tuple[bytes, list[tuple[int, float]]]:
    """Return a stream of one event for each document; event k comes at second k."""
    body = b""
    arrivals = []
    for number, document in enumerate(documents):
        text = document if isinstance(document, str) else json.dumps(document)
        body += b"data: " + text.encode() + end
        arrivals.append((len(body), float(number)))
    return body, arrivals


def chunk(**delta: object) -> dict[str, object]:
    """Return an event of OpenAI's chat completions."""
    return {"choices": [{"index": 0, "delta": delta}]}


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n"])
def test_openai_chat(end: bytes) -> None:
    """The role comes first and is no content; usage is in the last event."""
    usage = {"choices": [], "usage": {"prompt_tokens": 400, "completion_tokens": 3}}
    body, arrivals = sse(
        chunk(role="assistant", content=""), chunk(content="a"), chunk(content="b"),
        chunk(tool_calls=[{"id": 1}]), chunk(), usage, "[DONE]", end=end,
    )  # fmt: skip

    says = told(body, arrivals)

    assert (says.first, says.events, says.tokens) == (1.0, 3, (400, 3))


def test_openai_responses() -> None:
    """Its events have names, and usage is in what completed."""
    done = {"type": "response.completed", "response": {"usage": {"input_tokens": 7}}}
    body, arrivals = sse(
        {"type": "response.created"}, {"type": "response.output_text.delta", "delta": "x"}, done
    )

    says = told(body, arrivals)

    assert (says.first, says.events, says.tokens) == (1.0, 1, (7, 0))


def test_anthropic() -> None:
    """Input tokens are in the first event, output tokens in the last but one."""
    body, arrivals = sse(
        {"type": "message_start", "message": {"usage": {"input_tokens": 25, "output_tokens": 1}}},
        {"type": "content_block_start", "content_block": {"type": "text", "text": ""}},
        {"type": "ping"},
        {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "Hi"}},
        {"type": "message_delta", "usage": {"output_tokens": 15}},
        {"type": "message_stop"},
    )

    says = told(body, arrivals)

    assert (says.first, says.events, says.tokens) == (3.0, 1, (25, 15))


def test_a_stream_of_something_else() -> None:
    """Every event with data counts; comments and bare pings do not."""
    body, arrivals = sse("hello", {"temperature": 20})
    body = b": comment\n\nevent: ping\n\n" + body
    arrivals = [(size + len(b": comment\n\nevent: ping\n\n"), when) for size, when in arrivals]

    says = told(body, arrivals)

    assert (says.first, says.events, says.tokens) == (0.0, 2, (0, 0))


def test_an_event_came_with_its_last_byte() -> None:
    """Not with its first, and an event that broke off came with the last piece."""
    body = b'data: {"choices": [{"delta": {"content": "x"}}]}\n\ndata: tail'

    assert told(body, [(10, 1.0), (50, 2.0), (len(body), 3.0)]).first == 2.0
    assert told(b"data: tail", [(10, 1.0)]).events == 1


def test_a_stream_without_content() -> None:
    """Has no first token."""
    assert math.isnan(told(b"", []).first)
    assert math.isnan(told(*sse("[DONE]")).first)


@pytest.mark.parametrize(
    ("body", "tokens"),
    [
        (b'{"usage": {"prompt_tokens": 3, "completion_tokens": 5}}', (3, 5)),
        (b'{"usage": {"input_tokens": 3, "output_tokens": 5}}', (3, 5)),
        (b'{"a": "\\"usage\\"", "usage" : {"input_tokens": 3}, "z": [1]}', (3, 0)),
        (b'{"usage": {"input_tokens": "3"}}', (0, 0)),
        (b'{"usage": {"input_tokens": 99999999999}}', (0, 0)),
        (b'{"usage": null}', (0, 0)),
        (b'["usage"]', (0, 0)),
        (b'{"usage"', (0, 0)),
    ],
)
def test_usage_in_an_answer_of_one_piece(body: bytes, tokens: tuple[int, int]) -> None:
    """Whatever stands there, no answer stops the run."""
    says = told(body, None)

    assert says.tokens == tokens
    assert math.isnan(says.first)


def test_an_answer_that_says_nothing_is_not_parsed() -> None:
    """The same object each time: most answers of most applications."""
    assert told(b'{"a": 1}', None) is NOTHING
