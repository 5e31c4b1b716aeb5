"""How long a piece of work takes: alone, and with many callers at once."""

from __future__ import annotations

import asyncio
import gc
import math
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

Work: TypeAlias = Callable[[int], Awaitable[object]]
"""Does one operation on the entry of that number; its answer is None only on a failure."""

_LEAD_IN = 0.1
_FIRST_GUESS = 20


@dataclass(frozen=True)
class Slice:
    """What was measured in one go.

    Attributes:
        count: Operations done.
        failed: Those of them that answered None.
        per_s: Operations a second.
        cpu_us: Microseconds of processor time of this process per operation, all threads.
        p50_us: Median microseconds of one operation; None with many callers.
        p99_us: Likewise, 99th percentile.
    """

    count: int
    failed: int
    per_s: float
    cpu_us: float
    p50_us: float | None = None
    p99_us: float | None = None


async def measure(work: Work, *, callers: int, span: int, batch: int, count: int) -> Slice:
    """Return how *count* operations went, after a tenth of as many that are not counted.

    Args:
        work: What is done.
        callers: How many do it at the same time, each one after another.
        span: Entry numbers go from 0 to below this, in turn.
        batch: With one caller: operations per time taken, where one is too short for it.
        count: How many operations.
    """
    await _crowd(work, callers, span, max(callers, math.ceil(count * _LEAD_IN)))
    gc.collect()
    if callers > 1:
        return await _crowd(work, callers, span, count)
    return await _alone(work, span, batch, max(1, count // batch))


async def calibrate(work: Work, *, callers: int, span: int, seconds: float) -> int:
    """Return how many operations fill *seconds*; they also warm everything up."""
    count = max(_FIRST_GUESS, callers)
    while True:
        began = time.perf_counter()
        await _crowd(work, callers, span, count)
        took = time.perf_counter() - began
        if took >= seconds / 2:
            return max(_FIRST_GUESS, round(count * seconds / took))
        count = math.ceil(count * min(10.0, seconds / max(took, 1e-6)))


async def _alone(work: Work, span: int, batch: int, times: int) -> Slice:
    clock = time.perf_counter_ns
    taken: list[int] = []
    failed = 0
    cpu = time.process_time_ns()
    began = clock()
    if batch == 1:
        for number in range(times):
            before = clock()
            if await work(number % span) is None:
                failed += 1
            taken.append(clock() - before)
    else:
        for number in range(0, times * batch, batch):
            before = clock()
            for place in range(number, number + batch):
                if await work(place % span) is None:
                    failed += 1
            taken.append((clock() - before) // batch)
    took = clock() - began
    cpu = time.process_time_ns() - cpu
    done = times * batch
    taken.sort()
    return Slice(
        count=done,
        failed=failed,
        per_s=done * 1e9 / took,
        cpu_us=cpu / done / 1000,
        p50_us=_nearest_rank(taken, 0.5) / 1000,
        p99_us=_nearest_rank(taken, 0.99) / 1000,
    )


async def _crowd(work: Work, callers: int, span: int, count: int) -> Slice:
    numbers = iter(range(count))
    cpu = time.process_time_ns()
    began = time.perf_counter_ns()
    failures = await asyncio.gather(*(_caller(work, numbers, span) for _ in range(callers)))
    took = time.perf_counter_ns() - began
    cpu = time.process_time_ns() - cpu
    return Slice(
        count=count,
        failed=sum(failures),
        per_s=count * 1e9 / took,
        cpu_us=cpu / count / 1000,
    )


async def _caller(work: Work, numbers: Iterator[int], span: int) -> int:
    failed = 0
    for number in numbers:
        if await work(number % span) is None:
            failed += 1
    return failed


def _nearest_rank(ascending: list[int], quantile: float) -> int:
    return ascending[max(0, math.ceil(quantile * len(ascending) - 1e-9) - 1)]
