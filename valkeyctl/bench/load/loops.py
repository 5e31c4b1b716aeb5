"""The two load models: who decides when a request is sent, the answers or a schedule."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import gevent.event

from valkeyctl.bench.load.timer import timer
from valkeyctl.bench.traffic.stream import Request

# After so many in a row the loop gets a turn, so that answers are read even when more is
# due than can be sent.
_BURST = 16
_clock = time.perf_counter


class Send(Protocol):
    """Sends one request and records its answer."""

    def __call__(
        self, request: Request, intended: float, then: Callable[[], None], *, queued: bool
    ) -> None:
        """Send *request*, and call *then* from the event loop when it has ended.

        Args:
            request: What is sent.
            intended: Monotonic seconds at which it was due.
            then: Called once, never from inside of this call.
            queued: It had to wait for a place among those in flight.
        """


class _Loop:
    """What both loops share: an end that a greenlet can wait for, and a failure."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._over = gevent.event.Event()
        self._failure: BaseException | None = None

    def fail(self, error: BaseException) -> None:
        """End the loop with *error*; an exception in a callback would end nothing."""
        self._failure = self._failure or error
        self._over.set()

    def _wait(self) -> None:
        self._over.wait()
        if self._failure is not None:
            raise self._failure


class ClosedLoop(_Loop):
    """A number of users, each of whom sends its next request when it has its answer.

    Args:
        send: Sends a request.
        requests: What they send, in order; each takes the next one.
        users: How many there are.
    """

    def __init__(self, send: Send, requests: Iterator[Request], users: int) -> None:
        super().__init__(send)
        self._requests = requests
        self._users = users

    def run(self) -> None:
        """Return when every request has its answer."""
        for _ in range(self._users):
            self._next()
        self._wait()

    def _next(self) -> None:
        try:
            request = next(self._requests, None)
            if request is not None and self._failure is None:
                self._send(request, _clock(), self._next, queued=False)
                return
        except Exception as error:  # noqa: BLE001 - raised where the loop is waited for
            self.fail(error)
        self._users -= 1
        if not self._users:
            self._over.set()


class OpenLoop(_Loop):
    """A schedule of arrivals, which does not care whether answers keep up with it.

    Args:
        send: Sends a request.
        requests: What is sent; each says when it is due.
        most: How many may be in flight; more wait here, and that wait is latency.
        zero: Monotonic seconds at which a request with a ``due`` of 0 is due; None lets the
            first one be due when the loop begins.
    """

    def __init__(
        self, send: Send, requests: Iterable[Request], most: int, *, zero: float | None = None
    ) -> None:
        super().__init__(send)
        self._requests = iter(requests)
        self._most = most
        self._zero = zero
        self._in_flight = 0
        self._waiting: deque[tuple[Request, float]] = deque()
        self._next = next(self._requests, None)
        self._due = 0.0
        self._timer = timer(self._fire)

    def run(self) -> None:
        """Return when every request was sent and has its answer."""
        if self._next is None:
            self._timer.close()
            return
        first = self._next.due or 0.0
        self._begin = _clock() - first if self._zero is None else self._zero
        self._due = self._begin + first
        self._fire()
        try:
            self._wait()
        finally:
            self._timer.close()

    def _fire(self) -> None:
        """Send all that is due, and set the timer for what comes next."""
        try:
            for _ in range(_BURST):
                if self._next is None:
                    return
                wait = self._due - _clock()
                if wait > 0:
                    self._timer.set(wait)
                    return
                self._arrive(self._next, self._due)
                # Made before the timer is set, so that making it delays nothing.
                self._next = next(self._requests, None)
                if self._next is not None:
                    self._due = self._begin + (self._next.due or 0.0)
            self._timer.set(0)
        except Exception as error:  # noqa: BLE001 - raised where the loop is waited for
            self.fail(error)

    def _arrive(self, request: Request, due: float) -> None:
        if self._in_flight < self._most:
            self._in_flight += 1
            self._send(request, due, self._ended, queued=False)
        else:
            self._waiting.append((request, due))

    def _ended(self) -> None:
        try:
            if self._waiting and self._failure is None:
                request, due = self._waiting.popleft()
                self._send(request, due, self._ended, queued=True)
                return
        except Exception as error:  # noqa: BLE001 - raised where the loop is waited for
            self.fail(error)
        self._in_flight -= 1
        if not self._in_flight and self._next is None:
            self._over.set()
