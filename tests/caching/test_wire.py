"""The blocking connection for bulk work."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from tests.caching.conftest import MortalServer
from tests.conftest import free_port
from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import (
    AuthError,
    DeadlineError,
    ServerReplyError,
    TlsError,
    UnreachableError,
)


def test_importing_it_loads_neither_an_event_loop_nor_redis_py() -> None:
    """A command line tool pays for what it uses."""
    program = (
        "import sys, valkeyctl.caching.wire;"
        "print([name for name in ('asyncio', 'redis', 'ssl', 'structlog') if name in sys.modules])"
    )

    shown = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )

    assert shown.stdout.strip() == "[]"


def test_a_call_returns_bytes_integers_lists_and_none(endpoint: Endpoint) -> None:
    """RESP2 as it comes; words may be text, bytes and numbers."""
    with Wire(endpoint) as wire:
        assert wire.call("SET", "k", 1.5) == b"OK"
        assert wire.call("GET", b"k") == b"1.5"
        assert wire.call("INCRBY", "n", 41) == 41
        assert wire.call("GET", "gone") is None
        assert wire.call("MGET", "k", "gone") == [b"1.5", None]


def test_a_url_database_is_selected(endpoint: Endpoint) -> None:
    """Databases 0 and 5 do not see each other."""
    with Wire(endpoint) as zero, Wire(replace(endpoint, db=5)) as five:
        five.call("SET", "k", "v")

        assert zero.call("GET", "k") is None


def test_a_huge_pipeline_neither_deadlocks_nor_mixes_answers(endpoint: Endpoint) -> None:
    """Far more bytes than any socket buffer, both ways, with the commands drawn lazily."""
    drawn = 0

    def commands() -> Iterator[tuple[str, str]]:
        nonlocal drawn
        for n in range(20_000):
            drawn += 1
            yield ("ECHO", f"{n}:" + "x" * 2000)

    with Wire(endpoint) as wire:
        answers = wire.pipeline(commands())

    assert drawn == 20_000
    assert all(
        isinstance(answer, bytes) and answer.startswith(b"%d:" % n)
        for n, answer in enumerate(answers)
    )


def test_answers_larger_than_every_buffer_arrive_whole(endpoint: Endpoint) -> None:
    """Eight answers of 8 MiB each, asked for in one write."""
    with Wire(endpoint) as wire:
        wire.call("SET", "big", b"x" * (8 << 20))

        answers = wire.pipeline([("GET", "big")] * 8)

    assert [len(answer) for answer in answers if isinstance(answer, bytes)] == [8 << 20] * 8


def test_a_pipeline_keeps_error_replies_in_place(endpoint: Endpoint) -> None:
    """The connection stays in step after them."""
    with Wire(endpoint) as wire:
        first, bad, last = wire.pipeline([("SET", "k", "v"), ("INCR", "k"), ("GET", "k")])

        assert (first, last) == (b"OK", b"v")
        assert isinstance(bad, ServerReplyError)
        assert wire.call("PING") == b"PONG"


def test_a_pipeline_left_early_never_leaks_its_answers(endpoint: Endpoint) -> None:
    """When the source of the commands fails, the connection is closed, not out of step."""

    def failing() -> Iterator[tuple[str, str]]:
        for n in range(3000):
            yield ("ECHO", f"not yours {n}")
        raise LookupError("no more input")

    with Wire(endpoint) as wire:
        with pytest.raises(LookupError):
            wire.pipeline(failing())

        with pytest.raises(UnreachableError, match="closed"):
            wire.call("PING")


def test_an_error_inside_an_answer_is_raised(endpoint: Endpoint) -> None:
    """EXEC hides them in its list."""
    with Wire(endpoint) as wire:
        wire.call("SET", "k", "v")
        wire.pipeline([("MULTI",), ("INCR", "k")])

        with pytest.raises(ServerReplyError, match="not an integer"):
            wire.call("EXEC")


def test_info_is_a_mapping(endpoint: Endpoint) -> None:
    """Under the server's names, sections dropped."""
    with Wire(endpoint) as wire:
        assert wire.info("server")["tcp_port"] == str(endpoint.port)
        assert "used_memory" in wire.info()


def test_credentials_are_used_and_never_shown(
    mortal_server: Callable[..., MortalServer],
) -> None:
    """The right password works; the wrong one is an AuthError without it."""
    endpoint = mortal_server("--requirepass", "right").endpoint

    with Wire(replace(endpoint, password="right")) as wire:
        assert wire.call("PING") == b"PONG"
    with Wire(replace(endpoint, username="default", password="right")) as wire:
        assert wire.call("PING") == b"PONG"
    with pytest.raises(AuthError) as wrong, Wire(replace(endpoint, password="wr0ng-secret")):
        pass
    with pytest.raises(AuthError, match="NOAUTH"), Wire(endpoint) as wire:
        wire.call("PING")

    assert "wr0ng-secret" not in str(wrong.value)


def test_a_refused_port_is_unreachable() -> None:
    """The message says which address and why."""
    endpoint = Endpoint(port=free_port())

    with pytest.raises(UnreachableError, match=f"{endpoint.address}.*refused"):
        Wire(endpoint).open()


def test_a_frozen_server_costs_the_timeout(server: MortalServer) -> None:
    """Silence ends in a DeadlineError, and the connection is not used again."""
    with Wire(server.endpoint, timeout=0.05) as wire:
        server.freeze()
        began = time.monotonic()

        with pytest.raises(DeadlineError, match="after 50 ms"):
            wire.call("PING")

        assert time.monotonic() - began < 0.5
        with pytest.raises(UnreachableError, match="closed"):
            wire.call("PING")


def test_a_server_that_ends_is_unreachable(server: MortalServer) -> None:
    """The end of file says so at once, without waiting for the timeout."""
    with Wire(server.endpoint) as wire:
        server.kill()

        with pytest.raises(UnreachableError):
            wire.call("PING")


def test_a_call_before_opening_is_unreachable() -> None:
    """Nothing is connected behind the caller's back."""
    with pytest.raises(UnreachableError, match="closed"):
        Wire(Endpoint()).call("PING")


def answer_with(data: bytes) -> Endpoint:
    """Return where one connection gets *data* as the answer to whatever it sends."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(ConnectionError), listener, listener.accept()[0] as connection:
            connection.recv(1000)
            connection.sendall(data)
            while connection.recv(65_536):
                pass  # closed with something unread, it would take its answer back

    threading.Thread(target=serve, daemon=True).start()
    return Endpoint(port=listener.getsockname()[1])


def test_another_protocol_is_unreachable() -> None:
    """A web server on the port is named as what it is: not ours."""
    endpoint = answer_with(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with Wire(endpoint) as wire, pytest.raises(UnreachableError, match="does not speak"):
        wire.call("PING")


def test_an_answer_nobody_asked_for_ends_the_connection() -> None:
    """Every later answer would belong to another command."""
    endpoint = answer_with(b"+PONG\r\n+PONG\r\n")

    with Wire(endpoint) as wire, pytest.raises(UnreachableError, match="no command"):
        wire.call("PING")


def test_a_command_may_be_sent_in_parts(endpoint: Endpoint) -> None:
    """Its value need never be held whole, and little of it waits to be sent."""
    with Wire(endpoint) as wire:
        wire.feed(b"*3\r\n$3\r\nSET\r\n$4\r\nlong\r\n$40000000\r\n")
        for _ in range(40):
            wire.feed(b"x" * 1_000_000)
            assert len(wire._outgoing) <= 256 * 1024
        wire.post(b"\r\n", 1)

        assert wire.collect() == [b"OK"]
        assert wire.call("STRLEN", "long") == 40_000_000


def test_a_part_of_a_command_that_is_answered_ends_the_connection() -> None:
    """The server refuses it, and would take the rest of it for other commands."""
    endpoint = answer_with(b"-ERR Protocol error: invalid bulk length\r\n")

    with Wire(endpoint) as wire:
        with pytest.raises(ServerReplyError, match="invalid bulk length"):
            wire.feed(b"x" * 50_000_000)
        with pytest.raises(UnreachableError, match="closed"):
            wire.call("PING")


def test_plain_text_against_tls_is_a_tls_error() -> None:
    """The port answers, but not with a handshake."""
    endpoint = replace(answer_with(b"-ERR what\r\n"), tls=True)

    with pytest.raises(TlsError, match="handshake"):
        Wire(endpoint, timeout=1).open()


@pytest.mark.skipif(not Path("/usr/bin/valkey-server").exists(), reason="needs a TLS server")
def test_tls_is_spoken_and_verified(tls_server: Endpoint) -> None:
    """The right CA lets in; the system's CAs do not know ours."""
    with Wire(tls_server) as wire:
        wire.call("SET", "big", b"x" * (1 << 20))
        answers = wire.pipeline([("GET", "big")] * 5)
        assert [len(answer) for answer in answers if isinstance(answer, bytes)] == [1 << 20] * 5

    with pytest.raises(TlsError):
        Wire(replace(tls_server, ca_file=None)).open()
    with pytest.raises(TlsError, match="No such file"):
        Wire(replace(tls_server, ca_file=Path("/nowhere/ca.pem"))).open()
