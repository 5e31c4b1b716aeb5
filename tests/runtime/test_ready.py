"""Readiness: what counts as an answer."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.certificates import Certificates
from tests.conftest import start_server
from tests.runtime.conftest import unique_profile
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import StartError
from valkeyctl.render import render
from valkeyctl.runtime.material import Material
from valkeyctl.runtime.ready import as_probe, ask, showing, wait_until_ready


@contextmanager
def answering(*replies: bytes, secured: ssl.SSLContext | None = None) -> Iterator[Endpoint]:
    """Listen, and give each connection in turn the next reply; the last one for ever."""
    left = list(replies)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection, contextlib.suppress(OSError):
                    spoken = secured.wrap_socket(connection, True) if secured else connection
                    with spoken:
                        spoken.recv(64)
                        spoken.sendall(left.pop(0) if len(left) > 1 else left[0])

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


def test_a_server_with_users_that_loads_its_data_is_not_ready() -> None:
    """To who is not logged in it says NOAUTH, whatever it does; the probe is told LOADING."""
    with answering(b"+OK\r\n-LOADING server is loading\r\n") as endpoint:
        assert ask(as_probe(endpoint, auth=True)) == "loading"
    with answering(b"-WRONGPASS no such user\r\n+PONG\r\n") as endpoint:
        assert ask(as_probe(endpoint, auth=True)) == "ready"


def test_nobodys_password_is_sent_to_who_is_not_proven() -> None:
    """Whose certificate is not checked could be anybody: the probe's login is no secret."""
    heard = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                heard.append(connection.recv(1024))
                connection.sendall(b"+OK\r\n+PONG\r\n")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        port = server.getsockname()[1]

        answer = ask(Endpoint(port=port, username="admin", password="secret"))

        thread.join(5)
    assert answer == "ready"
    assert b"secret" not in heard[0]
    assert b"probe" in heard[0]


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


def test_a_server_that_insists_on_a_certificate_is_shown_its_own(tmp_path: Path) -> None:
    """Without one it is only known to listen, and not that it loads its data."""
    own, other = Certificates.make(tmp_path / "own"), Certificates.make(tmp_path / "other")
    artefacts = render(unique_profile(tls={"enabled": True, "auth_clients": "yes"}))
    files = {name: (own.folder / name).read_bytes() for name in ("server.crt", "server.key")}
    insisting = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(own.ca))
    insisting.load_cert_chain(own.folder / "server.crt", own.folder / "server.key")
    insisting.verify_mode = ssl.CERT_REQUIRED

    with answering(b"-LOADING server is loading\r\n", secured=insisting) as listening:
        plain = Endpoint(port=listening.port, tls=True)
        with showing(plain, artefacts, Material(files)) as shown:
            answers = [ask(one) for one in (shown, plain, other.endpoint(plain.port, shown=True))]

    assert answers == ["loading", "ready", "ready"]
    assert shown.cert_file
    assert not shown.cert_file.exists()
