"""So many tasks at a time, and none when it is over."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from types import TracebackType
from typing import Self


class Crew:
    """Runs coroutines, some at a time: ``async with Crew(8) as crew: await crew.start(...)``.

    Leaving the block waits for all of them; leaving it by an exception, a cancellation
    included, cancels them first. What one of them raises is raised at the next `start`, or
    at the end.

    Args:
        size: How many run at a time.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            while error is None and self._tasks:
                await self._some_done()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def start(self, work: Coroutine[None, None, None]) -> None:
        """Run *work* as soon as there is a place for it."""
        try:
            while len(self._tasks) >= self._size:
                await self._some_done()
        except BaseException:
            work.close()  # it would complain that it never ran
            raise
        self._tasks.add(asyncio.get_running_loop().create_task(work))

    async def _some_done(self) -> None:
        done, self._tasks = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        raised = [task.exception() for task in done if not task.cancelled()]
        for error in raised:
            if error is not None:
                raise error


def is_cancelled() -> bool:
    """Say whether the current task is being cancelled; else what it awaited cancelled itself."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
