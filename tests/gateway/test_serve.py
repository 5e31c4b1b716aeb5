"""The gateway as a process: its socket, its signals, its log."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import httpx
import pytest

from tests.conftest import free_port
from tests.gateway.asking import CHAT, question
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import PortTakenError, StartError
from valkeyctl.serving import listen

SCRIPT = """
import sys
from valkeyctl.endpoint import Endpoint
from valkeyctl.gateway.serve import serve
from valkeyctl.gateway.settings import GatewaySettings
serve(GatewaySettings(cache=Endpoint(port=int(sys.argv[1])), port=0, cache_budget=2.0,
                      speedup=float(sys.argv[2]), grace=float(sys.argv[3])))
"""


class Process:
    """A gateway in a process of its own."""

    def __init__(self, cache: int, speedup: float = 1000.0, grace: float = 10.0) -> None:
        self.popen = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(cache), str(speedup), str(grace)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.popen.stderr is not None
        self.lines: list[dict[str, object]] = []
        for line in self.popen.stderr:
            self.lines.append(json.loads(line))
            if self.lines[-1]["event"] == "ready":
                break
        else:
            raise RuntimeError(f"the gateway ended: {self.lines}")
        self.url = str(self.lines[-1]["url"])

    def ask(self, **fields: object) -> httpx.Response:
        return httpx.post(self.url + CHAT, json=question(**fields), timeout=20, trust_env=False)  # type: ignore[arg-type]

    def wait_for_the_call(self) -> None:
        """Return when the origin has been asked."""
        while "valkeyctl_origin_calls_total 1" not in self._metrics():
            pass

    def _metrics(self) -> str:
        return httpx.get(f"{self.url}/metrics", trust_env=False).text

    def end(self) -> tuple[int, str, list[dict[str, object]]]:
        """Wait for the end; return its status, its stdout and its last log lines."""
        out, err = self.popen.communicate(timeout=20)
        return self.popen.returncode, out, [json.loads(line) for line in err.splitlines()]


@pytest.fixture
def launch(endpoint: Endpoint) -> Iterator[Callable[..., Process]]:
    """Starts gateways, and ends what the test left."""
    started: list[Process] = []

    def run(**options: float) -> Process:
        process = Process(**{"cache": endpoint.port} | options)  # type: ignore[arg-type]
        started.append(process)
        return process

    yield run
    for process in started:
        process.popen.kill()
        process.popen.communicate()


def test_sigterm_finishes_the_requests_that_run(launch: Callable[..., Process]) -> None:
    """No new connection is taken, the running one gets its answer, and the status is 0."""
    process = launch(speedup=2.0)
    answers: list[httpx.Response] = []
    asking = threading.Thread(target=lambda: answers.append(process.ask(max_tokens=60)))
    asking.start()
    process.wait_for_the_call()

    process.popen.send_signal(signal.SIGTERM)
    status, out, log = process.end()
    asking.join()

    assert (status, out) == (0, "")
    assert [answer.status_code for answer in answers] == [200]
    assert log[-1]["event"] == "stopped"
    with pytest.raises(httpx.ConnectError):
        process.ask()


def test_requests_that_outlast_the_grace_are_cut_off(launch: Callable[..., Process]) -> None:
    """A stop ends, whatever runs."""
    process = launch(speedup=0.01, grace=1.0)

    def ask() -> None:
        with pytest.raises(httpx.HTTPError):
            process.ask().raise_for_status()

    asking = threading.Thread(target=ask)
    asking.start()
    process.wait_for_the_call()
    process.popen.send_signal(signal.SIGTERM)

    status, _, _ = process.end()
    asking.join()

    assert status == 0


def test_ctrl_c_stops_it_too(launch: Callable[..., Process]) -> None:
    """At a terminal it is the way to end a server."""
    process = launch()
    process.popen.send_signal(signal.SIGINT)

    status, out, log = process.end()

    assert (status, out) == (0, "")
    assert log[-1]["event"] == "stopped"


def test_all_that_it_writes_is_json_on_stderr(launch: Callable[..., Process]) -> None:
    """The library's lines and uvicorn's warnings too."""
    process = launch(cache=free_port())
    with socket.create_connection(("127.0.0.1", int(process.url.rpartition(":")[2]))) as raw:
        raw.sendall(b"this is no http\r\n\r\n")
        raw.recv(100)
    assert process.ask().status_code == 200
    process.popen.send_signal(signal.SIGTERM)

    _, out, log = process.end()

    events = {line["event"] for line in process.lines + log}
    assert {"ready", "request", "cache_unreachable", "stopped"} <= events
    assert any("Invalid HTTP request" in str(event) for event in events)
    assert all(line["service"] == "valkeyctl-gateway" for line in process.lines + log)
    assert out == ""


def test_a_taken_port_is_told_in_one_sentence() -> None:
    """Status 5 and a way out, from the socket and not from uvicorn."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]

        with pytest.raises(PortTakenError) as caught:
            listen("127.0.0.1", port)

    assert str(port) in str(caught.value)
    assert "--port" in (caught.value.hint or "")


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid"])
def test_an_address_of_another_machine_cannot_be_listened_on(host: str) -> None:
    """It is said which, and why."""
    with pytest.raises(StartError) as caught:
        listen(host, 0)

    assert host in str(caught.value)


def test_it_listens_on_ipv6() -> None:
    """The family follows from the address."""
    with listen("::1", 0) as listener:
        assert listener.family == socket.AF_INET6


def test_a_gateway_ends_with_the_process_that_started_it(endpoint: Endpoint) -> None:
    """A benchmark that is killed leaves no gateway behind."""
    starter = (
        "import os, subprocess, sys, time\n"
        "words = [sys.executable, '-m', 'valkeyctl', 'gateway', 'serve', '--port', '0']\n"
        "words += ['--app', 't', '--parent', str(os.getpid())]\n"
        "subprocess.Popen(words, stderr=sys.stderr)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", starter],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "VALKEYCTL_URL": endpoint.url()},
    )
    assert parent.stderr is not None
    while json.loads(parent.stderr.readline())["event"] != "ready":
        pass

    parent.kill()
    last = [json.loads(line)["event"] for line in parent.stderr]  # ends when both have ended
    parent.wait()
    parent.stderr.close()

    assert last[-1] == "stopped"
