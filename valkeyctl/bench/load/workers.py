"""The processes that send a run's load together, seen from those that start them."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from valkeyctl.bench.load.orders import SILENCE, Hire, Meeting
from valkeyctl.bench.load.surroundings import child_environment, command_of
from valkeyctl.bench.services.children import Child, Interruptions, end_all
from valkeyctl.errors import (
    AuthError,
    FolderError,
    MissingError,
    PortTakenError,
    ToolError,
    UnreachableError,
    UsageError,
    ValkeyctlError,
)

# What a child may say that it has died of.
_KINDS = (
    *(UsageError, ToolError, MissingError, PortTakenError),
    *(UnreachableError, AuthError, FolderError),
)
_MODULE = "valkeyctl.bench.load.worker"
_POLL = 0.2
_LOCAL_PATIENCE = 60.0
# From the end of what a child says to its own end.
_END_PATIENCE = 10.0


def failure(message: Mapping[str, object]) -> ValkeyctlError:
    """Return the error that a child's ``failed`` message tells of."""
    kind = next((one for one in _KINDS if one.code == message.get("code")), ToolError)
    hint = message.get("hint")
    return kind(str(message.get("text")), hint=hint if isinstance(hint, str) else None)


@dataclass
class LocalWorkers:
    """The workers of a run on this machine.

    Attributes:
        count: How many there are to be.
        folder: Where their logs go.
        locustfile: The user's own; None without one.
        children: Those that were started.
    """

    count: int
    folder: Path
    locustfile: Path | None = None
    children: list[Child] = field(default_factory=list)

    def start(self, meeting: Meeting, port: int) -> None:
        """Start all of them; *port* is where the master listens."""
        # What they say, the master hears; the pipe ends with them.
        with Path(os.devnull).open("wb") as nowhere:
            for number in range(1, self.count + 1):
                hire = Hire(
                    meeting.host,
                    port,
                    meeting.token,
                    _LOCAL_PATIENCE,
                    nowhere.fileno(),
                    self.locustfile,
                    Path.cwd(),
                )
                self.children.append(
                    Child(
                        command_of(_MODULE),
                        log=self.folder / f"worker-{number}.log",
                        environment=child_environment(hire.environment()),
                        folder=self.folder,
                        pass_fds=(nowhere.fileno(),),
                    )
                )

    def check(self) -> None:
        """Prove that none has ended that should not have.

        Raises:
            ToolError: One has; names it.
        """
        for number, child in enumerate(self.children, start=1):
            if child.status not in {None, 0}:
                lines = child.last_lines()
                raise ToolError(
                    f"worker {number} (process {child.process.pid}) ended with status "
                    f"{child.status} during the run" + (f": {lines[-1]}" if lines else ""),
                    hint=f"Its output is in {child.log}",
                )

    def end(self) -> None:
        """End all of them."""
        end_all(self.children)


@dataclass(frozen=True)
class Work:
    """How far a worker is.

    Attributes:
        phase: ``connecting``, ``waiting`` (for the others), ``working`` or ``done``.
        worker: Its number, from 1; 0 before the master has taken it.
        workers: How many there are.
        arm: The arm that plays; empty before the first.
        round: Its round, from 1; 0 in the warm-up.
        rounds: How many there are.
        samples: Taken by this worker so far.
        failed: Those that are errors.
    """

    phase: str = "connecting"
    worker: int = 0
    workers: int = 0
    arm: str = ""
    round: int = 0
    rounds: int = 0
    samples: int = 0
    failed: int = 0


def work(
    address: tuple[str, int],
    token: str,
    *,
    locustfile: Path | None,
    patience: float,
    log: Path,
    progress: Callable[[Work], None],
    silence: float = SILENCE,
) -> Work:
    """Send load for the Locust master at *address* until its run is over.

    Args:
        address: Host and port.
        token: The run's, as the master has printed it.
        locustfile: The user's own, where the run plays one.
        patience: Seconds to wait for the master to answer.
        log: File for what Locust writes.
        progress: Called at every step, from this thread.
        silence: Seconds without a word after which the master counts as gone.

    Raises:
        UnreachableError: No master answers, or it is gone.
        AuthError: It does not take us.
        UsageError: The run cannot be played here.
        ToolError: The master sent us away or ended the run early; or our process ended.
        KeyboardInterrupt: Ctrl-C or SIGTERM.
    """
    with Interruptions() as interruptions, _pipe() as (pipe, theirs):
        hire = Hire(*address, token, patience, theirs, locustfile, Path.cwd(), silence)
        with interruptions.shield():
            child = Child(
                command_of(_MODULE),
                log=log,
                environment=child_environment(hire.environment()),
                folder=log.parent,
                pass_fds=(theirs,),
            )
            os.close(theirs)
        try:
            return _follow(pipe, child, progress)
        finally:
            interruptions.ignore()
            child.end()


@contextlib.contextmanager
def _pipe() -> Iterator[tuple[int, int]]:
    pipe, theirs = os.pipe()
    try:
        yield pipe, theirs
    finally:
        os.close(pipe)


def _follow(pipe: int, child: Child, progress: Callable[[Work], None]) -> Work:
    now = Work()
    progress(now)
    buffered = b""
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while True:
            if not selector.select(_POLL):
                continue
            chunk = os.read(pipe, 65536)
            if not chunk:
                break
            *lines, buffered = (buffered + chunk).split(b"\n")
            for line in lines:
                now = _noted(json.loads(line), now)
                progress(now)
    if now.phase == "done":
        return now
    # It has nothing more to say; `work` ends one that does not end by itself.
    status = child.wait(_END_PATIENCE)
    lines_ = child.last_lines()
    how = f"ended with status {status}" if status is not None else "stopped working"
    raise ToolError(
        f"the worker's process {how} before the run" + (f": {lines_[-1]}" if lines_ else ""),
        hint=f"Its output is in {child.log}",
    )


def _noted(message: Mapping[str, object], now: Work) -> Work:
    """Return how far the worker is after *message*.

    Raises:
        ValkeyctlError: It has failed.
    """
    match message:
        case {"event": "failed"}:
            raise failure(message)
        case {"event": "connected"}:
            return replace(now, phase="waiting")
        case {"event": "hired", "worker": int(worker), "workers": int(workers)}:
            return replace(now, phase="working", worker=worker + 1, workers=workers)
        case {"event": "stage", "arm": str(arm), "round": int(number), "rounds": int(rounds)}:
            return replace(now, arm=arm, round=number + 1, rounds=rounds)
        case {"event": "tick", "samples": int(samples), "failed": int(failed)}:
            return replace(now, samples=samples, failed=failed)
        case {"event": "finished"}:
            return replace(now, phase="done")
    return now
