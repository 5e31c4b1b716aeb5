"""The request stream of a plan: the same plan gives the same bytes, in every arm."""

from __future__ import annotations

import random
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from itertools import accumulate, count, cycle, islice
from pathlib import Path

from valkeyctl.bench.plan import Plan
from valkeyctl.bench.traffic.arrivals import arrivals
from valkeyctl.bench.traffic.keys import KeyPicker
from valkeyctl.bench.traffic.making import Made, Maker, Request
from valkeyctl.bench.traffic.scenario import Keys
from valkeyctl.bench.traffic.templates import from_environment, variable
from valkeyctl.bench.traffic.traces import Record, read_keys, read_trace

__all__ = ["Request", "Traffic", "stream", "survey", "warmup_stream"]

# Of requests that are kept for when they come again, in bytes; all others are made anew.
_KEPT_BYTES = 64 * 2**20
# What Python needs to keep a request, beside its body.
_OVERHEAD_BYTES = 1024
_WARMUP_KEYS = 1000


def stream(plan: Plan, *, salt: str = "", worker: int = 0, workers: int = 1) -> Iterator[Request]:
    """Yield the requests of *plan* in order; endless when nothing bounds their number.

    Args:
        plan: Decides everything about them.
        salt: Goes into every prompt and fresh key, so that a cache which earlier runs have
            filled holds none of them.
        worker: Yield only every *workers*-th request, beginning with this one, so that
            workers who share a stream send each request once.
        workers: How many share the stream.

    Raises:
        UsageError: The trace has a line that is not of its format; or a variable that the
            scenario takes a value from is not set.
        FolderError: The trace cannot be read.
    """
    if not 0 <= worker < workers:
        raise ValueError(f"worker {worker} is none of {workers}")
    if plan.trace is not None:
        requests = _replay(plan, salt, worker, workers)
    elif plan.scenario.keys.popularity == "trace":
        requests = _ordered(plan, salt, worker, workers)
    else:
        requests = _draw(plan, salt, worker, workers)
    if plan.requests is None:
        return requests
    return islice(requests, len(range(worker, plan.requests, workers)))


def warmup_stream(plan: Plan, *, salt: str = "") -> Iterator[Request]:
    """Yield endless requests like those of *plan*, whose prompts and fresh keys are others.

    What a scenario calls ``{key}`` alone is the same here: the application may know no
    other keys. `Scenario.fresh` says whether that is so.
    """
    keys = plan.scenario.keys
    # The first answer for a key, with which later ones are compared, is not one of these.
    maker = Maker(plan, f"warm-up {salt}", compared=False)
    if plan.trace is None and keys.popularity == "trace":
        # Their order is that of the run; only whether they are fresh differs.
        names = cycle([one.identity or "" for one in islice(_recorded_keys(plan), _WARMUP_KEYS)])
        draw = _kinds(plan, random.Random(f"warm-up {plan.seed}"))
        for index, name in enumerate(names):
            kind = draw()
            yield _request(maker.make(kind, name), index, _number(name), kind, None)
    drawn = _Drawn(plan, maker, random.Random(f"warm-up {plan.seed}"))
    for index in count():
        key, kind = drawn.next(index)
        yield _request(drawn.made(key, kind), index, key, kind, None)


def _draw(plan: Plan, salt: str, worker: int, workers: int) -> Iterator[Request]:
    # The salt is in the text alone: the order, and so the truth, stays that of the seed.
    drawn = _Drawn(plan, Maker(plan, salt), random.Random(f"order {plan.seed}"))
    dues = arrivals(plan)
    for index in count():
        # Every worker draws every request, and makes its own ones only.
        key, kind = drawn.next(index)
        due = next(dues)
        if index % workers == worker:
            yield _request(drawn.made(key, kind), index, key, kind, due)


def _ordered(plan: Plan, salt: str, worker: int, workers: int) -> Iterator[Request]:
    """Yield requests for the keys of a trace in its order, and with the plan's arrivals."""
    maker = Maker(plan, salt)
    draw = _kinds(plan, random.Random(f"order {plan.seed}"))
    dues = arrivals(plan)
    for index, record in enumerate(_recorded_keys(plan)):
        kind, due = draw(), next(dues)
        if index % workers == worker:
            name = record.identity or ""
            made = maker.make(kind, name, record.sizes())
            yield _request(made, index, _number(name), kind, due)


def _recorded_keys(plan: Plan) -> Iterator[Record]:
    return read_keys(Path(plan.scenario.keys.trace))


def _replay(plan: Plan, salt: str, worker: int, workers: int) -> Iterator[Request]:
    if plan.trace is None:
        raise AssertionError("a replay needs a trace")
    maker = Maker(plan, salt)
    draw = _kinds(plan, random.Random(f"order {plan.seed}"))
    for index, record in enumerate(read_trace(plan.trace)):
        kind = draw()
        if index % workers == worker:
            # Without an identity in the trace, every request is one of its own.
            name = record.identity
            key = index if name is None else _number(name)
            made = maker.make(kind, f"request-{index}" if name is None else name, record.sizes())
            yield _request(made, index, key, kind, record.arrival / plan.speedup)


def _number(name: str) -> int:
    """Return a number for the key of a trace; a table of them would grow with the trace."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest()) >> 1


def _request(made: Made, index: int, key: int, kind: int, due: float | None) -> Request:
    method, path, body, headers, expect = made
    return Request(index, key, kind, method, path, body, headers, expect, due)


def _kinds(plan: Plan, rng: random.Random) -> Callable[[], int]:
    """Return a function that draws the kind of each request, by the scenario's weights."""
    weights = list(accumulate(one.weight for one in plan.scenario.requests))
    if len(weights) == 1:
        return lambda: 0
    # A weight of 0 at the end must not be drawn when the product rounds up to the total.
    last = bisect_right(weights, weights[-1] * (1 - 2**-50))
    return lambda: min(bisect_right(weights, rng.random() * weights[-1]), last)


class _Drawn:
    """Requests whose keys and kinds are drawn by chance, as the scenario says."""

    def __init__(self, plan: Plan, maker: Maker, rng: random.Random) -> None:
        keys = plan.scenario.keys
        if keys.popularity == "trace":
            # The warm-up of a replay: its trace is another one than that of the keys.
            keys = Keys(_WARMUP_KEYS, "uniform")
        self._count = keys.count
        self._rng = rng
        self._picker = KeyPicker(keys)
        self._kind = _kinds(plan, rng)
        self._kinds = len(plan.scenario.requests)
        self._maker = maker
        # A popular request is one object's parts, however often it is sent.
        self._kept: dict[int, Made] = {}
        self._room = _KEPT_BYTES

    def next(self, index: int) -> tuple[int, int]:
        """Draw the key and the kind of request *index*."""
        return self._picker.draw(self._rng, index), self._kind()

    def made(self, key: int, kind: int) -> Made:
        """Return what is sent for *key*; the same again for the same key and kind."""
        place = key * self._kinds + kind
        made = self._kept.get(place)
        if made is None:
            made = self._maker.make(kind, str(key))
            # The first to come are, most likely, those that come most often.
            if self._room > 0 and key < self._count:
                self._room -= len(made.body) + _OVERHEAD_BYTES
                self._kept[place] = made
        return made


@dataclass(frozen=True)
class Traffic:
    """What is known of a stream before it is played.

    Attributes:
        requests: Of one arm; None when only the pilot decides.
        distinct: Different prompts or keys among them; None when it cannot be known
            beforehand.
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

    Eight bytes of memory for each request of the trace.

    Raises:
        UsageError: The trace has a line that is not of its format, or fewer requests than
            rounds; or a variable that a request takes a value from is not set.
        FolderError: The trace cannot be read.
    """
    arms = (from_environment(value) for arm in plan.arms for _, value in arm.headers)
    for name in sorted(plan.scenario.variables.union(*arms)):
        variable(name)
    if plan.trace is not None:
        return _survey(plan, read_trace(plan.trace), replayed=True)
    if plan.scenario.keys.popularity == "trace":
        return _survey(plan, _recorded_keys(plan), replayed=False)
    return Traffic(plan.requests, None, None, has_identity=True)


def _survey(plan: Plan, records: Iterator[Record], *, replayed: bool) -> Traffic:
    first: Record | None = None
    last: Record | None = None
    keys = array("Q")
    requests = 0
    for last in islice(records, plan.requests):
        first = first or last
        requests += 1
        if last.identity is not None:
            keys.append(_number(last.identity))
    if first is None or last is None:
        raise AssertionError("an empty trace is refused when it is read")
    identified = first.identity is not None
    span = (last.arrival - first.arrival) / plan.speedup if replayed else None
    return Traffic(requests, _distinct(keys) if identified else requests, span, identified)


def _distinct(keys: array[int]) -> int:
    # Not a set, whose objects take ten times the memory. numpy comes with the extra `bench`.
    import numpy as np

    return int(np.unique(np.frombuffer(keys, dtype=np.uint64)).size)
