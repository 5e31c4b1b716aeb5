"""Readiness: what counts as an answer."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import start_server
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import StartError
from valkeyctl.runtime.ready import ask, wait_until_ready


@contextmanager
def answering(*replies: bytes) -> Iterator[Endpoint]:
    """Listen, and give each connection in turn the next reply; the last one for ever."""
    left = list(replies)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(64)
                    connection.sendall(left.pop(0) if len(left) > 1 else left[0])

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield Endpoint(port=server.getsockname()[1])
        server.shutdown(socket.SHUT_RDWR)
        thread.join(5)


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        (b"+PONG\r\n", "ready"),
        (b"-NOAUTH Authentication required.\r\n", "ready"),
        (b"-LOADING server is loading the dataset in memory\r\n", "loading"),
        (b"HTTP/1.1 400 Bad Request\r\n", "silent"),
        (b"", "silent"),
    ],
)
def test_only_a_servers_answer_counts(reply: bytes, answer: str) -> None:
    """PONG and NOAUTH are ready, LOADING is not yet, anything else is no server."""
    with answering(reply) as endpoint:
        assert ask(endpoint) == answer


def test_a_port_that_only_accepts_is_silent() -> None:
    """A TCP connect alone proves nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert ask(Endpoint(port=server.getsockname()[1]), timeout=0.05) == "silent"


def test_a_frozen_server_is_silent(tmp_path: Path) -> None:
    """The kernel goes on accepting connections for a stopped process."""
    process, endpoint = start_server(tmp_path)
    os.kill(process.pid, signal.SIGSTOP)

    answer = ask(endpoint, timeout=0.05)
    process.kill()
    process.wait()

    assert answer == "silent"


def test_waiting_goes_on_while_the_server_loads() -> None:
    """LOADING is waited out beyond the patience for a silent server."""
    loading = b"-LOADING server is loading\r\n"
    with answering(loading, loading, loading, b"+PONG\r\n") as endpoint:
        assert wait_until_ready(endpoint, patience=0.0, check=lambda: None) > 0


def test_waiting_for_a_silent_server_ends() -> None:
    """The message names the address and the time, measured by the clock it was given."""
    times = iter([0.0, 0.1, 30.5])
    with answering(b"") as endpoint, pytest.raises(StartError, match=r"after 30\.5 s"):
        wait_until_ready(endpoint, patience=30, check=lambda: None, clock=lambda: next(times))


def test_a_server_over_tls_is_asked_in_tls() -> None:
    """A plain answer to a TLS question is no answer."""
    with answering(b"+PONG\r\n") as endpoint:
        assert ask(Endpoint(port=endpoint.port, tls=True)) == "silent"
