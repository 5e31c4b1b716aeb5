"""Whether an application counts its origin's calls, asked before a run that needs it."""

from __future__ import annotations

import socket
import time

import pytest

from tests.bench.load.scripted import Scripted, always, request
from tests.conftest import free_port
from valkeyctl.bench.load.answers import ORIGIN_CALLS
from valkeyctl.bench.plan import Plan
from valkeyctl.bench.services import counters
from valkeyctl.bench.services.counters import check_counters
from valkeyctl.bench.services.target import Target
from valkeyctl.errors import UsageError

GATE = "origin_calls<10"
PAGE = f"{ORIGIN_CALLS} 3\n".encode()
COUNTS = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(PAGE), PAGE)
NO_PAGE = b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"


def drips_for_ever(connection: socket.socket) -> None:
    """Send a page a byte at a time, without an end."""
    request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        connection.sendall(b"#")
        time.sleep(0.01)


def check(url: str) -> None:
    """Ask the application at *url*."""
    check_counters(GATE, Plan.of(users=1), Target(url=url))


def test_who_counts_and_who_does_not() -> None:
    """One without the page, or without the counter, is refused by name."""
    with Scripted(always(COUNTS)) as server:
        check(server.url)
    with Scripted(always(NO_PAGE)) as server, pytest.raises(UsageError, match="does not count"):
        check(server.url)


def test_who_does_not_answer_is_left_to_the_run() -> None:
    """Which says it in words of its own."""
    check(f"http://127.0.0.1:{free_port()}")


def test_a_page_without_an_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the time that the whole page has, not that of each of its bytes."""
    monkeypatch.setattr(counters, "_TIMEOUT", 0.3)

    with Scripted(drips_for_ever) as server:
        begin = time.monotonic()
        check(server.url)

    assert time.monotonic() - begin < 3
