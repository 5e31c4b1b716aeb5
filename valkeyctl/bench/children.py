"""Child processes that never outlive the run, and signals that cannot come between."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Self

_GRACE = 5.0
_LOG_LINES = 20
_SIGNALS = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}


class Child:
    """A process in a group of its own, whose output goes to a file.

    Args:
        command: Its program and arguments.
        log: File that its output goes to.
        environment: Its variables.
        folder: Where it runs.
        pass_fds: Open files that it inherits.
        said: What it reads from its standard input, such as a secret, which is seen in no
            list of processes.
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
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                list(command),
                stdin=subprocess.PIPE if said else subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                cwd=folder,
                pass_fds=tuple(pass_fds),
                # Ctrl-C at the terminal reaches us alone; we end the children in order.
                start_new_session=True,
            )

        if self.process.stdin is not None:
            # One that has ended already says why in its log.
            with contextlib.suppress(BrokenPipeError), self.process.stdin as pipe:
                pipe.write(said)

    @property
    def status(self) -> int | None:
        """How it ended; None while it runs."""
        return self.process.poll()

    def last_lines(self) -> tuple[str, ...]:
        """Return the end of what it wrote, oldest line first."""
        try:
            with self.log.open("rb") as output:
                output.seek(max(0, self.log.stat().st_size - 16384))
                text = output.read().decode("utf-8", errors="replace")
        except OSError:
            return ()
        return tuple(line for line in text.splitlines() if line.strip())[-_LOG_LINES:]

    def end(self, grace: float = _GRACE) -> None:
        """End it and whatever it started: SIGTERM, and SIGKILL after *grace* seconds."""
        if self.process.poll() is None:
            self._signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(grace)
        # Its own children may outlive it, so the group is killed either way.
        self._signal(signal.SIGKILL)
        self.process.wait()

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)


class Interruptions:
    """Turns Ctrl-C and SIGTERM into KeyboardInterrupt, and can hold them back.

    Without this, SIGTERM would end us and leave the children; and a signal between the
    start of a child and our noting its id would leave that one. Outside the main thread,
    where no signal arrives, it does nothing.
    """

    def __init__(self) -> None:
        self.reason = ""
        self._shields = 0
        self._held = False
        self._previous: dict[signal.Signals, signal._HANDLER] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
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
            raise KeyboardInterrupt

    def ignore(self) -> None:
        """Hold signals back until the end of this object: everything is being ended."""
        self._shields += 1

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        self.reason = self.reason or _SIGNALS[signal.Signals(number)]
        if self._shields:
            self._held = True
            return
        raise KeyboardInterrupt
