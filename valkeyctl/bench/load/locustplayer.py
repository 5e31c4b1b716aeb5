"""Plays stages with the users of the user's own locustfile."""

from __future__ import annotations

import random
import time
import types
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import gevent
import gevent.pool
from locust import FastHttpUser, HttpUser, TaskSet, User
from locust.dispatch import UsersDispatcher
from locust.exception import CatchResponseError
from locust.runners import WorkerNode
from locust.stats import StatsError

from valkeyctl.bench.arm import Arm
from valkeyctl.bench.load.blocks import WARMUP, Stage
from valkeyctl.bench.load.kinds import Kinds
from valkeyctl.bench.load.locustfile import OwnUsers
from valkeyctl.bench.load.orders import Orders
from valkeyctl.bench.load.player import Played, Start, Tally
from valkeyctl.bench.load.record import Recorder, outcome_code
from valkeyctl.bench.load.turns import ATTRIBUTE, Turn, hold_between_tasks
from valkeyctl.errors import ToolError

if TYPE_CHECKING:
    from locust.env import Environment

_LOOK = 0.002
_LONGEST_TEXT = 200
_UNENDED = "(unfinished task)"
_clock = time.perf_counter


class LocustPlayer:
    """A `Player` whose requests are those of Locust users.

    Each arm has users of its own, with their sessions, cookies and connections; they live
    from stage to stage and work in their arm's stages only. Every ``request`` event that
    Locust fires becomes a sample.

    Args:
        environment: Locust's.
        own: The user's classes.
        orders: Plan, URLs and folder.
        recorder: Where samples go.
        kinds: Numbers the names of requests.
        worker: Number of this process among those that send load.
        workers: How many share the plan's users.
    """

    def __init__(
        self,
        environment: Environment,
        own: OwnUsers,
        orders: Orders,
        recorder: Recorder,
        kinds: Kinds,
        *,
        worker: int = 0,
        workers: int = 1,
    ) -> None:
        plan = orders.plan
        self._environment = environment
        self._plan = plan
        self._urls = orders.urls
        self._recorder = recorder
        self._kinds = kinds
        self._worker = worker
        self._rounds = plan.rounds
        self._stage = Stage(0, WARMUP, 0)
        self._index = 0
        self._begun = self._last = 0.0
        self._failure: BaseException | None = None
        self._trouble = ""
        hold_between_tasks(TaskSet)
        counts = _shares(own.classes, plan.users, worker, workers)
        self._crowds = [
            _Crowd(environment, own.classes, counts, arm, url, plan.timeout)
            for arm, url in zip(plan.arms, orders.urls, strict=True)
        ]
        environment.events.request.add_listener(self._note)  # type: ignore[no-untyped-call]
        environment.events.user_error.add_listener(self._error)  # type: ignore[no-untyped-call]

    def tally(self) -> Tally:
        """Return how many samples there are by now."""
        return Tally(self._recorder.count, self._recorder.failed)

    def warm_up(self, arm: int, seconds: float) -> float:
        """Let the users of *arm* work, to be thrown away; return right answers per second."""
        before = self.tally()
        begin, end = self._run(Stage(arm, WARMUP, 0), seconds, None)
        now = self.tally()
        right = now.samples - now.failed - before.samples + before.failed
        return right / (end - begin)

    def held(self) -> float | None:
        """See `Player`; users who wait for their answers ask for no more than there is."""
        return None

    def begin(self, sizes: Sequence[int]) -> None:
        """Take in how many blocks there are; their sizes are a guess, as users decide."""
        self._rounds = len(sizes)

    def prepare(self, stage: Stage) -> float | None:
        """Return how long *stage* takes; there is nothing to make ready."""
        del stage
        return self._plan.duration / self._rounds / len(self._plan.arms)

    def play(self, stage: Stage, start: Start | None = None) -> Played:
        """Let the users of the stage's arm work for its time; see `Player`.

        Raises:
            ToolError: None of them sent anything.
        """
        before = self._recorder.count
        busy = time.process_time()
        begin, end = self._run(stage, self.prepare(stage) or 0.0, start)
        busy = time.process_time() - busy
        self._recorder.flush()
        sent = self._recorder.count - before
        if not sent:
            why = f"; the last error of a user: {self._trouble}" if self._trouble else ""
            raise ToolError(
                f"no user of the locustfile sent a request in round {stage.round + 1} of arm "
                f"{self._plan.arms[stage.arm].name!r}{why}",
                hint="Give longer rounds (--duration, --rounds), or correct the locustfile",
            )
        return Played(begin, end, cpu=busy, requests=sent)

    def close(self) -> None:
        """Write out what is still buffered, and end the users."""
        self._recorder.close()
        for crowd in self._crowds:
            crowd.end()

    def _run(self, stage: Stage, seconds: float, start: Start | None) -> tuple[float, float]:
        """Let the users work; return when they began, and when the last had its answer."""
        crowd = self._crowds[stage.arm]
        self._stage = stage
        self._environment.host = self._urls[stage.arm]
        # The same for all arms, whose users then choose alike for as long as they can.
        random.seed(f"{self._plan.seed} {stage.round} {self._worker}")
        crowd.fill()
        begin = _clock() if start is None else start.at
        gevent.sleep(max(0.0, begin - _clock()))
        self._begun = self._last = begin
        crowd.turn.open()
        gevent.sleep(max(0.0, begin + seconds - _clock()))
        crowd.turn.close()
        closed = _clock()
        while crowd.working() and _clock() - closed < self._plan.timeout:
            gevent.sleep(_LOOK)
        for _ in range(crowd.give_up()):
            self._write(_UNENDED, closed, _clock(), 0, None, 0, "task not ended in time")
        if self._failure is not None:
            raise self._failure
        return begin, max(self._last, begin + seconds)

    def _note(
        self,
        *,
        name: str,
        response_time: float | None = None,
        response_length: int | None = None,
        exception: BaseException | str | None = None,
        response: object = None,
        start_time: float | None = None,
        **_: object,
    ) -> None:
        """Write the sample of one request; Locust calls this when it has ended."""
        now = _clock()
        took = (response_time or 0.0) / 1000
        # Locust's start is by the wall clock, which may jump: never later than the length of
        # the request says, nor before its stage.
        age = took if start_time is None else max(took, time.time() - start_time)
        start = max(now - age, min(self._begun, now - took))
        status = getattr(response, "status_code", 0)
        headers = getattr(response, "headers", None)
        outcome = headers.get("X-Cache") if headers is not None else None
        try:
            self._write(
                str(name),
                start,
                start + took,
                status if isinstance(status, int) else 0,
                outcome if isinstance(outcome, str) else None,
                response_length or 0,
                None if exception is None else _words(exception, status),
            )
        except Exception as error:  # noqa: BLE001 - Locust would log it and lose the sample
            self._failure = self._failure or error

    def _write(
        self,
        name: str,
        start: float,
        end: float,
        status: int,
        outcome: str | None,
        size: int,
        error: str | None,
    ) -> None:
        self._last = max(self._last, end)
        self._recorder.write(
            self._stage,
            self._index,
            intended=start,
            start=start,
            end=end,
            status=status,
            outcome=outcome_code(outcome),
            size=min(size, 2**32 - 1),
            error=error,
            queued=False,
            request=self._kinds.code(name),
            worker=self._worker,
        )
        self._index = (self._index + 1) % 2**32

    def _error(self, *, exception: BaseException, **_: object) -> None:
        """Remember what a user did not catch; Locust logs it, and goes on."""
        self._trouble = f"{type(exception).__name__}: {exception}"[:_LONGEST_TEXT]


class _Crowd:
    """The users of one arm."""

    def __init__(
        self,
        environment: Environment,
        classes: Sequence[type[User]],
        counts: Mapping[str, int],
        arm: Arm,
        url: str,
        timeout: float,
    ) -> None:
        self.turn = Turn()
        self._environment = environment
        self._group = gevent.pool.Group()
        self._arm = arm
        self._timeout = timeout
        self._users: list[User] = []
        self._wanted = [
            (self._of_arm(one, url), counts[one.__name__])
            for one in classes
            if counts[one.__name__]
        ]

    def fill(self) -> None:
        """Make as many users as are wanted, in the place of those that have ended too."""
        self._users = [one for one in self._users if not _ended(one)]
        for kind, count in self._wanted:
            for _ in range(count - sum(type(one) is kind for one in self._users)):
                user = kind(self._environment)
                if isinstance(user, HttpUser | FastHttpUser):
                    given = dict(self._arm.headers)
                    patient = isinstance(user, HttpUser)
                    user.client.request = partial(  # type: ignore[assignment]  # of either class
                        _request, user.client.request, given, self._timeout if patient else None
                    )
                self._users.append(user)
                user.start(self._group)

    def working(self) -> bool:
        """Say whether a user is within a task."""
        return any(one not in self.turn.resting and not _ended(one) for one in self._users)

    def give_up(self) -> int:
        """End the users who are still within a task; return how many there were."""
        late = [one for one in self._users if one not in self.turn.resting and not _ended(one)]
        for user in late:
            self._group.killone(user.greenlet)
        return len(late)

    def end(self) -> None:
        """End all users."""
        self._group.kill(timeout=self._timeout)

    def _of_arm(self, kind: type[User], url: str) -> type[User]:
        """Return *kind* with the arm's address, under the same name."""

        def on_start(user: User) -> None:
            # It may send requests, which must not come before the arm's turn.
            self.turn.wait(user)
            kind.on_start(user)

        changes: dict[str, object] = {"host": url, ATTRIBUTE: self.turn, "on_start": on_start}
        if issubclass(kind, FastHttpUser):
            for name in ("network_timeout", "connection_timeout"):
                # A value of the user's own stands.
                if getattr(kind, name) == getattr(FastHttpUser, name):
                    changes[name] = self._timeout
        return types.new_class(kind.__name__, (kind,), exec_body=lambda body: body.update(changes))


def _request(
    original: Callable[..., object],
    given: Mapping[str, str],
    timeout: float | None,
    *words: object,
    headers: Mapping[str, str] | None = None,
    **options: object,
) -> object:
    """Send a request with the arm's headers, which replace those of the same name."""
    lower = {name.lower() for name in given}
    kept = {name: value for name, value in (headers or {}).items() if name.lower() not in lower}
    if timeout is not None:
        options.setdefault("timeout", timeout)
    return original(*words, headers={**kept, **given}, **options)


def _ended(user: User) -> bool:
    return user.greenlet is None or bool(user.greenlet.ready())


def _shares(
    classes: Sequence[type[User]], users: int, worker: int, workers: int
) -> Mapping[str, int]:
    """Return how many users of each class this worker has, by Locust's own rules."""
    nodes = [WorkerNode(f"{number:04}") for number in range(workers)]
    dispatcher = UsersDispatcher(worker_nodes=nodes, user_classes=list(classes))
    dispatcher.new_dispatch(target_user_count=users, spawn_rate=users)
    *_, counts = dispatcher
    mine: Mapping[str, int] = counts[f"{worker:04}"]
    return mine


def _words(exception: BaseException | str, status: object) -> str:
    """Return what went wrong, the same words for the same fault."""
    if isinstance(exception, CatchResponseError):
        return str(exception)[:_LONGEST_TEXT]
    if isinstance(status, int) and status >= 400:
        return f"HTTP {status}"
    text = exception if isinstance(exception, str) else repr(exception)
    return StatsError.parse_error(text)[:_LONGEST_TEXT]
