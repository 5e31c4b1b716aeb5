"""The request stream of a plan: the same plan gives the same bytes, in every arm."""

from __future__ import annotations

import json
import math
import random
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import accumulate, count, islice

from valkeyctl.bench.plan import Plan
from valkeyctl.bench.scenario import Sizes
from valkeyctl.bench.traces import Record, read_trace

# Tell the simulated LLM how long prompt and answer are. They travel beside the body,
# so that equal prompts are equal bodies, whatever the trace says of their lengths.
INPUT_HEADER = "X-Simulate-Input-Tokens"
OUTPUT_HEADER = "X-Simulate-Output-Tokens"

_WORDS = tuple(
    "cache server answer prompt token model memory latency namespace value replica schedule "  # noqa: SIM905 - one word a line reads worse
    "arrival window budget policy shard cluster session stream request header block trace round "
    "sample arm rate limit queue worker reader writer epoch digest lease quota index cursor".split()
)


@dataclass(frozen=True, slots=True)
class Request:
    """One request of the stream.

    Attributes:
        index: Its place in the stream, from 0.
        prompt_id: Equal for equal bodies, within one stream.
        body: What is posted.
        headers: Sent beside it.
        due: Seconds after the stream's start at which it arrives; None in a closed loop.
    """

    index: int
    prompt_id: int
    body: bytes = field(repr=False)
    headers: tuple[tuple[str, str], ...]
    due: float | None = None


def stream(plan: Plan, *, salt: str = "") -> Iterator[Request]:
    """Yield the requests of *plan* in order; endless when nothing bounds their number.

    Args:
        plan: Decides everything about them.
        salt: Goes into every prompt, so that a cache which earlier runs have filled
            holds none of them.

    Raises:
        UsageError: The trace has a line that is not of its format.
        FolderError: The trace cannot be read.
    """
    requests = _replay(plan, salt) if plan.trace else _draw(plan, salt)
    return requests if plan.requests is None else islice(requests, plan.requests)


def warmup_stream(plan: Plan, *, salt: str = "") -> Iterator[Request]:
    """Yield endless requests like those of *plan*, none of whose prompts is in `stream`."""
    prompts = _PromptSet(plan, f"warm-up {salt}", f"warm-up {plan.seed}")
    for index in count():
        prompt_id = prompts.draw()
        body, headers = prompts.request(prompt_id)
        yield Request(index, prompt_id, body, headers)


def _draw(plan: Plan, salt: str) -> Iterator[Request]:
    # The salt is in the text alone: the order, and so the truth, stays that of the seed.
    prompts = _PromptSet(plan, salt, f"order {plan.seed}")
    dues = _arrivals(plan)
    for index in count():
        prompt_id = prompts.draw()
        body, headers = prompts.request(prompt_id)
        yield Request(index, prompt_id, body, headers, next(dues))


def _arrivals(plan: Plan) -> Iterator[float | None]:
    if plan.rate is None:
        while True:
            yield None
    rng = random.Random(f"arrivals {plan.seed}")
    due = 0.0
    while True:
        yield due
        due += rng.expovariate(plan.rate) if plan.arrivals == "poisson" else 1 / plan.rate


class _PromptSet:
    """The scenario's prompts, drawn by Zipf's law: prompt k with weight 1 / k**exponent."""

    def __init__(self, plan: Plan, salt: str, order: str) -> None:
        scenario = plan.scenario
        self._plan = plan
        self._salt = salt
        self._rng = random.Random(order)
        weights = (rank**-scenario.exponent for rank in range(1, scenario.prompts + 1))
        self._cumulative = list(accumulate(weights))
        # A popular prompt is one object, however often it is sent.
        self._made: dict[int, tuple[bytes, tuple[tuple[str, str], ...]]] = {}

    def draw(self) -> int:
        place = self._rng.random() * self._cumulative[-1]
        # The product can round up to the total itself, which lies past the last prompt.
        return min(bisect_right(self._cumulative, place), len(self._cumulative) - 1)

    def request(self, prompt_id: int) -> tuple[bytes, tuple[tuple[str, str], ...]]:
        made = self._made.get(prompt_id)
        if made is None:
            made = self._made[prompt_id] = self._make(prompt_id)
        return made

    def _make(self, prompt_id: int) -> tuple[bytes, tuple[tuple[str, str], ...]]:
        scenario = self._plan.scenario
        rng = random.Random(f"prompt {self._plan.seed} {prompt_id}")
        words = " ".join(rng.choices(_WORDS, k=40))
        text = f"Question {prompt_id} of set {self._plan.seed}{_tag(self._salt)}: {words}?"
        sizes = (_tokens(scenario.input_tokens, rng), _tokens(scenario.output_tokens, rng))
        return _body(scenario.model, text), _size_headers(*sizes)


def _replay(plan: Plan, salt: str) -> Iterator[Request]:
    if plan.trace is None:
        raise AssertionError("a replay needs a trace")
    known: dict[str, int] = {}
    for index, record in enumerate(read_trace(plan.trace)):
        # Without an identity in the trace, every request is one of its own.
        identity = f"request {index}" if record.identity is None else record.identity
        yield Request(
            index,
            known.setdefault(identity, len(known)),
            _body(plan.scenario.model, f"Prompt{_tag(salt)}: {identity}"),
            _size_headers(record.input_tokens, record.output_tokens),
            record.arrival / plan.speedup,
        )


def _tag(salt: str) -> str:
    return f" ({salt})" if salt else ""


def _body(model: str, text: str) -> bytes:
    # Temperature 0: a caller who asks for chance wants no answer from a cache.
    message = {"role": "user", "content": text}
    return json.dumps({"model": model, "temperature": 0, "messages": [message]}).encode()


def _size_headers(input_tokens: int, output_tokens: int) -> tuple[tuple[str, str], ...]:
    return ((INPUT_HEADER, str(input_tokens)), (OUTPUT_HEADER, str(output_tokens)))


def _tokens(sizes: Sizes, rng: random.Random) -> int:
    drawn = sizes.median * math.exp(sizes.sigma * rng.gauss(0, 1))
    return max(1, min(sizes.most, round(drawn)))


@dataclass(frozen=True)
class Traffic:
    """What is known of a stream before it is played.

    Attributes:
        requests: Of one arm; None when only the pilot decides.
        distinct: Different prompts among them; None when it cannot be known beforehand.
        span: Seconds from the first arrival to the last, speed-up applied; None in a
            closed loop.
        has_identity: Whether equal prompts can be told; without it no hit ratio means
            anything.
    """

    requests: int | None
    distinct: int | None
    span: float | None
    has_identity: bool


def survey(plan: Plan) -> Traffic:
    """Return what is known of *plan*'s stream; reads the whole trace where there is one.

    Raises:
        UsageError: The trace has a line that is not of its format, or too few requests.
        FolderError: The trace cannot be read.
    """
    if plan.trace is None:
        return Traffic(plan.requests, None, None, has_identity=True)
    first: Record | None = None
    last: Record | None = None
    distinct: set[str] = set()
    requests = 0
    for last in islice(read_trace(plan.trace), plan.requests):
        first = first or last
        requests += 1
        if last.identity is not None:
            distinct.add(last.identity)
    if first is None or last is None:
        raise AssertionError("read_trace refuses an empty file")
    identified = first.identity is not None
    return Traffic(
        requests,
        len(distinct) if identified else requests,
        (last.arrival - first.arrival) / plan.speedup,
        identified,
    )
