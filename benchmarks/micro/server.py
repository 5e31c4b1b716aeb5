"""The server that everything is measured on: ours alone, on the loopback interface."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.micro.cores import settle
from valkeyctl.caching.info import parse_info
from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import StartError, ValkeyctlError
from valkeyctl.runtime.binary import VARIABLE, find_binary

_PATIENCE = 10.0
_GRACE = 10.0
_SETTING_UP = frozenset(("auth", "hello", "readonly", "select"))
_TOTAL = "total_commands_processed"


@dataclass(frozen=True)
class Counts:
    """Commands that the server has run; those inside a script count like any other.

    Attributes:
        total: All of them, but INFO.
        calls: By command, such as ``get`` or ``client|setinfo``.
    """

    total: int
    calls: Mapping[str, int]

    def since(self, earlier: Counts) -> Counts:
        """Return what has run since *earlier*."""
        calls = {
            name: count - earlier.calls.get(name, 0)
            for name, count in self.calls.items()
            if count > earlier.calls.get(name, 0)
        }
        return Counts(self.total - earlier.total, calls)

    @property
    def setting_up(self) -> int:
        """How many of them only set a connection up."""
        return sum(
            count
            for name, count in self.calls.items()
            if name in _SETTING_UP or name.startswith("client|")
        )


class Server:
    """A running server, looked at over a connection of our own."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.port = endpoint.port
        self._wire = Wire(endpoint, timeout=120)
        self._wire.open()

    @property
    def version(self) -> str:
        """What it calls itself, such as ``valkey 9.1.2``."""
        info = self._wire.info("server")
        if "valkey_version" in info:
            return f"valkey {info['valkey_version']}"
        return f"redis {info.get('redis_version', 'unknown')}"

    def empty(self, filler: int = 0) -> None:
        """Delete everything, then store so many keys of nobody's, of 100 bytes each."""
        self._wire.call("FLUSHALL", "SYNC")
        if filler:
            self._wire.call("DEBUG", "POPULATE", filler, "filler", 100)

    def keys(self) -> int:
        """Return how many keys are stored."""
        return int(str(self._wire.call("DBSIZE")))

    def counts(self) -> Counts:
        """Return what has run since the server's start, our INFO calls left out."""
        # Both in one answer: others' commands may run between two.
        reply = self._wire.call("INFO", "stats", "commandstats")
        info = parse_info(reply) if isinstance(reply, bytes) else {}
        calls = {
            name.removeprefix("cmdstat_"): int(fields.split(",")[0].removeprefix("calls="))
            for name, fields in info.items()
            if name.startswith("cmdstat_")
        }
        return Counts(int(info[_TOTAL]) - calls.pop("info", 0), calls)

    def close(self) -> None:
        """Close our connection."""
        self._wire.close()


@contextlib.contextmanager
def running(path: Path | None, cores: frozenset[int]) -> Iterator[Server]:
    """Run *path*, or else the embedded server, on *cores* for as long as the block lasts.

    Raises:
        MissingError: There is no server to run.
        StartError: It ended, or did not answer in time.
    """
    binary = find_binary({VARIABLE: str(path)} if path else None).path
    with tempfile.TemporaryDirectory(prefix="valkeyctl-micro-") as folder:
        endpoint = Endpoint(port=_free_port())
        process = subprocess.Popen(
            [
                *(str(binary), "--port", str(endpoint.port), "--bind", endpoint.host),
                *("--dir", folder, "--save", "", "--appendonly", "no", "--maxmemory", "0"),
                *("--enable-debug-command", "local", "--logfile", "server.log"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C reaches us alone, and we end it in order
        )
        try:
            settle(process.pid, cores)
            server = _answering(process, endpoint, Path(folder, "server.log"))
            try:
                yield server
            finally:
                server.close()
        finally:
            process.terminate()
            try:
                process.wait(_GRACE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _answering(process: subprocess.Popen[bytes], endpoint: Endpoint, log: Path) -> Server:
    until = time.monotonic() + _PATIENCE
    while process.poll() is None and time.monotonic() < until:
        with contextlib.suppress(ValkeyctlError):
            return Server(endpoint)
        time.sleep(0.02)
    words = tuple(log.read_text(errors="replace").splitlines()[-5:]) if log.exists() else ()
    raise StartError(f"no server answers at {endpoint.address}", log=words)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
