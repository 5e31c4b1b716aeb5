"""The Locust master of a load run with workers, as a child process.

It conducts, counts and keeps the samples; it sends no load itself.
Importing locust patches the standard library, so nothing but this child imports it.
"""

from __future__ import annotations

import os
import signal

import gevent
from locust import events
from locust.env import Environment
from locust.exception import RPCError

from valkeyctl import __version__
from valkeyctl.bench.load.calls import Desk
from valkeyctl.bench.load.conductor import Conductor
from valkeyctl.bench.load.crew import Crew
from valkeyctl.bench.load.kinds import Kinds
from valkeyctl.bench.load.ledger import Ledger
from valkeyctl.bench.load.orders import Meeting, Orders, read_orders
from valkeyctl.bench.load.origin import Origin
from valkeyctl.bench.load.parent import Parent, unwritten
from valkeyctl.errors import PortTakenError, ValkeyctlError


def main() -> None:
    """Conduct the run that the orders in the environment describe."""
    orders = read_orders(os.environ)
    parent = Parent(orders.progress_fd, orders.servers)
    if orders.meeting is None:
        raise AssertionError("a master needs a place to meet its workers")
    try:
        _conduct(orders, orders.meeting, parent)
    except ValkeyctlError as error:
        parent.failed(error)
    except OSError as error:
        parent.failed(unwritten(orders.folder, error))


def _conduct(orders: Orders, meeting: Meeting, parent: Parent) -> None:
    environment = Environment(events=events)
    try:
        runner = environment.create_master_runner(meeting.host, meeting.port)
    except (RPCError, SystemExit) as error:
        raise PortTakenError(
            f"workers cannot come to {meeting.host}:{meeting.port}: the address is taken, or "
            "not of this machine",
            hint="Give another one with --master-bind-host and --master-bind-port",
        ) from error

    def leave() -> None:
        # Workers need not wait until they find us silent.
        runner.quit()
        os._exit(1)

    gevent.signal_handler(signal.SIGTERM, leave)
    desk = Desk(
        runner, meeting.token, __version__, orders.plan.workers + orders.plan.remote_workers
    )
    kinds = None
    if orders.plan.locustfile is not None:
        kinds = Kinds(lambda names: parent.tell(event="kinds", names=[*names]))
    crew = Crew(orders, desk, Ledger(orders.folder), kinds)
    parent.tell(event="listening", port=runner.server.port)
    ticker = parent.watch(crew.tally, crew.close)
    try:
        crew.enlist(meeting.patience)
        origin = Origin(orders.plan.arms, orders.urls)
        if Conductor(orders, crew, origin.calls, parent.tell).conduct():
            crew.finish()
            totals = environment.stats.total
            parent.tell(event="crew", **crew.facts())
            parent.tell(
                event="finished",
                locust_requests=totals.num_requests,
                locust_failures=totals.num_failures,
            )
        else:
            parent.tell(event="all_failed")
    except ValkeyctlError as error:
        # Before the workers are sent home: their ends would look like the reason.
        parent.tell(event="crew", **crew.facts())
        parent.failed(error)
    finally:
        ticker.kill()
        crew.close()
        # Whatever ended the run, no worker must wait for more.
        runner.quit()


if __name__ == "__main__":
    main()
