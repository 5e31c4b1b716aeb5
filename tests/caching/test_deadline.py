"""The deadline of a call: real time, but no server."""

from __future__ import annotations

import asyncio
import time

import pytest

from valkeyctl.caching.deadline import Deadline


async def test_a_block_that_takes_too_long_is_cut_off() -> None:
    """The block is cancelled and the caller gets TimeoutError, no cancellation."""
    began = time.monotonic()

    with pytest.raises(TimeoutError), Deadline(0.01):
        await asyncio.sleep(5)

    assert time.monotonic() - began < 1
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_block_in_time_is_left_alone() -> None:
    """Nothing fires after the block."""
    with Deadline(0.01):
        await asyncio.sleep(0)

    await asyncio.sleep(0.02)


async def test_a_cancellation_from_outside_stays_one() -> None:
    """Cancelling the task is not reported as a timeout."""

    async def work() -> None:
        with Deadline(5):
            await asyncio.sleep(5)

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_stalled_loop_is_not_the_servers_failure() -> None:
    """An answer that arrived while the loop was blocked past the deadline is still taken."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[str] = loop.create_future()

    def stall() -> None:
        time.sleep(0.03)
        # As the socket does: the answer is found in the turn in which the timer fires.
        loop.call_soon(answer.set_result, "answer")

    loop.call_soon(stall)
    with Deadline(0.01):
        text = await answer

    assert text == "answer"


async def test_a_stalled_loop_delays_a_deadline_but_does_not_lift_it() -> None:
    """Without an answer the grace is a few milliseconds."""
    loop = asyncio.get_running_loop()
    loop.call_soon(time.sleep, 0.03)
    began = loop.time()

    with pytest.raises(TimeoutError), Deadline(0.01):
        await asyncio.sleep(5)

    assert loop.time() - began < 1
