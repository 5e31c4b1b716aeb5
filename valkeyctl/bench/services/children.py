"""Child processes that never outlive the run, and signals that cannot come between."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Self

from valkeyctl.bench.services.boundedlog import BoundedLog
from valkeyctl.errors import StartError

GRACE = 5.0
_LOG_LINES = 20
_LOOK = 0.02
# Of one who presses Ctrl-C twice: what the first has begun must come to its end.
_NERVOUS = 0.5
_SIGNALS = {
    signal.SIGINT: "Ctrl-C",
    signal.SIGTERM: "SIGTERM",
    # The terminal is gone; one that was told to live on (nohup) ignores it, and so do we.
    signal.SIGHUP: "SIGHUP",
}


class Child:
    """A process in a group of its own, whose output goes to a file of bounded size.

    Args:
        command: Its program and arguments.
        log: File that its output goes to.
        environment: Its variables.
        folder: Where it runs.
        pass_fds: Open files that it inherits.
        said: What it reads from its standard input, such as a secret, which is seen in no
            list of processes.

    Raises:
        StartError: There is no such program, or no room for one more process.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        log: Path,
        environment: Mapping[str, str],
        folder: Path | None = None,
        pass_fds: Sequence[int] = (),
        said: bytes = b"",
    ) -> None:
        self.log = log
        self._asked = False
        try:
            self._output = BoundedLog(log)
            try:
                self.process = subprocess.Popen(
                    list(command),
                    stdin=subprocess.PIPE if said else subprocess.DEVNULL,
                    stdout=self._output.theirs,
                    stderr=subprocess.STDOUT,
                    env=dict(environment),
                    cwd=folder,
                    pass_fds=tuple(pass_fds),
                    # Ctrl-C at the terminal reaches us alone; we end the children in order.
                    start_new_session=True,
                )
            except BaseException:
                self._output.end()
                raise
        except (OSError, RuntimeError) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise StartError(
                f"cannot start {command[0]}: {why.lower()}",
                hint="See whether it is there, and how many processes may run: ulimit -u",
            ) from error

        if self.process.stdin is not None:
            # One that has ended already says why in its log.
            with contextlib.suppress(BrokenPipeError), self.process.stdin as pipe:
                pipe.write(said)

    @property
    def status(self) -> int | None:
        """How it ended; None while it runs."""
        process = self.process
        if process.returncode is not None or not hasattr(os, "waitid"):
            return process.poll()
        # Not asked away: until `end` nobody else may be given its number, which names the
        # group that `end` kills.
        found = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if found is None:
            return None
        return found.si_status if found.si_code == os.CLD_EXITED else -found.si_status

    def wait(self, seconds: float) -> int | None:
        """Return how it ended as soon as it has; None when it still runs after *seconds*."""
        until = time.monotonic() + seconds
        while (status := self.status) is None and time.monotonic() < until:
            time.sleep(_LOOK)  # waiting for good would give its number away
        return status

    def last_lines(self) -> tuple[str, ...]:
        """Return the end of what it wrote, oldest line first."""
        try:
            with self.log.open("rb") as output:
                output.seek(max(0, self.log.stat().st_size - 16384))
                text = output.read().decode("utf-8", errors="replace")
        except OSError:
            return ()
        return tuple(line for line in text.splitlines() if line.strip())[-_LOG_LINES:]

    def ask_to_end(self) -> None:
        """Send it SIGTERM, once, and do not wait."""
        if self._asked or self.status is not None:
            return
        self._asked = True
        self._signal(signal.SIGTERM)
        # One that is paused would not hear of it.
        self._signal(signal.SIGCONT)

    def end(self, grace: float = GRACE) -> None:
        """End it and whatever it started: SIGTERM, and SIGKILL after *grace* seconds."""
        if self.process.returncode is not None:
            # Asked away by `status`, on a system without waitid.
            self._output.end()
            return
        self.ask_to_end()
        self.wait(grace)
        # Its own children may outlive it, so the group is killed either way.
        self._signal(signal.SIGKILL)
        self.process.wait()
        self._output.end()

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)


def end_all(children: Sequence[Child], grace: float = GRACE) -> None:
    """End all of them, which have *grace* seconds together and not one after another."""
    until = time.monotonic() + grace
    for child in children:
        child.ask_to_end()
    for child in children:
        child.end(max(0.0, until - time.monotonic()))


class Interruptions:
    """Turns Ctrl-C, SIGTERM and SIGHUP into KeyboardInterrupt, and can hold them back.

    Without this, SIGTERM would end us and leave the children; and a signal between the
    start of a child and our noting its id would leave that one. Outside the main thread,
    where no signal arrives, it does nothing.
    """

    def __init__(self) -> None:
        self.reason = ""
        self._shields = 0
        self._held = False
        self._raised = -math.inf
        self._previous: dict[signal.Signals, signal._HANDLER] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                if number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                    continue
                self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    @contextlib.contextmanager
    def shield(self) -> Iterator[None]:
        """Hold signals back inside the block; one that came is raised at its end."""
        self._shields += 1
        try:
            yield
        finally:
            self._shields -= 1
        if self._held and not self._shields:
            self._held = False
            self._raised = time.monotonic()
            raise KeyboardInterrupt

    def ignore(self) -> None:
        """Hold signals back until the end of this object: everything is being ended."""
        self._shields += 1

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        self.reason = self.reason or _SIGNALS[signal.Signals(number)]
        if self._shields:
            self._held = True
            return
        # One that came while the first is on its way up would skip what `ignore` protects.
        now = time.monotonic()
        if now - self._raised >= _NERVOUS:
            self._raised = now
            raise KeyboardInterrupt
