"""One load run from plan to samples: start, play, measure, and leave nothing running."""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from valkeyctl.bench import gateways
from valkeyctl.bench.children import Interruptions
from valkeyctl.bench.environment import capture
from valkeyctl.bench.gateways import Gateway, Target
from valkeyctl.bench.generator import Generator, Outcome, Progress
from valkeyctl.bench.plan import Plan, mask_url
from valkeyctl.bench.runfile import RUN_FILE, RUN_VERSION
from valkeyctl.bench.scenario import Node
from valkeyctl.bench.traffic import Traffic, survey
from valkeyctl.errors import (
    FolderError,
    InterruptedRunError,
    MissingError,
    ServerReplyError,
    UnreachableError,
    ValkeyctlError,
)

if TYPE_CHECKING:
    from valkeyctl.bench.samples import Samples

__all__ = ["Progress", "Target", "run"]

_NEEDED = ("locust", "numpy", "jinja2")
_OUR_FILES = (
    *(RUN_FILE, "samples.bin", "stages.jsonl", "errors.jsonl"),
    *("locust.log", "gateway-*.log"),
    *("report.json", "report.html"),
)


def run(plan: Plan, target: Target, *, out: Path, progress: Callable[[Progress], None]) -> Samples:
    """Play *plan* against *target* and return every sample of it.

    Starts the gateways that the arms need and Locust, and ends all of them, whatever
    happens. Ctrl-C and SIGTERM end the run too; the samples until then are returned,
    marked incomplete. Files of an earlier run in *out* are replaced.

    Args:
        plan: What to play.
        target: Where to.
        out: Folder for samples, logs and, later, the report; made if absent.
        progress: Called a few times a second, from this thread.

    Raises:
        MissingError: The extra ``bench`` is not installed.
        UsageError: The trace, or an arm, cannot be used.
        FolderError: *out* cannot be written, or the trace cannot be read.
        StartError: A gateway ended, or never answered.
        PortTakenError: There was no free port for a gateway.
        UnreachableError: Nothing listens at an arm's URL, or no request had an answer.
        ServerReplyError: Every answer was an error, or wrong.
        ToolError: A gateway or Locust ended during the run; what was measured is kept.
        InterruptedRunError: Stopped before anything was measured.
    """
    check_extras()
    from valkeyctl.bench.samples import load_samples

    session = _Session(plan, target, survey(plan), out.absolute())
    with Interruptions() as interruptions:
        try:
            session.begin()
            session.play(interruptions, progress)
        except KeyboardInterrupt:
            session.interrupted = interruptions.reason or "Ctrl-C"
        except ValkeyctlError as error:
            session.failure = str(error)
            raise
        finally:
            # A second Ctrl-C must not leave half of the children running.
            interruptions.ignore()
            session.end()
    samples = load_samples(session.folder)
    if session.interrupted and not samples.complete_rounds():
        raise InterruptedRunError(
            "stopped before the first round was measured",
            hint=f"What there is lies in {session.folder}",
        )
    return samples


def check_extras() -> None:
    """Prove that what bench needs is installed.

    Raises:
        MissingError: It is not; the hint is the command that installs it.
    """
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise MissingError(
            f"bench needs {', '.join(missing)}, not installed here",
            hint="Run: pip install 'valkeyctl[bench]'",
        )


@dataclass
class _Session:
    """A run while it lasts: what it started, and what `run.json` says of it."""

    plan: Plan
    target: Target
    traffic: Traffic
    folder: Path
    gateways: list[Gateway] = field(default_factory=list)
    generator: Generator | None = None
    outcome: Outcome = field(default_factory=Outcome)
    interrupted: str = ""
    failure: str = ""

    def __post_init__(self) -> None:
        self.run_id = uuid.uuid4().hex[:8]
        self.wanted = gateways.assign(self.plan, self.target, self.run_id)
        self.ttl = self.target.ttl or self._longer_than_the_run()
        self.common = gateways.options(self.plan, self.target, self.ttl)
        self.facts: dict[str, Node] = {
            "run_id": self.run_id,
            "started": _now(),
            "ended": None,
            "failure": None,
            "origin": self.target.origin,
            "target": mask_url(self.target.url) if self.target.url else None,
            "cache": str(self.target.cache) if self.wanted else None,
            "gateways": [
                {
                    "app": gateway.app,
                    "arms": [self.plan.arms[arm].name for arm in gateway.arms],
                    "options": " ".join(self.common),
                }
                for gateway in self.wanted
            ],
            "server": dict(self.target.server),
            "environment": capture(),
        }

    def begin(self) -> None:
        """Make the folder, with a record of a run that has not ended yet."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for name in _OUR_FILES:
                for earlier in self.folder.glob(name):
                    earlier.unlink()
            self._write()
        except OSError as error:
            raise FolderError(
                f"{self.folder}: cannot be written: {error.strerror or error}",
                hint="Give another folder with --out",
            ) from error

    def play(self, interruptions: Interruptions, progress: Callable[[Progress], None]) -> None:
        """Start everything and follow the load to its end."""
        progress(Progress("starting", "", 0, self.plan.rounds, 0, None, 0, 0.0))
        for arm in self.plan.arms:
            if url := arm.url or self.target.url:
                gateways.check_reachable(arm, url)
        for wanted in self.wanted:
            with interruptions.shield():
                self.gateways.append(Gateway(wanted, self.target, self.common, self.folder))
        gateways.wait_until_healthy(self.gateways)
        started = {arm: gateway.url for gateway in self.gateways for arm in gateway.plan.arms}
        with interruptions.shield():
            self.generator = Generator(
                self.plan,
                gateways.arm_urls(self.plan, self.target, started),
                # A gateway's keys are its own; an application may remember earlier runs.
                salt="" if self.wanted else self.run_id,
                folder=self.folder,
                servers=tuple(gateway.child.process.pid for gateway in self.gateways),
            )
        self.outcome = self.generator.follow(self.gateways, progress)
        self._check_answers()

    def end(self) -> None:
        """End every child, and write down how the run ended."""
        if self.generator is not None:
            self.generator.end()
        for gateway in self.gateways:
            gateway.child.end()
        self.facts["ended"] = _now()
        self.facts["failure"] = self.failure or None
        self.facts["locust"] = {
            "requests": self.outcome.locust_requests,
            "failures": self.outcome.locust_failures,
        }
        # The folder may have become unwritable; the failure on its way says more.
        with contextlib.suppress(OSError):
            self._write()
        if self.target.forget is not None:
            for gateway in self.gateways:
                # Keys that stay expire by themselves; the measurement is not lost for them.
                with contextlib.suppress(ValkeyctlError):
                    self.target.forget(gateway.plan.app)

    def _check_answers(self) -> None:
        from valkeyctl.bench.samples import load_samples

        samples = load_samples(self.folder)
        measured = len(samples.rows)
        if not measured or (samples.rows["error"] == 0).any():
            return
        # Every sample has an error, so the first one has a text.
        first = samples.errors[int(samples.rows["error"][0]) - 1]
        message = f"none of {measured:,} requests was answered rightly; the first: {first}"
        hint = f"Logs and samples are in {self.folder}"
        if not samples.rows["status"].any():
            raise UnreachableError(message, hint=hint)
        raise ServerReplyError(message, hint=hint)

    def _longer_than_the_run(self) -> float:
        expected = (self.traffic.span or self.plan.duration) * len(self.plan.arms)
        return round(3600 + 3 * max(expected, self.plan.duration))

    def _write(self) -> None:
        finished = self.outcome.finished and not self.failure
        document = {
            "version": RUN_VERSION,
            "kind": "bench.run",
            "incomplete": not finished,
            "interrupted": self.interrupted,
            "plan": self.plan.to_json(),
            "traffic": asdict(self.traffic),
            "facts": self.facts,
        }
        # Whole or not at all: a torn file would hide the samples beside it.
        scratch = self.folder / "run.json.new"
        scratch.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        scratch.replace(self.folder / RUN_FILE)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
