"""A worker of a load run, as a child process: plays what the master says.

Importing locust patches the standard library, so nothing but this child imports it.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import sys
import tempfile
import time
from pathlib import Path
from typing import Protocol

import gevent
from gevent.event import Event
from locust import events
from locust.env import Environment
from locust.runners import WorkerRunner

from valkeyctl import __version__
from valkeyctl.bench.load.blocks import WARMUP, Stage
from valkeyctl.bench.load.calls import JOIN, TICK, Counter, Words
from valkeyctl.bench.load.clocks import clock_name, loopback_name
from valkeyctl.bench.load.fingerprint import fingerprints
from valkeyctl.bench.load.kinds import Kinds
from valkeyctl.bench.load.locustfile import OwnUsers, load, options_of
from valkeyctl.bench.load.locustplayer import LocustPlayer
from valkeyctl.bench.load.orders import Hire, Orders, read_hire
from valkeyctl.bench.load.parent import Parent
from valkeyctl.bench.load.player import Played, Player, Start, Tally
from valkeyctl.bench.load.record import RECORD, SAMPLES_FILE, Recorder
from valkeyctl.bench.load.scenarioplayer import ScenarioPlayer
from valkeyctl.bench.load.shares import own_part
from valkeyctl.bench.load.totals import Batched, Told, Totals
from valkeyctl.bench.plan import Plan
from valkeyctl.errors import AuthError, ToolError, UnreachableError, UsageError, ValkeyctlError

_TICK = 0.25
_WELCOME = 5.0
_clock = time.perf_counter


class Startable(Player, Protocol):
    """A player that can begin a stage at a given moment."""

    def play(self, stage: Stage, start: Start | None = None) -> Played:
        """Play *stage*; see `Player`."""


class Worker:
    """Plays its part of every stage, and keeps the samples until the master fetches them.

    Args:
        environment: Locust's.
        runner: Locust's worker, connected.
        hire: Where the master is.
        parent: Hears what is done.
        folder: For samples that wait.
        own: Users of the locustfile; None without one.
    """

    def __init__(
        self,
        environment: Environment,
        runner: WorkerRunner,
        hire: Hire,
        parent: Parent,
        folder: Path,
        own: OwnUsers | None,
    ) -> None:
        self._environment = environment
        self._runner = runner
        self._hire = hire
        self._parent = parent
        self._folder = folder
        self._own = own
        self._over = Event()
        self._failure: ValkeyctlError | None = None
        self._counter = Counter(runner, hire.token, self._dismissed)
        self._counter.calls = {
            "welcome": self._welcome,
            "orders": self._orders,
            "clock": lambda _: {"clock": _clock()},
            "warm_up": self._warm_up,
            "begin": self._begin,
            "prepare": self._prepare,
            "play": self._play,
            "fetch": self._fetch,
            "finish": self._finish,
        }
        self._player: Startable | None = None
        self._recorder = Recorder(folder)
        self._samples = (folder / SAMPLES_FILE).open("rb")
        self._kinds = Kinds()
        self._totals: Totals | None = None
        self._plan: Plan | None = None
        self._stage = Stage(0, WARMUP, 0)
        self._welcomed = self._finished = False

    def work(self) -> None:
        """Return when the run is over.

        Raises:
            UnreachableError: The master is gone.
            AuthError: It did not take us.
            ToolError: It sent us away, or ended the run before its end.
        """
        self._counter.say(
            JOIN,
            version=__version__,
            host=socket.gethostname(),
            process=os.getpid(),
            clock=clock_name(),
            loopback=loopback_name(),
        )
        # Locust's own greenlets end when the master says quit.
        quit_ = gevent.spawn(self._runner.greenlet.join)
        joined = _clock()
        while not self._over.wait(_TICK) and not quit_.ready():
            self._counter.say(TICK, samples=self._recorder.count, failed=self._recorder.failed)
            silent = _clock() - self._counter.heard
            if silent > self._hire.silence:
                raise UnreachableError(
                    f"the master at {self._hire.address} has been silent for {silent:.0f} s",
                    hint="See whether the run still goes on there",
                )
            if not self._welcomed and _clock() - joined > _WELCOME:
                raise self._not_taken()
        if self._failure is not None:
            raise self._failure
        if not self._welcomed:
            raise self._not_taken()
        if not self._finished:
            raise ToolError(
                "the master ended the run before all of it was played", hint="See what it says"
            )

    def tally(self) -> Tally:
        """Return how many samples there are by now."""
        return Tally(self._recorder.count, self._recorder.failed)

    def close(self) -> None:
        """Close connections and files."""
        if self._player is not None:
            self._player.close()
        self._recorder.close()
        self._samples.close()

    def _not_taken(self) -> AuthError:
        return AuthError(
            f"the master at {self._hire.address} did not take this worker",
            hint="Check the token: it is another one for every run",
        )

    def _dismissed(self, why: str) -> None:
        self._failure = ToolError(f"sent away: {why}", hint="See what the master waits for")
        self._over.set()

    def _welcome(self, words: Words) -> Words:
        del words
        self._welcomed = True
        return {}

    def _orders(self, words: Words) -> Words:
        worker, workers = _whole(words, "worker"), _whole(words, "workers")
        plan = Plan.from_json(words["plan"])  # type: ignore[arg-type]  # as our own version wrote it
        urls = tuple(str(url) for url in _list(words, "urls"))
        names = [arm.name for arm in plan.arms]
        if plan.locustfile is None:
            book = Batched if plan.load_model == "open" else Told
            self._totals = book(self._environment, names)
            part = own_part(plan, worker, workers)
            orders = Orders(part, urls, str(words["salt"]), self._folder, -1)
            self._player = ScenarioPlayer(
                orders, self._recorder, self._totals.count, worker=worker, workers=workers
            )
        else:
            if self._own is None:
                raise UsageError(
                    "the run plays a locustfile, and this worker was given none",
                    hint=f"Copy {plan.locustfile.name} there and give it with --locustfile",
                )
            self._own.check_same(str(words["locustfile"]))
            if self._environment.parsed_options is not None:
                self._environment.parsed_options.num_users = plan.users
            orders = Orders(plan, urls, str(words["salt"]), self._folder, -1)
            self._player = LocustPlayer(
                self._environment,
                self._own,
                orders,
                self._recorder,
                self._kinds,
                worker=worker,
                workers=workers,
            )
            # As Locust does where it spawns the users itself.
            self._environment.events.test_start.fire(environment=self._environment)  # type: ignore[no-untyped-call]
        random.seed(f"{plan.seed} {worker}")
        self._plan = plan
        self._parent.tell(event="hired", worker=worker, workers=workers, name=plan.scenario.name)
        return {"files": fingerprints(plan)}

    def _warm_up(self, words: Words) -> Words:
        self._tell(_whole(words, "arm"), WARMUP)
        rate = self._playing.warm_up(_whole(words, "arm"), _float(words, "seconds"))
        self._recorder.flush()
        return {"rate": rate, "held": self._playing.held(), **self._count()}

    def _begin(self, words: Words) -> Words:
        self._playing.begin([int(str(size)) for size in _list(words, "sizes")])
        return {}

    def _prepare(self, words: Words) -> Words:
        self._stage = Stage(_whole(words, "arm"), _whole(words, "round"), _whole(words, "size"))
        span = self._playing.prepare(self._stage)
        player = self._player
        due = player.first_due if isinstance(player, ScenarioPlayer) else None
        return {"span": span, "due": due}

    def _play(self, words: Words) -> Words:
        self._tell(self._stage.arm, self._stage.round)
        start = Start(_float(words, "at"), _float(words, "due"))
        played = self._playing.play(self._stage, start)
        return {
            "end": played.end,
            "cpu": played.cpu or 0.0,
            "lateness_p99_ms": played.lateness_p99_ms,
            **self._count(),
        }

    def _fetch(self, words: Words) -> Words:
        self._samples.seek(_whole(words, "first") * RECORD.size)
        return {
            "records": self._samples.read(_whole(words, "most") * RECORD.size),
            "errors": self._recorder.texts,
            "kinds": self._kinds.names,
        }

    def _finish(self, words: Words) -> Words:
        del words
        if self._totals is not None:
            self._totals.settle()
        if isinstance(self._player, LocustPlayer):
            # In Locust's order: the users end first, then the test.
            self._player.close()
            self._runner.stop()
        # Before our answer, on the same connection: the master's totals are whole then.
        data: dict[str, object] = {}
        self._environment.events.report_to_master.fire(  # type: ignore[no-untyped-call]
            client_id=self._runner.client_id, data=data
        )
        self._runner.send_message("stats", data)
        self._finished = True
        # Not at once: our answer must get away first.
        gevent.spawn_later(_TICK, self._over.set)
        return {}

    @property
    def _playing(self) -> Startable:
        if self._player is None:
            raise ToolError("the master asked for a stage before it gave orders")
        return self._player

    def _count(self) -> Words:
        return {"samples": self._recorder.count, "failed": self._recorder.failed}

    def _tell(self, arm: int, number: int) -> None:
        if self._plan is not None:
            self._parent.tell(
                event="stage",
                arm=self._plan.arms[arm].name,
                round=number,
                rounds=self._plan.rounds,
            )


def main() -> None:
    """Work for the master that the environment names, to the end of its run."""
    hire = read_hire(os.environ)
    parent = Parent(hire.progress_fd)
    status = 0
    try:
        _work(hire, parent)
        parent.tell(event="finished")
    except ValkeyctlError as error:
        parent.failed(error)
        # For a log that somebody reads when nobody reads the pipe.
        sys.stderr.write(f"{error}\n")
        sys.stderr.flush()
        status = 1
    # Locust's greenlets would keep us for their next turn.
    os._exit(status)


def _work(hire: Hire, parent: Parent) -> None:
    own = load(hire.locustfile, hire.folder) if hire.locustfile is not None else None
    options = None if own is None else options_of(own)
    environment = Environment(events=events, parsed_options=options)
    waiting = gevent.spawn(_connect, environment, hire)
    waiting.join(hire.patience)
    if not waiting.ready():
        raise UnreachableError(
            f"no Locust master answers at {hire.address} after {hire.patience:.0f} s",
            hint="Start it first: valkeyctl bench --master --master-bind-host HOST",
        )
    runner = waiting.get()
    if own is not None:
        environment.events.init.fire(environment=environment, runner=runner, web_ui=None)  # type: ignore[no-untyped-call]
    # Once open, its files need no name: a worker that is killed leaves nothing behind.
    with tempfile.TemporaryDirectory(prefix="valkeyctl-worker-") as folder:
        worker = Worker(environment, runner, hire, parent, Path(folder), own)

    def leave() -> None:
        # The master need not wait until it finds us silent.
        environment.events.quitting.fire(environment=environment, reverse=True)  # type: ignore[no-untyped-call]
        gevent.sleep(_TICK)
        os._exit(1)

    gevent.signal_handler(signal.SIGTERM, leave)
    parent.tell(event="connected")
    parent.watch(worker.tally, lambda: None)
    try:
        worker.work()
    finally:
        worker.close()


def _connect(environment: Environment, hire: Hire) -> WorkerRunner:
    return environment.create_worker_runner(hire.host, hire.port)


def _list(words: Words, name: str) -> list[object]:
    value = words[name]
    if not isinstance(value, list):
        raise ToolError(f"the master's call has no list {name}")
    return value


def _whole(words: Words, name: str) -> int:
    return int(_float(words, name))


def _float(words: Words, name: str) -> float:
    value = words[name]
    if not isinstance(value, int | float):
        raise ToolError(f"the master's call has no number {name}")
    return value


if __name__ == "__main__":
    main()
