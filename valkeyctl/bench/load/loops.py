"""The two load models: who decides when a request is sent, the answers or a schedule."""

from __future__ import annotations

import math
import time
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


class Ahead(Protocol):
    """Requests that come after those of the block."""

    def __next__(self) -> Request:
        """Return the next one."""

    def put_back(self, request: Request) -> None:
        """Take back the last one, which is not sent."""


class OpenLoop(_Loop):
    """A schedule of arrivals, which does not care whether answers keep up with it.

    It does not end with the block's last request either: until all of the block have their
    answers the schedule goes on, with requests of the next block. Without them a stall
    of the target would delay only what was left of the block that it falls into, and an
    overload never show more than one block's queue. Of a target that is far too slow it
    would go on so for hours, hence *longest*.

    Args:
        send: Sends a request.
        requests: What is sent; each says when it is due.
        most: How many may be in flight; more wait here, and that wait is latency.
        ahead: What comes after *requests*.
        zero: Monotonic seconds at which a request with a ``due`` of 0 is due; None lets the
            first one be due when the loop begins.
        longest: Seconds after the first one from which on nothing of *ahead* is sent.
    """

    def __init__(
        self,
        send: Send,
        requests: Iterable[Request],
        most: int,
        *,
        ahead: Ahead,
        zero: float | None = None,
        longest: float = math.inf,
    ) -> None:
        super().__init__(send)
        self._requests = iter(requests)
        self._most = most
        self._ahead = ahead
        self._zero = zero
        self._begin = self._due = self._stop = 0.0
        # All that are in flight, and those of them that are the block's own.
        self._in_flight = self._own = 0
        self._full = False
        self._next: Request | None = None
        # Whether `_next` is of a later block; of these, what is due by `_until` is sent.
        self._is_ahead = False
        self._until = math.inf
        self._longest = longest
        self._timer = timer(self._fire)

    def run(self) -> None:
        """Return when every request was sent and has its answer."""
        self._next = next(self._requests, None)
        if self._next is None:
            self._timer.close()
            return
        first = self._next.due or 0.0
        self._begin = _clock() - first if self._zero is None else self._zero
        self._due = self._begin + first
        self._stop = self._due + self._longest
        self._fire()
        try:
            self._wait()
        finally:
            self._timer.close()

    def _fire(self) -> None:
        """Send all that is due and finds a place, and set the timer for what comes next."""
        try:
            for _ in range(_BURST):
                if self._next is None:
                    return
                wait = self._due - _clock()
                if wait > 0:
                    self._timer.set(wait)
                    return
                if self._in_flight == self._most:
                    # What is due now waits in the stream, unmade: the more that is, the less
                    # room it may take. `_leave` goes on with it.
                    self._full = True
                    return
                self._in_flight += 1
                self._depart(self._next, queued=False)
            self._timer.set(0)
        except Exception as error:  # noqa: BLE001 - raised where the loop is waited for
            self.fail(error)

    def _depart(self, request: Request, *, queued: bool) -> None:
        if self._is_ahead:
            self._send(request, self._due, self._leave, queued=queued)
        else:
            self._own += 1
            self._send(request, self._due, self._own_ended, queued=queued)
        # Made before the timer is set, so that making it delays nothing.
        self._next = None if self._is_ahead else next(self._requests, None)
        if self._next is None:
            self._is_ahead = True
            self._next = next(self._ahead, None)
        if self._next is not None:
            self._due = self._begin + (self._next.due or 0.0)
            self._give_back()

    def _own_ended(self) -> None:
        self._own -= 1
        if not self._own and self._is_ahead:
            self._until = _clock()
            self._give_back()
        self._leave()

    def _give_back(self) -> None:
        """Leave to the next block what is due after all answers of this one had come.

        And what could not be sent in time.
        """
        if self._next is None or not self._is_ahead:
            return
        if self._due > self._until or _clock() >= self._stop:
            self._ahead.put_back(self._next)
            self._next = None

    def _leave(self) -> None:
        """Give the place of a request that has ended to one that waits for it."""
        try:
            if self._full and self._next is not None and self._failure is None:
                wait = self._due - _clock()
                if wait <= 0:
                    self._depart(self._next, queued=True)
                    return
                self._full = False
                self._timer.set(wait)
        except Exception as error:  # noqa: BLE001 - raised where the loop is waited for
            self.fail(error)
        self._in_flight -= 1
        if not self._in_flight and self._next is None:
            self._over.set()
