"""A bound on a whole call that is fair to a stalled event loop."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

# Turns of the event loop that the block still gets after its time. An answer that waits in
# the socket passes through the transport, the batch and the caller's task in up to ten,
# and in up to sixteen where the connection is made first (counted with turns of 35 ms).
_TURNS = 20


class Deadline:
    """Cancels the block it guards after some seconds and turns that into TimeoutError.

    `asyncio.timeout`, with one difference: what has arrived in time counts, even where
    the loop was too busy to look at it. On an idle loop the turns that this takes cost
    microseconds. Without it, 25 ms of JSON parsing elsewhere in the process would count
    as a failure of the server.
    """

    __slots__ = ("_before", "_expired", "_handle", "_loop", "_seconds", "_task", "_turns")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a deadline needs a running task")
        self._task = task
        self._before = task.cancelling()
        self._expired = False
        self._turns = _TURNS
        self._loop = asyncio.get_running_loop()
        self._handle: asyncio.Handle = self._loop.call_later(self._seconds, self._expire)
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
        if self._turns:
            self._turns -= 1
            self._handle = self._loop.call_soon(self._expire)
            return
        self._expired = True
        self._task.cancel()
