"""So many tasks at a time, and none when the block is left."""

from __future__ import annotations

import asyncio

import pytest

from valkeyctl.caching.crew import Crew


async def test_the_block_waits_for_all() -> None:
    """And runs so many at a time."""
    running = most = done = 0

    async def work() -> None:
        nonlocal running, most, done
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        done += 1

    async with Crew(3) as crew:
        for _ in range(10):
            await crew.start(work())

    assert (most, done, running) == (3, 10, 0)


@pytest.mark.parametrize("error", [ValueError("x"), asyncio.CancelledError()])
async def test_leaving_by_an_exception_ends_all(error: BaseException) -> None:
    """Before the exception goes on."""
    ended: list[str] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")

    async def block() -> None:
        async with Crew(3) as crew:
            await crew.start(work())
            await crew.start(work())
            await asyncio.sleep(0)
            raise error

    with pytest.raises(type(error)):
        await block()

    assert ended == ["cancelled"] * 2


async def test_what_work_raises_is_raised() -> None:
    """And ends the others."""
    forever = asyncio.Event()

    async def failing() -> None:
        raise ValueError("x")

    async def waiting() -> None:
        await forever.wait()

    async def block() -> None:
        async with Crew(2) as crew:
            await crew.start(waiting())
            await crew.start(failing())
            await crew.start(waiting())

    with pytest.raises(ValueError, match="x"):
        await block()
