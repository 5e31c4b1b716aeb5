"""The Locust side of a load run, as a child process: ``locust -f users.py``.

Locust is the user model and keeps its own totals; arrivals, clock and samples are ours,
because Locust rounds to whole milliseconds and leaves out arrivals that a stall delays
(see docs/explanation/benchmark-method.md).

Importing locust patches the standard library, so nothing but this child imports it.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from itertools import islice, takewhile
from typing import ClassVar

import gevent
from gevent.pool import Pool
from locust import FastHttpUser, events, task
from locust.contrib.fasthttp import FastHttpSession
from locust.env import Environment

from valkeyctl.bench.answers import complaint, origin_calls
from valkeyctl.bench.blocks import WARMUP, Stage, block_size, cut, stages
from valkeyctl.bench.orders import Orders, read_orders
from valkeyctl.bench.record import STAGES_FILE, Recorder, outcome_code
from valkeyctl.bench.traffic import Request, stream, survey, warmup_stream

_TICK = 0.25
_OPEN_WARMUP_WORKERS = 8
_METRICS_TIMEOUT = 10.0
_MOST_METRICS_BYTES = 4 * 2**20
_clock = time.perf_counter
# No proxy of the environment's stands between us and the counters.
_browser = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class BenchUser(FastHttpUser):
    """A Locust user whose requests the conductor hands out."""

    conductor: ClassVar[Conductor]
    # One request is one sample: never repeated or redirected behind our back.
    max_retries = 0
    max_redirects = 0
    insecure = False

    def on_start(self) -> None:
        """Report for work."""
        # One user's cookies must not travel from one arm to the other.
        self.client.client.cookiejar = None
        self.conductor.join(self.client)

    @task
    def stay(self) -> None:
        """Wait; the conductor sends with this user's client until it ends the run."""
        gevent.sleep(3600)


class Conductor:
    """Plays the stages of a plan, one after another, on the clients of Locust's users."""

    def __init__(self, environment: Environment, orders: Orders) -> None:
        self._environment = environment
        self._orders = orders
        self._plan = orders.plan
        self._expect = orders.plan.scenario.expect.encode()
        self._recorder = Recorder(orders.folder)
        self._pipe = os.fdopen(orders.progress_fd, "w", buffering=1, encoding="utf-8")
        self._parent = os.getppid()
        self._clients: list[FastHttpSession] = []
        self._headers: list[dict[str, str]] = [
            {
                "Content-Type": "application/json",
                "Accept": "application/json",
                # Decompression would be the client's time, not the target's.
                "Accept-Encoding": "identity",
                **dict(arm.headers),
            }
            for arm in orders.plan.arms
        ]

    @property
    def users(self) -> int:
        """How many Locust users the plan needs; the open loop's one user has many requests."""
        return 1 if self._plan.load_model == "open" else self._plan.users

    def join(self, client: FastHttpSession) -> None:
        """Take a user's client; with the last one the run begins."""
        self._clients.append(client)
        if len(self._clients) == self.users:
            gevent.spawn(self._run)

    def close(self) -> None:
        """Write out what is still buffered, whatever ended the run."""
        self._recorder.close()

    def _run(self) -> None:
        ticker = gevent.spawn(self._tick)
        try:
            self._play()
        finally:
            ticker.kill()
            self.close()
            runner = self._environment.runner
            if runner is not None:
                runner.quit()

    def _play(self) -> None:
        plan = self._plan
        rates = [self._warm_up(arm) for arm in range(len(plan.arms))] if plan.warmup else []
        if self._recorder.count and self._recorder.failed == self._recorder.count:
            self._tell(event="all_failed")
            return
        sizes = cut(self._requests(rates), plan.rounds)
        self._tell(event="sizes", sizes=sizes, samples=self._recorder.count)
        source = stream(plan, salt=self._orders.salt)
        # What lives now lives to the end, so no later collection has to walk it.
        gc.collect()
        gc.freeze()
        block: list[Request] = []
        played = WARMUP
        with (self._orders.folder / STAGES_FILE).open("w", encoding="utf-8") as log:
            for stage in stages(sizes, len(plan.arms)):
                if stage.round != played:
                    block = list(islice(source, stage.size))
                    played = stage.round
                log.write(json.dumps(self._measure(stage, block)) + "\n")
                log.flush()
        totals = self._environment.stats.total
        self._tell(
            event="finished",
            locust_requests=totals.num_requests,
            locust_failures=totals.num_failures,
        )

    def _requests(self, rates: Sequence[float]) -> int:
        """Return how many requests each arm plays; *rates* are what the pilot reached."""
        plan = self._plan
        known = survey(plan).requests
        if known is not None:
            return known
        if plan.rate is not None:
            return max(plan.rounds, round(plan.rate * plan.duration / len(plan.arms)))
        # An arm whose pilot had no right answer has no rate; one a second is a start.
        usable = [rate or 1.0 for rate in rates]
        return plan.rounds * block_size(usable, plan.duration, plan.rounds, plan.users)

    def _warm_up(self, arm: int) -> float:
        """Return the right answers per second of *arm* under load that is thrown away."""
        plan = self._plan
        stage = Stage(arm, WARMUP, 0)
        self._tell(event="stage", arm=arm, round=WARMUP, size=0)
        right = self._recorder.count - self._recorder.failed
        begin = _clock()
        until = begin + plan.warmup / len(plan.arms)
        # Each arm has prompts of its own, or the second would find the first one's answers.
        requests = warmup_stream(plan, salt=f"{self._orders.salt} {plan.arms[arm].name}".strip())
        workers = self._clients
        if plan.load_model == "open":
            workers = self._clients * min(_OPEN_WARMUP_WORKERS, plan.max_in_flight)
        self._closed(stage, takewhile(lambda _: _clock() < until, requests), workers)
        return (self._recorder.count - self._recorder.failed - right) / (_clock() - begin)

    def _measure(self, stage: Stage, block: Sequence[Request]) -> dict[str, float | int | None]:
        self._tell(event="stage", arm=stage.arm, round=stage.round, size=stage.size)
        before = self._origin_calls(stage.arm)
        begin = _clock()
        if self._plan.load_model == "open":
            self._open(stage, block)
        else:
            self._closed(stage, iter(block), self._clients)
        end = _clock()
        after = self._origin_calls(stage.arm)
        # Samples first: a stage that is in the log has all of them on disk.
        self._recorder.flush()
        calls = None if before is None or after is None else after - before
        return {
            "arm": stage.arm,
            "round": stage.round,
            "size": stage.size,
            "begin": begin,
            "end": end,
            "origin_calls": calls,
        }

    def _closed(
        self, stage: Stage, requests: Iterator[Request], clients: Sequence[FastHttpSession]
    ) -> None:
        """Play *requests*: every client sends its next one when it has its answer."""

        def work(client: FastHttpSession) -> None:
            for request in requests:
                self._send(client, stage, request, _clock(), queued=False)

        gevent.joinall([gevent.spawn(work, client) for client in clients], raise_error=True)

    def _open(self, stage: Stage, block: Sequence[Request]) -> None:
        """Play *block* by its schedule, whether or not answers keep up with it."""
        client = self._clients[0]
        pool = Pool(self._plan.max_in_flight)
        base = block[0].due or 0.0
        begin = _clock()
        held_until = begin
        for request in block:
            due = begin + (request.due or 0.0) - base
            wait = due - _clock()
            if wait > 0:
                gevent.sleep(wait)
            if pool.full():
                pool.wait_available()
                held_until = _clock()
            # What fell due while an earlier one was held back was held back as well.
            pool.spawn(self._send, client, stage, request, due, queued=due < held_until)
        pool.join(raise_error=True)

    def _send(
        self,
        client: FastHttpSession,
        stage: Stage,
        request: Request,
        intended: float,
        *,
        queued: bool,
    ) -> None:
        """Send one request and keep its sample, whatever becomes of it."""
        arm = stage.arm
        start = _clock()
        with client.post(
            self._orders.urls[arm] + self._plan.scenario.path,
            data=request.body,  # type: ignore[arg-type]  # bytes are sent as they are
            headers={**self._headers[arm], **dict(request.headers)},
            name=self._plan.arms[arm].name,
            catch_response=True,
        ) as response:
            end = _clock()
            status = response.status_code
            failure = response.request_meta["exception"]
            body = b""
            if failure is None or status:
                with contextlib.suppress(OSError, ValueError):
                    body = response.content or b""
            if failure is not None and not status:
                error: str | None = f"{type(failure).__name__}: {failure}"
            else:
                error = complaint(status, body, self._expect)
            if error is None:
                response.success()
            else:
                response.failure(error)
            headers = response.headers
            self._recorder.write(
                stage,
                request.index,
                intended=intended,
                start=start,
                end=end,
                status=status,
                outcome=outcome_code(headers.get("X-Cache") if headers else None),
                size=len(body),
                error=error,
                queued=queued,
            )

    def _origin_calls(self, arm: int) -> int | None:
        """Return what the arm's server counts as its own calls to the origin, so far."""
        url = f"{self._orders.urls[arm]}/metrics"
        try:
            with _browser.open(url, timeout=_METRICS_TIMEOUT) as answer:
                text = answer.read(_MOST_METRICS_BYTES).decode("utf-8", errors="replace")
        except (OSError, ValueError):
            return None
        return origin_calls(text)

    def _tick(self) -> None:
        """Say how far we are, and end the run when nobody is left to hear it."""
        while True:
            gevent.sleep(_TICK)
            self._tell(event="tick", samples=self._recorder.count, failed=self._recorder.failed)
            if os.getppid() != self._parent:
                self._abandon()

    def _abandon(self) -> None:
        """End the servers that the dead parent has left behind, and this process."""
        for pid in self._orders.servers:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGTERM)
        self.close()
        os._exit(1)

    def _tell(self, **message: object) -> None:
        # A parent that is gone is noticed by the ticker, not here.
        with contextlib.suppress(OSError):
            self._pipe.write(json.dumps(message) + "\n")


def _prepare(environment: Environment, **_: object) -> None:
    orders = read_orders(os.environ)
    plan = orders.plan
    conductor = Conductor(environment, orders)
    BenchUser.conductor = conductor
    BenchUser.concurrency = plan.max_in_flight if plan.load_model == "open" else 1
    BenchUser.network_timeout = plan.timeout
    BenchUser.connection_timeout = plan.timeout
    environment.events.quitting.add_listener(lambda **_: conductor.close())  # type: ignore[no-untyped-call]


events.init.add_listener(_prepare)  # type: ignore[no-untyped-call]
