"""A server process that outlives the command that started it, and is found again."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil

# What a server may see of our environment: nothing that could hold a secret.
_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH")
# psutil derives a birth from the boot time, which moves a little when the clock is set.
_BIRTH_TOLERANCE = 2.0
_KILL_PATIENCE = 10.0


@dataclass(frozen=True)
class Spawned:
    """A process, named so that a later one with the same number is not taken for it.

    Attributes:
        pid: Its number, which the system uses again after its end.
        birth: When it was started, in seconds since the epoch.
    """

    pid: int
    birth: float

    @property
    def alive(self) -> bool:
        """Whether this very process runs."""
        return self._process() is not None

    @property
    def listening(self) -> tuple[tuple[str, int], ...]:
        """Addresses and TCP ports that it listens on."""
        process = self._process()
        if process is None:
            return ()
        try:
            connections = process.net_connections(kind="tcp")
        except psutil.Error:
            return ()
        return tuple(
            (connection.laddr.ip, connection.laddr.port)
            for connection in connections
            if connection.status == psutil.CONN_LISTEN and connection.laddr
        )

    def listens_on(self, port: int) -> bool:
        """Say whether it listens on TCP *port*."""
        return any(number == port for _, number in self.listening)

    def end(self, grace: float) -> bool:
        """Ask it to end and wait *grace* seconds; False when it had to be killed."""
        return not end_all([self], grace)

    def kill(self) -> None:
        """End it at once, without a chance to save."""
        self._signal(signal.SIGKILL)
        self.gone_by(time.monotonic() + _KILL_PATIENCE)

    def pause(self) -> None:
        """Let it stand still until `resume`: its port takes connections, and nobody answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> bool:
        """Let it go on; False when it was not paused."""
        paused = self.paused
        self._signal(signal.SIGCONT)
        return paused

    @property
    def paused(self) -> bool:
        """Whether it stands still, by `pause` or by somebody's SIGSTOP."""
        process = self._process()
        with contextlib.suppress(psutil.NoSuchProcess):
            return process is not None and process.status() == psutil.STATUS_STOPPED
        return False

    def ask_to_end(self) -> None:
        """Ask it to save and end; return at once."""
        self._signal(signal.SIGTERM)
        # One that a drill has left paused would not hear of it before its time is up.
        self._signal(signal.SIGCONT)

    def gone_by(self, until: float) -> bool:
        """Wait for its end; False when it has not ended at *until*, of `time.monotonic`."""
        pause = 0.005
        while self.alive:
            left = until - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(pause, left))
            pause = min(pause * 1.5, 0.1)
        return True

    def _signal(self, number: signal.Signals) -> None:
        process = self._process()
        if process is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def _process(self) -> psutil.Process | None:
        try:
            process = psutil.Process(self.pid)
            if abs(process.create_time() - self.birth) > _BIRTH_TOLERANCE:
                return None
            if process.status() == psutil.STATUS_ZOMBIE and _buried(process):
                return None
        except psutil.Error:  # gone, or somebody else's
            return None
        return process


def end_all(processes: Sequence[Spawned], grace: float) -> list[Spawned]:
    """Ask *processes* to end, all at once, and return those that had to be killed.

    Args:
        processes: Of servers, which save before they end.
        grace: Seconds that they are waited for.
    """
    for process in processes:
        process.ask_to_end()
    until = time.monotonic() + grace
    try:
        late = [process for process in processes if not process.gone_by(until)]
    except BaseException:
        # They were told to end and will: who handles the Ctrl-C must not find them running.
        until = time.monotonic() + grace
        for process in processes:
            process.gone_by(until)
        raise
    for process in late:
        process.kill()
    return late


def spawn(command: Sequence[str | Path], folder: Path, log: IO[bytes]) -> Spawned:
    """Start *command* in *folder*, detached from this process and its terminal.

    Raises:
        OSError: It cannot be run.
    """
    environ = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        # A server rewrites its configuration, with the password for its primary in it.
        umask=0o077,
    )
    try:
        birth = psutil.Process(process.pid).create_time()
    except psutil.NoSuchProcess:
        birth = time.time()
    except BaseException:
        process.kill()
        process.wait()
        raise
    # It outlives us: Popen must not warn about it; `Spawned` buries it if we stay longer.
    process.returncode = 0
    return Spawned(process.pid, birth)


def running_with(arguments: Collection[str]) -> dict[str, Spawned]:
    """Return the processes that `spawn` started with one of *arguments*, by that argument.

    All processes are looked through, which takes a while: ask for several at once.
    """
    found: dict[str, Spawned] = {}
    for process in psutil.process_iter(["cmdline", "create_time"]) if arguments else ():
        # A process that ended meanwhile, or is not ours to see, has no command line.
        words = (process.info["cmdline"] or [])[1:]
        argument = next((word for word in words if word in arguments), None)
        if argument is None or argument in found:
            continue
        with contextlib.suppress(ProcessLookupError, PermissionError):
            # An editor that has the same file open leads no session of its own.
            if os.getsid(process.pid) == process.pid:
                spawned = Spawned(process.pid, process.info["create_time"])
                if spawned.alive:
                    found[argument] = spawned
    return found


def _buried(zombie: psutil.Process) -> bool:
    """Say whether nothing of *zombie* is left; an ended child of ours is waited for.

    The first thread of a server becomes a zombie before the others end, and until
    the last of them has ended its port is still taken.
    """
    try:
        return os.waitpid(zombie.pid, os.WNOHANG)[0] == zombie.pid
    except ChildProcessError:  # not ours: its own parent buries it
        return zombie.num_threads() <= 1
