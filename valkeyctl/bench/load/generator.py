"""The load generator seen from the parent: start Locust as a child, and follow it."""

from __future__ import annotations

import json
import os
import secrets
import selectors
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from valkeyctl.bench.arm import Node
from valkeyctl.bench.load.blocks import WARMUP
from valkeyctl.bench.load.orders import Meeting, Orders
from valkeyctl.bench.load.surroundings import child_environment, command_of
from valkeyctl.bench.load.workers import LocalWorkers, failure
from valkeyctl.bench.plan import Plan
from valkeyctl.bench.services.applications import Application
from valkeyctl.bench.services.children import Child
from valkeyctl.errors import ToolError

_POLL = 0.2
# It says how far it is four times a second, but for what holds up its event loop: the making
# of a block's requests, or a locustfile that does not let go.
_SILENCE = 120.0
# From the end of what it says to its own end; `end` ends one that takes longer.
_END_PATIENCE = 10.0
_LOG_FILE = "locust.log"
_ALONE, _MASTER = "valkeyctl.bench.load.users", "valkeyctl.bench.load.master"
# For workers that somebody starts by hand, and for those that we start.
_REMOTE_PATIENCE = 600.0
_LOCAL_PATIENCE = 60.0


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        phase: ``starting``, ``warm-up`` or ``measuring``.
        arm: The arm that plays; empty while starting.
        round: Its round, from 1; 0 before the first.
        rounds: How many there are.
        done: Measured samples so far, all arms together.
        total: How many there will be; None until the pilot has decided.
        failed: Samples that are errors, warm-up included.
        elapsed: Seconds since the run began.
        stage_seconds: How long the stage that plays will take, about; 0 where nothing is
            known. The report that a stage has begun comes at once.
    """

    phase: str
    arm: str
    round: int
    rounds: int
    done: int
    total: int | None
    failed: int
    elapsed: float
    stage_seconds: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """How the load generator ended.

    Attributes:
        finished: Whether it played the whole plan.
        all_failed: Whether it gave up because the warm-up had no right answer.
        locust_requests: Locust's own count of requests; 0 when it did not finish.
        locust_failures: Locust's own count of failures.
    """

    finished: bool = False
    all_failed: bool = False
    locust_requests: int = 0
    locust_failures: int = 0


class Generator:
    """A headless Locust that plays one plan, or a Locust master and its workers.

    Args:
        plan: What is played.
        urls: Base URL of each arm.
        salt: Goes into every prompt.
        folder: Where samples and logs go.
        servers: Processes that somebody must end when we are killed.
        master: Where workers from elsewhere come to; None waits for none.
        token: What they must know; empty makes one.

    Attributes:
        kinds: Names of requests that a locustfile has sent, by their numbers.
        crew: What is known of the workers that sent the load; empty without any.
        shortened: Why less was played than the plan has; empty when all was.
    """

    def __init__(
        self,
        plan: Plan,
        urls: tuple[str, ...],
        *,
        salt: str,
        folder: Path,
        servers: tuple[int, ...],
        master: tuple[str, int] | None = None,
        token: str = "",
    ) -> None:
        self._plan = plan
        self.kinds: list[str] = []
        self.crew: dict[str, Node] = {}
        self.shortened = ""
        self._workers = LocalWorkers(plan.workers, folder, plan.locustfile)
        self._meeting: Meeting | None = None
        if plan.workers > 1 or plan.remote_workers:
            host, port = master or ("127.0.0.1", 0)
            patience = _REMOTE_PATIENCE if plan.remote_workers else _LOCAL_PATIENCE
            self._meeting = Meeting(host, port, token or secrets.token_urlsafe(), patience)
        self._begin = time.monotonic()
        self._progress = Progress("starting", "", 0, plan.rounds, 0, None, 0, 0.0)
        self._warmup_samples = 0
        self._pipe, child_end = os.pipe()
        try:
            orders = Orders(plan, urls, salt, folder, child_end, servers, self._meeting, Path.cwd())
            self.child = Child(
                _command(orders),
                log=folder / _LOG_FILE,
                environment=child_environment(orders.environment()),
                folder=folder,
                pass_fds=(child_end,),
            )
        except BaseException:
            os.close(self._pipe)
            raise
        finally:
            os.close(child_end)

    def follow(
        self, applications: Sequence[Application], report: Callable[[Progress], None]
    ) -> Outcome:
        """Return when the plan was played; *report* is called at every step.

        Raises:
            ToolError: An application, a worker or Locust ended before the plan did, or
                Locust says nothing any more.
            UsageError: The locustfile cannot be used, or a worker cannot play the plan.
            MissingError: Not all workers came.
            PortTakenError: There is no place for them to come to.
        """
        outcome = Outcome()
        buffered = b""
        heard = time.monotonic()
        begun = False
        with selectors.DefaultSelector() as selector:
            selector.register(self._pipe, selectors.EVENT_READ)
            while True:
                if selector.select(_POLL):
                    chunk = os.read(self._pipe, 65536)
                    if not chunk:
                        break
                    *lines, buffered = (buffered + chunk).split(b"\n")
                    for line in lines:
                        outcome = self._note(json.loads(line), outcome)
                        heard, begun = time.monotonic(), True
                        # For each, as whoever waits for one stage must not miss it.
                        report(self._progress)
                for one in applications:
                    _check(one.child, one.name, "during the run")
                self._workers.check()
                if time.monotonic() - heard > _SILENCE:
                    what = "has said nothing for" if begun else "did not begin within"
                    raise ToolError(
                        f"Locust {what} {_SILENCE:.0f} s",
                        hint=f"See what holds it up; its output is in {self.child.log}",
                    )
        status = self.child.wait(_END_PATIENCE)
        if not (outcome.finished or outcome.all_failed):
            _check(self.child, "Locust", "before the plan was played")
            if status is None:
                raise ToolError(
                    "Locust stopped working before the plan was played",
                    hint=f"Its output is in {self.child.log}",
                )
        return outcome

    def end(self) -> None:
        """End the child and the workers, and close the pipe."""
        # The master first: it tells workers elsewhere that there is no more to do.
        self.child.end()
        self._workers.end()
        os.close(self._pipe)

    def _note(self, message: Mapping[str, Node], outcome: Outcome) -> Outcome:
        """Take in one line of the child's."""
        now = self._progress
        phase, arm, number = now.phase, now.arm, now.round
        done, total, failed, rounds = now.done, now.total, now.failed, now.rounds
        seconds = now.stage_seconds
        match message:
            case {"event": "stage", "arm": int(index), "round": int(played), "seconds": length}:
                seconds = float(str(length))
                phase = "warm-up" if played == WARMUP else "measuring"
                arm, number = self._plan.arms[index].name, played + 1
            case {"event": "sizes", "sizes": list(sizes), "samples": int(samples)}:
                self._warmup_samples = samples
                total = sum(int(str(size)) for size in sizes) * len(self._plan.arms)
                rounds = len(sizes)
            case {"event": "tick", "samples": int(samples), "failed": int(failed)}:
                done = samples - self._warmup_samples if total is not None else 0
            case {"event": "listening", "port": int(port)}:
                if self._meeting is not None:
                    self._workers.start(self._meeting, port)
            case {"event": "kinds", "names": list(names)}:
                self.kinds = [str(name) for name in names]
            case {"event": "crew"}:
                self.crew = {key: value for key, value in message.items() if key != "event"}
            case {"event": "shortened", "text": str(text)}:
                self.shortened = f"{self.shortened} {text}".strip()
            case {"event": "failed"}:
                raise failure(message)
            case {"event": "all_failed"}:
                outcome = Outcome(all_failed=True)
            case {
                "event": "finished",
                "locust_requests": int(requests),
                "locust_failures": int(failures),
            }:
                done = total or 0
                outcome = Outcome(finished=True, locust_requests=requests, locust_failures=failures)
        elapsed = time.monotonic() - self._begin
        self._progress = Progress(phase, arm, number, rounds, done, total, failed, elapsed, seconds)
        return outcome


def _command(orders: Orders) -> list[str]:
    return command_of(_ALONE if orders.meeting is None else _MASTER)


def _check(child: Child, name: str, when: str) -> None:
    status = child.status
    if status is None:
        return
    lines = child.last_lines()
    raise ToolError(
        f"{name} ended with status {status} {when}" + (f": {lines[-1]}" if lines else ""),
        hint=f"Its output is in {child.log}",
    )
