"""A server for the length of one command: in a temporary folder, on loopback, keeping nothing.

However the command ends, SIGKILL included, the server ends with it: beside it runs a
`cat` of a pipe whose other end only this process holds, and when that is closed the whole
group is killed. The folder that a killed command leaves is removed by the
next one that makes one; see `trialfolder`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import psutil

from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import StartError, UsageError
from valkeyctl.runtime.binary import ServerBinary
from valkeyctl.runtime.directives import refusal, tail
from valkeyctl.runtime.processconf import OVERRIDDEN, server_path
from valkeyctl.runtime.ready import wait_until_ready
from valkeyctl.runtime.spawned import Spawned
from valkeyctl.runtime.trialfolder import trial_folder

_CONF, _LOG = "valkey.conf", "server.log"
_PATIENCE = 30.0
_ATTEMPTS = 3
_END_PATIENCE = 10.0
_PORT_TAKEN = "address already in use"
# The first word is the log, the others the server's command; `kill 0` is the own group, so
# no number of a process that has ended can be meant.
_SHELL = """
exec 3<&0
(cat <&3 >/dev/null; kill -KILL 0) &
"$@" >>"$0" 2>&1 </dev/null 3<&-
kill -KILL 0
"""
# What the address, the login or the end of the server depends on, or reads other files.
_OURS = OVERRIDDEN | frozenset(
    {
        *("cluster-enabled", "include", "loadmodule", "protected-mode", "replicaof"),
        *("requirepass", "slaveof", "supervised", "unixsocketperm", "user"),
    }
)


class Throwaway:
    """A standalone server with *settings*, without persistence unless they ask for it.

    Args:
        binary: The server.
        settings: Directives of valkey.conf and their values.

    Attributes:
        endpoint: Where it listens.
        binary: As given.

    Raises:
        UsageError: A setting is one that a throwaway server has of its own.
        StartError: It refuses a setting, or did not answer; carries its own words.
    """

    def __init__(self, binary: ServerBinary, settings: Mapping[str, str]) -> None:
        for name in settings:
            if name in _OURS:
                raise UsageError(
                    f"{name} cannot be set on a server that is started for a run",
                    hint="Deploy a server with it, and give its profile or --url",
                )
        self.binary = binary
        self._settings = {"save": "", "appendonly": "no", **settings}
        self._process: subprocess.Popen[bytes] | None = None
        self._rest = contextlib.ExitStack()
        self._folder = self._rest.enter_context(trial_folder())
        try:
            self.endpoint = self._start_anywhere()
        except BaseException:  # Ctrl-C too: nothing half-started may stay
            self.close()
            raise

    def start(self) -> None:
        """Start it again where it was; does nothing when it runs.

        Raises:
            StartError: It did not answer; carries its own words.
        """
        if self._process is None:
            self._start(self.endpoint)

    def kill(self) -> None:
        """End it at once, and all that it held with it; `start` brings it back, empty."""
        process = self._process
        if process is None:
            return
        server = self._server()
        self._process = None
        # One that was asked for its status has no number any more; its group ended before.
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
        if process.stdin is not None:
            process.stdin.close()
        process.wait()
        # A large server gives its memory back before its port: `start` needs the port.
        if server is not None:
            _await_end(server)

    def pause(self) -> None:
        """Let it stand still until `resume`: its port takes connections, and nobody answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on; does nothing when it was not paused."""
        self._signal(signal.SIGCONT)

    def trouble(self) -> str:
        """Return why it has ended by itself; empty while it runs, or after `kill`."""
        process = self._process
        if process is None or process.poll() is None:
            return ""
        return self._last_words()

    def close(self) -> None:
        """End it and remove its folder; closing again changes nothing."""
        self.kill()
        self._rest.close()

    def _signal(self, number: signal.Signals) -> None:
        # To the server alone: the `cat` beside it must always notice our end.
        server = self._server()
        if server is not None:
            with contextlib.suppress(psutil.Error):
                server.send_signal(number)

    def _server(self) -> psutil.Process | None:
        """Return the process of the server; None when it does not run."""
        file = server_path(self._folder / _CONF)
        if self._process is None:
            return None
        with contextlib.suppress(psutil.Error):
            for child in psutil.Process(self._process.pid).children():
                with contextlib.suppress(psutil.Error):
                    if child.cmdline()[1:2] == [file]:
                        return child
        return None

    def _start_anywhere(self) -> Endpoint:
        for attempt in range(1, _ATTEMPTS + 1):
            endpoint = Endpoint(port=_free_port())
            try:
                self._start(endpoint)
            except StartError as error:
                taken = any(_PORT_TAKEN in line.lower() for line in error.log)
                if attempt == _ATTEMPTS or not taken:
                    raise
                self.kill()
            else:
                return endpoint
        raise AssertionError("the last attempt raises")

    def _start(self, endpoint: Endpoint) -> None:
        file, log = self._folder / _CONF, self._folder / _LOG
        file.write_text(_conf(endpoint, self._folder, self._settings), encoding="utf-8")
        log.write_bytes(b"")
        try:
            self._process = process = subprocess.Popen(
                ["/bin/sh", "-c", _SHELL, str(log), str(self.binary.path), server_path(file)],
                cwd=self._folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            raise StartError(f"cannot start {self.binary}: {error.strerror or error}") from error
        wait_until_ready(endpoint, patience=_PATIENCE, check=lambda: self._check(process))
        server = self._server()
        birth = 0.0 if server is None else server.create_time()
        if server is None or not Spawned(server.pid, birth).listens_on(endpoint.port):
            # Another process was faster; ours is about to end because of it.
            raise StartError(f"another server answers at {endpoint.address}", log=(_PORT_TAKEN,))

    def _check(self, process: subprocess.Popen[bytes]) -> None:
        """Raise the server's own words when it has ended."""
        if process.poll() is not None:
            raise StartError(
                f"{self.binary} does not start: {self._last_words()}",
                log=tail(self._said()),
                hint="Correct the server settings of the scenario or of the arm",
            )

    def _said(self) -> str:
        return (self._folder / _LOG).read_text(errors="replace")

    def _last_words(self) -> str:
        text = self._said()
        last = tail(text)
        return refusal(text) or (last[-1] if last else "it said nothing")


def _conf(endpoint: Endpoint, folder: Path, settings: Mapping[str, str]) -> str:
    ours = {
        "bind": endpoint.host,
        "port": str(endpoint.port),
        "dir": str(folder),
        "daemonize": "no",
        "logfile": "",
        "set-proc-title": "no",
    }
    return "".join(f"{name} {_quoted(value)}\n" for name, value in {**settings, **ours}.items())


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    # A directive of several words, such as `client-output-buffer-limit`, is written in full.
    return f'"{escaped}"' if not value or '"' in value or "\\" in value else value


def _await_end(server: psutil.Process) -> None:
    """Return when *server*, which was killed, is gone; it is no child of ours."""
    until = time.monotonic() + _END_PATIENCE
    with contextlib.suppress(psutil.Error):
        while server.is_running() and server.status() != psutil.STATUS_ZOMBIE:
            if time.monotonic() > until:
                return
            time.sleep(0.005)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
