"""Proof that a server can load an RDB: a throwaway run of one, without a port.

The RDB goes to it through a pipe with the name of its file, so that a decrypted backup
never lies on a disk, and none is copied.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from valkeyctl.errors import StartError
from valkeyctl.runtime.binary import ServerBinary
from valkeyctl.runtime.directives import tail
from valkeyctl.runtime.processconf import server_path
from valkeyctl.runtime.trialfolder import trial_folder

# Seconds in which the server takes no byte, or says nothing, until it counts as hanging.
_PATIENCE = 60.0
_PAUSE = 0.01
_INFO = b"*1\r\n$4\r\nINFO\r\n"
_COMPLAINTS = ("can't handle", "can't load", "wrong signature", "error", "fatal", "unknown")
# Loaded as a replica's, whose primary never answers: a primary would leave out what has
# expired since, and the count could not be compared. Nothing listens on port 1.
LOAD_OPTIONS = (
    *("--port", "0", "--save", "", "--appendonly", "no", "--daemonize", "no", "--logfile", ""),
    *("--dbfilename", "dump.rdb", "--maxmemory", "0", "--replicaof", "127.0.0.1 1"),
)
# As many as a profile may ask for.
MOST_DATABASES = 1024


class Sink:
    """Takes the bytes of an RDB for a server that loads it.

    Args:
        handle: Of the writing end of a pipe; it must not block.
        check: Called when the server hangs up; raises why it ended.
    """

    def __init__(self, handle: int, check: Callable[[], None]) -> None:
        self._handle = handle
        self._check = check

    def write(self, data: bytes, /) -> int:
        """Take all of *data*.

        Raises:
            StartError: The server has ended, or takes nothing any more.
        """
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self._handle, rest) :]
            except BlockingIOError:
                watch = select.poll()
                watch.register(self._handle, select.POLLOUT)
                if not watch.poll(_PATIENCE * 1000):
                    raise StartError(f"the server read nothing for {_PATIENCE:g} s") from None
            except BrokenPipeError as error:
                self._check()
                raise StartError("the server stopped reading before the end") from error
        return len(data)


Pour = Callable[[Sink], object]
"""Writes a whole RDB to a sink."""


@dataclass(frozen=True)
class Loaded:
    """What a server found in an RDB.

    Attributes:
        server: Which one it was, for a person.
        keys: By database; keys that have expired since are counted too.
        data_bytes: Memory that the data took.
    """

    server: str
    keys: Mapping[str, int]
    data_bytes: int

    @property
    def total(self) -> int:
        """Keys in all databases."""
        return sum(self.keys.values())


def load_in_process(binary: ServerBinary, pour: Pour, *, databases: int = MOST_DATABASES) -> Loaded:
    """Return what *binary* finds in the RDB that *pour* writes.

    Args:
        binary: The server to try.
        pour: Called once.
        databases: How many it has.

    Raises:
        StartError: It cannot load it; carries its own words. Also whatever *pour* raises.
    """
    with trial_folder() as folder:
        log, pipe, talk = folder / "log", folder / "dump.rdb", folder / "s"
        os.mkfifo(pipe, 0o600)
        with log.open("wb") as output:
            server = subprocess.Popen(
                [
                    *(binary.path, *LOAD_OPTIONS, "--databases", str(databases)),
                    *("--dir", server_path(folder), "--unixsocket", str(talk)),
                ],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

        def check() -> None:
            # A server that closed its pipe is about to end, and to say why.
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(timeout=2.0 if server.poll() is None else 0)
            if server.poll() is not None:
                raise cannot_load(binary, log.read_text(errors="replace"))

        try:
            handle = _opened(pipe, server, check)
            try:
                pour(Sink(handle, check))
            finally:
                os.close(handle)
            info = _answer(server, talk, pipe, check)
        finally:
            server.kill()
            server.wait()
    return found_in(info, str(binary))


def cannot_load(server: object, output: str) -> StartError:
    """Return the failure of a *server* that said *output* and ended instead of loading."""
    lines = tail(output, 40)
    bodies = [line.partition(" # ")[2] for line in lines]
    telling = [
        body
        for body in bodies
        if any(word in body.lower() for word in _COMPLAINTS) and "overcommit" not in body
    ]
    # The first says what is wrong; later ones say that it ends because of it.
    why = telling[0] if telling else (lines[-1] if lines else "it ended without a word")
    return StartError(f"{server} cannot load it: {why}", log=lines[-10:])


def found_in(info: str, server: str) -> Loaded:
    """Return what INFO, *info*, says of the data that was loaded."""
    fields = dict(line.split(":", 1) for line in info.splitlines() if ":" in line)
    keys = {
        name.removeprefix("db"): int(text.partition("keys=")[2].partition(",")[0])
        for name, text in fields.items()
        if name[:2] == "db" and name[2:].isdigit()
    }
    used, empty = int(fields["used_memory"]), int(fields["used_memory_startup"])
    return Loaded(server, keys, max(0, used - empty))


def _opened(pipe: Path, server: subprocess.Popen[bytes], check: Callable[[], None]) -> int:
    """Return the writing end of *pipe*, once the server reads the other."""
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        try:
            return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
        if server.poll() is not None:
            check()
        time.sleep(_PAUSE)
    raise StartError(f"the server did not begin to load within {_PATIENCE:g} s")


def _answer(
    server: subprocess.Popen[bytes], talk: Path, pipe: Path, check: Callable[[], None]
) -> str:
    """Return the INFO of the server when it has loaded all."""
    until = time.monotonic() + _PATIENCE
    listen = 0.03
    while time.monotonic() < until:
        if server.poll() is not None:
            check()
        # Valkey 8.0 opens the file once more when it has loaded it, and would wait for a
        # writer for ever.
        with contextlib.suppress(OSError):
            os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC))
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_PATIENCE)
            connection.connect(str(talk))
            # One that is stuck at its second opening takes connections and says nothing.
            connection.settimeout(listen)
            listen = min(listen * 1.5, 1.0)
            connection.sendall(_INFO)
            with connection.makefile("rb") as reply:
                info = _bulk(reply)
            if "\nloading:0" in info:  # not async_loading
                return info
            if info:
                until = time.monotonic() + _PATIENCE
        time.sleep(_PAUSE)
    raise StartError(f"the server did not answer within {_PATIENCE:g} s after it had all data")


def _bulk(reply: IO[bytes]) -> str:
    """Return a bulk answer; empty when it is another one, such as -LOADING."""
    head = reply.readline()
    if not head.startswith(b"$"):
        return "" if not head.startswith(b"-LOADING") else "loading"
    size = int(head[1:])
    return reply.read(size + 2)[:size].decode(errors="replace")
