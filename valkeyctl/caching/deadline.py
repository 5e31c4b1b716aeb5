"""A bound on a whole call that is fair to a stalled event loop."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

# Timers that fire this much late mean that the loop itself stood still. Both the
# answer and the timer are then due in the same turn, and the timer would win.
_STALL = 0.005
_GRACE = 0.005


class Deadline:
    """Cancels the block it guards after some seconds and turns that into TimeoutError.

    `asyncio.timeout`, with one difference: when the loop was blocked past the
    deadline, the block gets 5 ms more to find the answer that has meanwhile
    arrived. Without it, 25 ms of JSON parsing elsewhere in the process would count
    as a failure of the server.
    """

    __slots__ = ("_before", "_expired", "_graced", "_handle", "_loop", "_seconds", "_task", "_when")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a deadline needs a running task")
        self._task = task
        self._before = task.cancelling()
        self._expired = self._graced = False
        self._loop = asyncio.get_running_loop()
        self._when = self._loop.time() + self._seconds
        self._handle = self._loop.call_at(self._when, self._expire)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._handle.cancel()
        # A cancellation from outside that came as well stays a cancellation.
        if (
            self._expired
            and self._task.uncancel() <= self._before
            and isinstance(error, asyncio.CancelledError)
        ):
            raise TimeoutError from error

    def _expire(self) -> None:
        if not self._graced and self._loop.time() - self._when > _STALL:
            self._graced = True
            self._handle = self._loop.call_later(_GRACE, self._expire)
            return
        self._expired = True
        self._task.cancel()
