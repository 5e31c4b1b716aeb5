"""One load run from plan to samples: start, play, measure, and leave nothing running."""

from __future__ import annotations

import contextlib
import json
import tempfile
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from valkeyctl.bench.arm import Node, mask_url
from valkeyctl.bench.environment import Watch, capture
from valkeyctl.bench.load.generator import Generator, Outcome, Progress
from valkeyctl.bench.load.room import check_room
from valkeyctl.bench.plan import Plan, scenario_of
from valkeyctl.bench.runfile import RUN_FILE, RUN_VERSION, claimed
from valkeyctl.bench.services.applications import LOGS
from valkeyctl.bench.services.children import Interruptions
from valkeyctl.bench.services.disturber import Disturber
from valkeyctl.bench.services.lineup import Lineup
from valkeyctl.bench.services.openfiles import enough_files
from valkeyctl.bench.services.target import Target
from valkeyctl.bench.traffic.stream import Traffic, survey
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

_NEEDED = ("locust", "numpy", "jinja2", "hdrh", "regex")
_OUR_FILES = (
    *(RUN_FILE, "samples.bin", "stages.jsonl", "errors.jsonl"),
    *("locust.log", "worker-*.log", *LOGS),
    *("report.json", "report.html", "report.md", "latency.hlog"),
)


def run(
    plan: Plan,
    target: Target,
    *,
    out: Path | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Samples:
    """Play *plan* against *target* and return every sample of it.

    Starts the applications and servers that the arms need, and Locust, and ends all of
    them, whatever happens; a fault that the scenario makes is undone. Ctrl-C and SIGTERM
    end the run too; the samples until then are returned, marked incomplete. Files of an
    earlier run in *out* are replaced.

    Args:
        plan: What to play.
        target: Where to.
        out: Folder for samples, logs and, later, the report; made if absent. None makes one
            among the temporary files, which is the caller's to remove.
        progress: Called a few times a second, from this thread; None tells nobody.

    Raises:
        MissingError: The extra ``bench`` is not installed.
        UsageError: The trace, or an arm, cannot be used; or there are too many workers.
        FolderError: *out* cannot be written, or another run writes into it, or the trace
            cannot be read.
        StartError: An application, or a throwaway server, ended or never answered.
        PortTakenError: There was no free port for one.
        UnreachableError: Nothing listens at an arm's URL, or no request had an answer.
        ServerReplyError: Every answer was an error, or wrong.
        ToolError: An application or Locust ended during the run, or the scenario's fault
            could not be made; what was measured is kept.
        InterruptedRunError: Stopped before anything was measured.
    """
    check_extras()
    check_room(plan)
    from valkeyctl.bench.samples import load_samples

    traffic = survey(plan)
    folder = Path(tempfile.mkdtemp(prefix="valkeyctl-bench-")) if out is None else out
    session = _Session(plan, target, traffic, folder.absolute())
    files = enough_files(plan, session.lineup.addresses)
    with claimed(session.folder), files, Interruptions() as interruptions:
        try:
            session.begin()
            session.play(interruptions, progress or _unheard)
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


def _unheard(_: Progress) -> None:
    """Tell nobody."""


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
    generator: Generator | None = None
    outcome: Outcome = field(default_factory=Outcome)
    interrupted: str = ""
    failure: str = ""

    def __post_init__(self) -> None:
        self.run_id = uuid.uuid4().hex[:8]
        ttl = self.target.ttl or self._longer_than_the_run()
        self.lineup = Lineup(self.plan, self.target, self.run_id, self.folder, ttl)
        self.disturber = (
            None if self.plan.scenario.during is None else Disturber(self.plan, self.lineup.fault)
        )
        self.measuring = False
        self.environment = capture()
        self.watch = Watch()
        self.facts: dict[str, Node] = {
            "run_id": self.run_id,
            "started": _now(),
            "ended": None,
            "failure": None,
            "target": mask_url(self.target.url) if self.target.url else None,
            **self.lineup.facts(),
            "environment": self.environment,
        }

    def begin(self) -> None:
        """Empty the folder, but for a record of a run that has not ended yet."""
        try:
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
        starting = Progress("starting", "", 0, self.plan.rounds, 0, None, 0, 0.0)
        progress(starting)
        if self.disturber is not None:
            self.lineup.check_faults()
        self.lineup.start(interruptions)
        # Once more: Locust takes a second or two before it says anything itself.
        progress(starting)
        if self.disturber is not None:
            self.disturber.check()
        with interruptions.shield():
            self.generator = Generator(
                self.plan,
                self.lineup.urls(),
                # An application that we start has keys of its own; one of the user's may
                # remember earlier runs.
                salt="" if self.lineup.planned else self.run_id,
                folder=self.folder,
                servers=self.lineup.pids(),
                master=self.target.master,
                token=self.target.token,
            )

        def step(now: Progress) -> None:
            self._follow(now)
            progress(now)

        self.outcome = self.generator.follow(self.lineup.applications, step)
        if self.disturber is not None and self.outcome.finished:
            self.disturber.complete()
        self.lineup.note_after()
        self._check_answers()

    def _follow(self, now: Progress) -> None:
        """Do what is due at this moment of the run."""
        self.lineup.check_servers()
        if now.phase != "measuring":
            return
        if not self.measuring:
            # Not before the load: what the warm-up did is no part of the result.
            self.measuring = True
            self.lineup.note_before()
        if self.disturber is not None and now.total:
            self.disturber.observe(now.arm, now.round - 1, now.done, now.total, now.stage_seconds)

    def end(self) -> None:
        """Undo a fault, end every child, and write down how the run ended."""
        with contextlib.ExitStack() as ending:  # the last one first, whatever another raises
            ending.callback(self.lineup.end)
            if self.generator is not None:
                ending.callback(self.generator.end)
                self.facts["crew"] = dict(self.generator.crew) or None
                self.facts["shortened"] = self.generator.shortened or None
            if self.disturber is not None:
                ending.callback(self.disturber.end)
        self.facts |= self.lineup.facts()
        self.facts["disturbances"] = [
            one.to_json() for one in (self.disturber.made if self.disturber else ())
        ]
        self.facts["ended"] = _now()
        self.facts["environment"] = {**self.environment, **self.watch.end()}
        self.facts["failure"] = self.failure or None
        self.facts["locust"] = {
            "requests": self.outcome.locust_requests,
            "failures": self.outcome.locust_failures,
        }
        # The folder may have become unwritable; the failure on its way says more.
        with contextlib.suppress(OSError):
            self._write()
        self.lineup.forget()

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
        plan = self.plan
        if plan.locustfile is not None and self.generator is not None:
            # Only now its requests have names.
            scenario = scenario_of(plan.locustfile, self.generator.kinds)
            plan = replace(plan, scenario=scenario)
        finished = self.outcome.finished and not self.failure
        document = {
            "version": RUN_VERSION,
            "kind": "bench.run",
            "incomplete": not finished,
            "interrupted": self.interrupted,
            "plan": plan.to_json(),
            "traffic": asdict(self.traffic),
            "facts": self.facts,
        }
        # Whole or not at all: a torn file would hide the samples beside it.
        scratch = self.folder / "run.json.new"
        scratch.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        scratch.replace(self.folder / RUN_FILE)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
