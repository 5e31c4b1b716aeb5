"""The load generator seen from the parent: start Locust as a child, and follow it."""

from __future__ import annotations

import json
import os
import selectors
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from valkeyctl.bench.blocks import WARMUP
from valkeyctl.bench.children import Child
from valkeyctl.bench.gateways import Gateway
from valkeyctl.bench.orders import Orders
from valkeyctl.bench.plan import Plan
from valkeyctl.errors import ToolError

_POLL = 0.2
_START_DEADLINE = 120.0
_LOG_FILE = "locust.log"


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
    """

    phase: str
    arm: str
    round: int
    rounds: int
    done: int
    total: int | None
    failed: int
    elapsed: float


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
    """A headless Locust that plays one plan."""

    def __init__(
        self,
        plan: Plan,
        urls: tuple[str, ...],
        *,
        salt: str,
        folder: Path,
        servers: tuple[int, ...],
    ) -> None:
        self._plan = plan
        self._begin = time.monotonic()
        self._progress = Progress("starting", "", 0, plan.rounds, 0, None, 0, 0.0)
        self._warmup_samples = 0
        users = plan.users if plan.load_model == "closed" else 1
        self._pipe, child_end = os.pipe()
        try:
            orders = Orders(plan, urls, salt, folder, child_end, servers)
            self.child = Child(
                [
                    *(
                        sys.executable,
                        "-m",
                        "locust",
                        "-f",
                        str(Path(__file__).with_name("users.py")),
                    ),
                    *("--headless", "--only-summary", "--loglevel", "WARNING"),
                    *("--users", str(users), "--spawn-rate", str(users)),
                    # Each request names its URL; Locust wants a host all the same.
                    *("--host", "http://localhost", "--exit-code-on-error", "0"),
                    *("--stop-timeout", "0"),
                ],
                log=folder / _LOG_FILE,
                environment=_environment(orders),
                # Locust reads locust.conf and pyproject.toml of the folder it starts in.
                folder=folder,
                pass_fds=(child_end,),
            )
        except BaseException:
            os.close(self._pipe)
            raise
        finally:
            os.close(child_end)

    def follow(self, gateways: list[Gateway], report: Callable[[Progress], None]) -> Outcome:
        """Return when the plan was played; *report* is called at every step.

        Raises:
            ToolError: A gateway or Locust ended before the plan did.
        """
        outcome = Outcome()
        buffered = b""
        deadline = time.monotonic() + _START_DEADLINE
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
                        begun = True
                    report(self._progress)
                for gateway in gateways:
                    _check(gateway.child, "the gateway", "during the run")
                if not begun and time.monotonic() > deadline:
                    raise ToolError(
                        f"Locust did not begin within {_START_DEADLINE:.0f} s",
                        hint=f"Its output is in {self.child.log}",
                    )
        self.child.process.wait(_START_DEADLINE)
        if not (outcome.finished or outcome.all_failed):
            _check(self.child, "Locust", "before the plan was played")
        return outcome

    def end(self) -> None:
        """End the child and close the pipe."""
        self.child.end()
        os.close(self._pipe)

    def _note(self, message: Mapping[str, object], outcome: Outcome) -> Outcome:
        """Take in one line of the child's."""
        now = self._progress
        phase, arm, number = now.phase, now.arm, now.round
        done, total, failed = now.done, now.total, now.failed
        match message:
            case {"event": "stage", "arm": int(index), "round": int(played)}:
                phase = "warm-up" if played == WARMUP else "measuring"
                arm, number = self._plan.arms[index].name, played + 1
            case {"event": "sizes", "sizes": list(sizes), "samples": int(samples)}:
                self._warmup_samples = samples
                total = sum(sizes) * len(self._plan.arms)
            case {"event": "tick", "samples": int(samples), "failed": int(failed)}:
                done = samples - self._warmup_samples if total is not None else 0
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
        self._progress = Progress(
            phase, arm, number, self._plan.rounds, done, total, failed, elapsed
        )
        return outcome


def _environment(orders: Orders) -> dict[str, str]:
    # Settings of the user's own Locust runs must not reach this one.
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("LOCUST_")}
    return {**inherited, **orders.environment()}


def _check(child: Child, name: str, when: str) -> None:
    status = child.status
    if status is None:
        return
    lines = child.last_lines()
    raise ToolError(
        f"{name} ended with status {status} {when}" + (f": {lines[-1]}" if lines else ""),
        hint=f"Its output is in {child.log}",
    )
