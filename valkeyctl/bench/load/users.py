"""The Locust side of a load run, as a child process.

Locust is used as a library, without its command, whose options come from files and variables
of the user's (`surroundings`). It is the user model and keeps its own totals; client,
arrivals, clock and samples are ours, because Locust's client is slow, rounds to whole
milliseconds, and leaves out arrivals that a stall delays (see
docs/explanation/benchmark-method.md). With a locustfile of the user's, the users and their
client are its own.

Importing locust patches the standard library, so nothing but this child imports it.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import ClassVar

import gevent
from locust import User, events, task
from locust.env import Environment
from locust.log import setup_logging
from locust.stats import print_error_report, print_stats

from valkeyctl.bench.load.conductor import Conductor
from valkeyctl.bench.load.kinds import Kinds
from valkeyctl.bench.load.locustfile import OwnUsers, load, options_of
from valkeyctl.bench.load.locustplayer import LocustPlayer
from valkeyctl.bench.load.orders import Orders, read_orders
from valkeyctl.bench.load.origin import Origin
from valkeyctl.bench.load.parent import Parent, unwritten
from valkeyctl.bench.load.player import Player, Tally
from valkeyctl.bench.load.record import Recorder
from valkeyctl.bench.load.scenarioplayer import ScenarioPlayer
from valkeyctl.bench.load.totals import Batched, Told, Totals
from valkeyctl.errors import ValkeyctlError

# Each request names its URL; Locust wants a host all the same.
_HOST = "http://localhost"


class BenchUser(User):
    """A Locust user in whose name the player sends requests, one at a time."""

    session: ClassVar[Session]

    def on_start(self) -> None:
        """Report for work."""
        self.session.join()

    @task
    def stay(self) -> None:
        """Wait; the player sends for this user until the run ends."""
        gevent.sleep(3600)


class Session:
    """A run inside Locust: begins when every user has spawned, and ends Locust at its end."""

    def __init__(
        self, environment: Environment, orders: Orders, parent: Parent, own: OwnUsers | None
    ) -> None:
        self._environment = environment
        self._orders = orders
        self._parent = parent
        self._totals: Totals | None = None
        self._player = self._player_of(own)
        self._origin = Origin(orders.plan.arms, orders.urls)
        self._missing = orders.users

    def join(self) -> None:
        """Take a user; with the last one the run begins."""
        self._missing -= 1
        if not self._missing:
            gevent.spawn(self._run)

    def play(self) -> None:
        """Let the users spawn, and return when Locust has ended."""
        runner = self._environment.runner
        if runner is None:
            raise AssertionError("a session needs a runner")
        gevent.signal_handler(signal.SIGTERM, self._leave)
        runner.start(self._orders.users, spawn_rate=self._orders.users)
        runner.greenlet.join()
        self._quit()
        print_stats(self._environment.stats, current=False)
        print_error_report(self._environment.stats)

    def close(self) -> None:
        """Write out what is still buffered, whatever ended the run."""
        self._player.close()

    def _player_of(self, own: OwnUsers | None) -> Player:
        orders, environment = self._orders, self._environment
        recorder = Recorder(orders.folder)
        if own is not None:
            kinds = Kinds(lambda names: self._parent.tell(event="kinds", names=[*names]))
            return LocustPlayer(environment, own, orders, recorder, kinds)
        names = [arm.name for arm in orders.plan.arms]
        book = Batched if orders.plan.load_model == "open" else Told
        totals = self._totals = book(environment, names)
        return ScenarioPlayer(orders, recorder, totals.count)

    def _run(self) -> None:
        ticker = self._parent.watch(self._tally, self.close)
        conductor = Conductor(self._orders, self._player, self._origin.calls, self._parent.tell)
        try:
            if conductor.conduct():
                self._settle()
                totals = self._environment.stats.total
                self._parent.tell(
                    event="finished",
                    locust_requests=totals.num_requests,
                    locust_failures=totals.num_failures,
                )
            else:
                self._parent.tell(event="all_failed")
        except ValkeyctlError as error:
            self._parent.failed(error)
        except OSError as error:
            self._parent.failed(unwritten(self._orders.folder, error))
        finally:
            ticker.kill()
            self.close()
            runner = self._environment.runner
            if runner is not None:
                runner.quit()

    def _leave(self) -> None:
        """End at once, as whoever has started us wants it."""
        try:
            self._quit()
        finally:
            os._exit(1)

    def _quit(self) -> None:
        """Tell who listens that Locust ends, such as a locustfile; then write out the rest."""
        try:
            self._environment.events.quitting.fire(environment=self._environment, reverse=True)  # type: ignore[no-untyped-call]
        finally:
            self.close()

    def _tally(self) -> Tally:
        self._settle()
        return self._player.tally()

    def _settle(self) -> None:
        if self._totals is not None:
            self._totals.settle()


def main() -> None:
    """Play the run that the orders in the environment describe."""
    orders = read_orders(os.environ)
    parent = Parent(orders.progress_fd, orders.servers)
    try:
        session = _session(orders, parent)
    except ValkeyctlError as error:
        parent.failed(error)
        sys.exit(1)
    except OSError as error:
        parent.failed(unwritten(orders.folder, error))
        sys.exit(1)
    session.play()


def _session(orders: Orders, parent: Parent) -> Session:
    """Return the run inside a Locust that has not begun yet."""
    plan = orders.plan
    own = options = None
    if plan.locustfile is not None:
        # First, so that what it listens to in Locust is heard from the beginning.
        own = load(plan.locustfile, orders.home)
        options = options_of(own)
        options.num_users = plan.users
    setup_logging("WARNING")  # type: ignore[no-untyped-call]
    environment = Environment(
        user_classes=[BenchUser], events=events, host=_HOST, parsed_options=options
    )
    runner = environment.create_local_runner()
    session = BenchUser.session = Session(environment, orders, parent, own)
    environment.events.init.fire(environment=environment, runner=runner, web_ui=None)  # type: ignore[no-untyped-call]
    return session


if __name__ == "__main__":
    main()
