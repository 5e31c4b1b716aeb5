"""What a language model's answer says: when its first token came, how many, and usage."""

from __future__ import annotations

import json
import math
import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from valkeyctl.bench.arm import Node

_END_OF_EVENT = re.compile(rb"\r\n\r\n|\n\n|\r\r")
_DONE = b"[DONE]"
_INPUT = ("prompt_tokens", "input_tokens")
_OUTPUT = ("completion_tokens", "output_tokens")
_MOST_TOKENS = 2**32 - 1
_LONGEST_USAGE = 4096
_decoder = json.JSONDecoder()
# Beside these, whatever a delta of the OpenAI protocol carries is content.
_NOT_CONTENT = frozenset({"role", "refusal"})


@dataclass(frozen=True, slots=True)
class Told:
    """What an answer's body says of itself.

    Attributes:
        first: Monotonic seconds at which the first piece with content had come; NaN where
            the answer did not stream, or had none.
        events: Pieces of the stream that carry content.
        tokens: Of the prompt and of the answer; 0 where it does not say.
    """

    first: float = math.nan
    events: int = 0
    tokens: tuple[int, int] = (0, 0)


NOTHING = Told()


def told(body: bytes, arrivals: Sequence[tuple[int, float]] | None) -> Told:
    """Return what *body* says; of the protocols of OpenAI and Anthropic, as both are used.

    Args:
        body: The whole body, or its beginning.
        arrivals: For a ``text/event-stream``: (bytes so far, when), ascending; None for a
            body of one piece.
    """
    if arrivals is not None:
        return _streamed(body, arrivals)
    # Not parsed as a whole: a body of embeddings takes longer than a request may be late.
    _, name, rest = body.rpartition(b'"usage"')
    if not name:
        return NOTHING
    value = rest[:_LONGEST_USAGE].decode("utf-8", errors="replace").lstrip(" \t\r\n:")
    try:
        usage: Node = _decoder.raw_decode(value)[0]
    except (ValueError, RecursionError):
        return NOTHING
    return Told(tokens=_usage({"usage": usage}, (0, 0)))


def _streamed(body: bytes, arrivals: Sequence[tuple[int, float]]) -> Told:
    first = math.nan
    events = 0
    tokens = (0, 0)
    for data, end in _events(body):
        document = _json(data)
        if isinstance(document, dict):
            tokens = _usage(document, tokens)
            content = _has_content(document)
        else:
            content = bool(data) and data != _DONE
        if content:
            if not events:
                place = bisect_left(arrivals, (end, -math.inf))
                first = arrivals[min(place, len(arrivals) - 1)][1]
            events += 1
    return Told(first, events, tokens)


def _events(body: bytes) -> Iterator[tuple[bytes, int]]:
    """Yield the data of each event, and how many bytes there were when it was whole."""
    begin = 0
    while begin < len(body):
        found = _END_OF_EVENT.search(body, begin)
        end = found.end() if found else len(body)
        lines = body[begin:end].splitlines()
        data = [line[5:].strip() for line in lines if line.startswith(b"data:")]
        if data:
            yield b"\n".join(data), end
        begin = end


def _json(text: bytes) -> Node:
    try:
        document: Node = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return document


def _has_content(event: Mapping[str, Node]) -> bool:
    choices = event.get("choices")
    if isinstance(choices, list):
        return any(_choice_has_content(choice) for choice in choices)
    kind = event.get("type")
    if isinstance(kind, str):
        # Anthropic's content_block_delta, OpenAI's response.output_text.delta.
        return kind == "content_block_delta" or kind.endswith(".delta")
    return "usage" not in event


def _choice_has_content(choice: Node) -> bool:
    if not isinstance(choice, dict):
        return False
    delta = choice.get("delta")
    if isinstance(delta, dict):
        return any(value for name, value in delta.items() if name not in _NOT_CONTENT)
    return bool(choice.get("text"))


def _usage(document: Mapping[str, Node], known: tuple[int, int]) -> tuple[int, int]:
    """Return the tokens that *document* tells of, *known* where it does not."""
    prompt, answer = known
    # Where the protocols put it: the document, Anthropic's first event, OpenAI's last.
    for place in (document, document.get("message"), document.get("response")):
        usage = place.get("usage") if isinstance(place, dict) else None
        if isinstance(usage, dict):
            prompt = _count(usage, _INPUT) or prompt
            answer = _count(usage, _OUTPUT) or answer
    return prompt, answer


def _count(usage: Mapping[str, Node], names: Sequence[str]) -> int:
    for name in names:
        value = usage.get(name)
        if isinstance(value, int) and 0 < value <= _MOST_TOKENS:
            return value
    return 0
