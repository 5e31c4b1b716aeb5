"""Plays a scenario's requests from this process, by the schedule or for its users."""

from __future__ import annotations

import gc
import math
import time
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import takewhile
from typing import TypeAlias

import gevent

from valkeyctl.bench.load.address import Address
from valkeyctl.bench.load.answers import Judge
from valkeyctl.bench.load.blocks import WARMUP, Stage, pilot_users
from valkeyctl.bench.load.capacity import highest_rate, lateness_p99_ms
from valkeyctl.bench.load.client import Client
from valkeyctl.bench.load.encoder import Encoder
from valkeyctl.bench.load.exchange import Exchange
from valkeyctl.bench.load.loops import ClosedLoop, OpenLoop
from valkeyctl.bench.load.orders import Orders
from valkeyctl.bench.load.player import Played, Start, Tally
from valkeyctl.bench.load.record import Recorder, outcome_code
from valkeyctl.bench.load.source import BlockSource
from valkeyctl.bench.load.streams import told
from valkeyctl.bench.traffic.stream import Request, warmup_stream

_clock = time.perf_counter
# Requests of a pilot from which on their cost is known.
_TELLING = 500

Counted: TypeAlias = Callable[[int, Request, Exchange, str | None], None]


class ScenarioPlayer:
    """A `Player` of the scenario's requests.

    Args:
        orders: Plan, URLs and folder.
        recorder: Where samples go.
        counted: Called for each sample, for the totals of somebody else: the arm, the
            request, its exchange, and what was wrong with the answer.
        worker: Number of this process among those that send load.
        workers: How many of them share the stream. Users, and places in flight, of the
            orders' plan are this one's own.
    """

    def __init__(
        self,
        orders: Orders,
        recorder: Recorder,
        counted: Counted,
        *,
        worker: int = 0,
        workers: int = 1,
    ) -> None:
        self._plan = plan = orders.plan
        self._salt = orders.salt
        self._recorder = recorder
        self._counted = counted
        self._worker = worker
        self._workers = workers
        # Arms of one server share its connections; their headers differ.
        self._pools = {
            url: Client(Address.of(url), timeout=plan.timeout, deadline=plan.deadline)
            for url in set(orders.urls)
        }
        self._clients = [self._pools[url] for url in orders.urls]
        self._encoders = [
            Encoder(Address.of(url), arm.headers)
            for arm, url in zip(plan.arms, orders.urls, strict=True)
        ]
        self._source = BlockSource(plan, self._salt, ())
        self._block: Iterable[Request] = ()
        self._stage = Stage(0, WARMUP, 0)
        self._lateness = array("d")
        self._pilot: list[tuple[int, float | None]] = []
        self._judge = Judge()
        # A run by its duration ends early, but only between two blocks; see `Conductor`.
        timed = plan.requests is None and plan.trace is None
        self._longest = plan.duration if timed else math.inf
        self._fail: Callable[[BaseException], None] = _raise

    def tally(self) -> Tally:
        """Return how many samples there are by now."""
        return Tally(self._recorder.count, self._recorder.failed)

    def warm_up(self, arm: int, seconds: float) -> float:
        """Play load in *arm* that is thrown away; return its right answers per second."""
        plan = self._plan
        before = self.tally()
        begin, busy = _clock(), time.process_time()
        until = begin + seconds
        # Each arm has prompts of its own, or the second would find the first one's answers.
        salt = f"{self._salt} {plan.arms[arm].name}".strip()
        if self._workers > 1:
            salt = f"{salt} {self._worker}"
        requests = takewhile(lambda _: _clock() < until, warmup_stream(plan, salt=salt))
        users = pilot_users(plan)
        self._closed(Stage(arm, WARMUP, 0), requests, users)
        now = self.tally()
        self._pilot.append((now.samples - before.samples, time.process_time() - busy))
        right = now.samples - now.failed - before.samples + before.failed
        return right / (_clock() - begin)

    def held(self) -> float | None:
        """See `Player`; of few requests, what they cost is mostly something else."""
        if sum(size for size, _ in self._pilot) < _TELLING:
            return None
        return highest_rate(self._pilot)

    def begin(self, sizes: Sequence[int]) -> None:
        """Take in the sizes of all blocks."""
        self._source = BlockSource(
            self._plan,
            self._salt,
            sizes,
            worker=self._worker % self._workers,
            workers=self._workers,
        )

    def prepare(self, stage: Stage) -> float | None:
        """Make the requests of *stage*, and tidy up; see `Player`."""
        self._block = ()
        # What lives now lives on, so that no later collection has to walk it.
        gc.collect()
        self._block = self._source.block(stage)
        gc.freeze()
        return self._source.span(stage)

    @property
    def first_due(self) -> float | None:
        """When the first request that was prepared is due, on the stream's clock."""
        return self._source.first

    def play(self, stage: Stage, start: Start | None = None) -> Played:
        """Play *stage* and return when its last answer has come; see `Player`."""
        open_loop = self._plan.load_model == "open"
        self._lateness = array("d")
        # A full collection stops this process for milliseconds; nothing here makes
        # cycles in number, and `prepare` collects the few there are.
        gc.disable()
        try:
            busy, sent = time.process_time(), self._recorder.count
            begin = _clock() if start is None else start.at
            if open_loop:
                zero = None if start is None else start.at - start.due
                self._open(stage, self._block, zero)
            else:
                if start is not None:
                    gevent.sleep(max(0.0, begin - _clock()))
                self._closed(stage, iter(self._block), self._plan.users)
            end = max(begin, _clock())
            busy = time.process_time() - busy
        finally:
            gc.enable()
        # Before the stage is told of: one that is in the log has all of them on disk.
        self._recorder.flush()
        return Played(
            begin=begin,
            end=end,
            cpu=busy,
            lateness_p99_ms=lateness_p99_ms(self._lateness) if open_loop else None,
            requests=self._recorder.count - sent,
        )

    def close(self) -> None:
        """Write out what is still buffered, and close the connections."""
        for client in self._pools.values():
            client.close()
        self._pools.clear()
        self._recorder.close()

    def _closed(self, stage: Stage, requests: Iterator[Request], users: int) -> None:
        loop = ClosedLoop(self._send, requests, users)
        self._stage, self._fail = stage, loop.fail
        loop.run()

    def _open(self, stage: Stage, block: Iterable[Request], zero: float | None) -> None:
        ahead = self._source.ahead(stage)
        loop = OpenLoop(
            self._send,
            block,
            self._plan.max_in_flight,
            ahead=ahead,
            zero=zero,
            longest=self._longest,
        )
        self._stage, self._fail = stage, loop.fail
        loop.run()

    def _send(
        self, request: Request, intended: float, then: Callable[[], None], *, queued: bool
    ) -> None:
        arm = self._stage.arm
        payload = self._encoders[arm].encode(request)
        start = _clock()
        if not queued:
            self._lateness.append(start - intended)
        self._clients[arm].send(
            payload,
            partial(self._ended, request, intended, then, queued),
            bodiless=request.method == "HEAD",
            start=start,
        )

    def _ended(
        self,
        request: Request,
        intended: float,
        then: Callable[[], None],
        queued: bool,
        exchange: Exchange,
    ) -> None:
        # The next request first: what we do with this answer must not delay it.
        then()
        try:
            self._record(request, intended, exchange, queued=queued)
        except Exception as error:  # noqa: BLE001 - such as a full disk; raised by the loop
            self._fail(error)

    def _record(
        self, request: Request, intended: float, exchange: Exchange, *, queued: bool
    ) -> None:
        stage = self._stage
        body = exchange.body
        error = exchange.error
        if error is None:
            error = self._judge.complaint(request, exchange.status, body, exchange.size)
        says = told(body, exchange.arrivals)
        self._recorder.write(
            stage,
            request.index,
            intended=intended,
            start=exchange.start,
            end=exchange.end,
            status=exchange.status,
            outcome=outcome_code(exchange.outcome),
            size=min(exchange.size, 2**32 - 1),
            error=error,
            queued=queued,
            request=request.kind,
            worker=self._worker,
            first=says.first,
            events=says.events,
            tokens=says.tokens,
        )
        self._counted(stage.arm, request, exchange, error)


def _raise(error: BaseException) -> None:
    raise error
