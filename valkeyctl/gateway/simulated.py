"""An origin that makes answers up, with the latencies of a hosted model.

Nothing is measured of any product. The numbers are of the order that hosted chat models
show; the answer lengths have the median and the spread of the 19,366 requests of the
Azure LLM inference trace 2023 (conversations): median 129, standard deviation of the
logarithm 0.86.

======================  ==================================================  =============
drawn per request       distribution                                        parameters
======================  ==================================================  =============
time to first token     lognormal, plus input tokens / prefill speed        0.35 s, 0.35
speed of the answer     lognormal, tokens per second                        60, 0.25
answer length           ``X-Simulate-Output-Tokens``, else ``max_tokens``,
                        else lognormal, cut to 1 .. 2048 tokens             129, 0.86
======================  ==================================================  =============

Parameters are the median and the standard deviation of the logarithm. All of it is a
function of the seed and the body, so two arms of a benchmark that send the same prompt
see the same latency. Calls do not slow each other down.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import random
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from valkeyctl.gateway.failures import wrong
from valkeyctl.gateway.origin import ChatCall, OriginReply, OriginStream

OUTPUT_HEADER = "x-simulate-output-tokens"
INPUT_HEADER = "x-simulate-input-tokens"

FIRST_TOKEN_MEDIAN, FIRST_TOKEN_SIGMA = 0.35, 0.35
SPEED_MEDIAN, SPEED_SIGMA = 60.0, 0.25
LENGTH_MEDIAN, LENGTH_SIGMA, LENGTH_MAX = 129.0, 0.86, 2048
PREFILL_SPEED = 8000.0  # input tokens per second
BYTES_PER_TOKEN = 4  # of the body, where the caller does not say the input length
OUTPUT_LIMIT = 32_768
INPUT_LIMIT = 10_000_000

_WORDS = (
    "cache", "answer", "token", "model", "prompt", "origin", "latency", "key", "value", "hit",
    "miss", "warm", "cold", "fresh", "stale", "shared", "single", "flight", "reader", "writer",
    "window", "budget", "memory", "server", "client", "request", "reply", "stream", "event",
    "digest", "scope", "expiry",
)  # fmt: skip
_JSON = {"content-type": "application/json"}
_EVENTS = {"content-type": "text/event-stream; charset=utf-8"}


@dataclass(frozen=True)
class Draw:
    """What one request costs, before the speedup.

    Attributes:
        first_token: Seconds until the first token.
        per_token: Seconds between one token and the next.
        input_tokens: Length of the prompt.
        output_tokens: Length of the answer.
        finish_reason: ``length`` when max_tokens cut the answer, else ``stop``.
        words: One per output token.
    """

    first_token: float
    per_token: float
    input_tokens: int
    output_tokens: int
    finish_reason: str
    words: tuple[str, ...]

    @property
    def seconds(self) -> float:
        """Time of the whole answer."""
        return self.due(self.output_tokens - 1)

    def due(self, token: int) -> float:
        """Return the seconds after which token number *token*, from 0, is there."""
        return self.first_token + token * self.per_token


class SimulatedLLM:
    """The `Origin` that answers by itself, as slowly as a model would.

    Args:
        seed: Decides every draw, together with the body of the request.
        speedup: Divides all latencies; above 0.
    """

    identity = "simulated"

    def __init__(self, *, seed: int = 0, speedup: float = 1.0) -> None:
        self.calls = 0
        self._seed = seed
        self._speedup = speedup

    @property
    def failing(self) -> bool:
        """False: there is nothing that could fail."""
        return False

    def draw(self, call: ChatCall) -> Draw:
        """Return what *call* costs; the same for the same seed, body and headers.

        Raises:
            RequestFailure: 400; a header of the simulation is no number in its range.
        """
        rng = random.Random(int.from_bytes(self._digest(call)))
        # Drawn always and in this order: a header then changes one thing, not all of them.
        first_token = _lognormal(rng, FIRST_TOKEN_MEDIAN, FIRST_TOKEN_SIGMA)
        speed = _lognormal(rng, SPEED_MEDIAN, SPEED_SIGMA)
        wanted = min(max(1, round(_lognormal(rng, LENGTH_MEDIAN, LENGTH_SIGMA))), LENGTH_MAX)
        bound = call.chat.max_tokens
        if bound is not None:
            wanted = min(bound, OUTPUT_LIMIT)
        asked = _tokens(call.headers, OUTPUT_HEADER, OUTPUT_LIMIT)
        if asked is not None:
            wanted = asked
        output_tokens = wanted if bound is None else min(wanted, bound)
        input_tokens = _tokens(call.headers, INPUT_HEADER, INPUT_LIMIT)
        if input_tokens is None:
            input_tokens = max(1, len(call.body) // BYTES_PER_TOKEN)
        return Draw(
            first_token=first_token + input_tokens / PREFILL_SPEED,
            per_token=1 / speed,
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            finish_reason="stop" if output_tokens == wanted else "length",
            words=("simulated", *rng.choices(_WORDS, k=output_tokens - 1)),
        )

    async def complete(self, call: ChatCall) -> OriginReply:
        """Return a chat completion after the time that its tokens take.

        Raises:
            RequestFailure: 400; see `draw`, or more than one choice is asked for.
        """
        # Taken before the drawing, so that the work here is part of the latency, not on
        # top of it: an absolute due time keeps a busy event loop from adding up.
        begun = time.monotonic()
        draw = self._begin(call)
        await self._until(begun, draw.seconds)
        message = {"role": "assistant", "content": " ".join(draw.words), "refusal": None}
        choice = {
            "index": 0,
            "message": message,
            "logprobs": None,
            "finish_reason": draw.finish_reason,
        }
        document = self._envelope(call, "chat.completion") | {
            "choices": [choice],
            "usage": _usage(draw),
        }
        return OriginReply(200, json.dumps(document).encode(), _JSON)

    @asynccontextmanager
    async def stream(self, call: ChatCall) -> AsyncIterator[OriginStream]:
        """Open an answer whose tokens come one by one, each at its time.

        Raises:
            RequestFailure: As `complete`.
        """
        begun = time.monotonic()
        draw = self._begin(call)
        yield OriginStream(200, _EVENTS, self._events(call, draw, begun))

    async def aclose(self) -> None:
        """Do nothing; there is no connection."""

    def _begin(self, call: ChatCall) -> Draw:
        self.calls += 1
        if call.chat.choices != 1:
            raise wrong("the simulated origin answers with one choice", param="n")
        return self.draw(call)

    async def _events(self, call: ChatCall, draw: Draw, begun: float) -> AsyncIterator[bytes]:
        envelope = self._envelope(call, "chat.completion.chunk")
        if call.chat.include_usage:
            envelope["usage"] = None
        for token, word in enumerate(draw.words):
            await self._until(begun, draw.due(token))
            if token == 0:
                yield _event(envelope, {"role": "assistant", "content": word})
            else:
                yield _event(envelope, {"content": f" {word}"})
        yield _event(envelope, {}, draw.finish_reason)
        if call.chat.include_usage:
            yield _data(envelope | {"choices": [], "usage": _usage(draw)})
        yield b"data: [DONE]\n\n"

    async def _until(self, begun: float, seconds: float) -> None:
        await asyncio.sleep(max(0.0, begun + seconds / self._speedup - time.monotonic()))

    def _digest(self, call: ChatCall) -> bytes:
        return hashlib.sha256(b"%d:" % self._seed + call.body).digest()

    def _envelope(self, call: ChatCall, kind: str) -> dict[str, object]:
        return {
            "id": f"chatcmpl-simulated-{self._digest(call).hex()[:24]}",
            "object": kind,
            "created": int(time.time()),
            "model": call.chat.model,
            "system_fingerprint": "simulated",
        }


def _lognormal(rng: random.Random, median: float, sigma: float) -> float:
    return rng.lognormvariate(math.log(median), sigma)


def _tokens(headers: Mapping[str, str], name: str, limit: int) -> int | None:
    text = headers.get(name)
    if text is None:
        return None
    # Refused, not ignored: a benchmark must not measure other lengths than it says.
    if not (text.isascii() and text.isdigit() and len(text) <= 8 and 1 <= int(text) <= limit):
        raise wrong(f"'{name}' must be a whole number from 1 to {limit}", param=name)
    return int(text)


def _usage(draw: Draw) -> dict[str, int]:
    return {
        "prompt_tokens": draw.input_tokens,
        "completion_tokens": draw.output_tokens,
        "total_tokens": draw.input_tokens + draw.output_tokens,
    }


def _event(
    envelope: Mapping[str, object], delta: Mapping[str, str], finish_reason: str | None = None
) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    return _data({**envelope, "choices": [choice]})


def _data(document: Mapping[str, object]) -> bytes:
    return b"data: " + json.dumps(document).encode() + b"\n\n"
