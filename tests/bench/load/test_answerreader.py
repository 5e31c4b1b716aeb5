"""Answers that real servers send and that are easy to read wrongly."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator

import pytest

from tests.bench.load.scripted import OK, Scripted, always, answers, request
from valkeyctl.bench.load.address import Address
from valkeyctl.bench.load.client import Client
from valkeyctl.bench.load.streams import told

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
Made = tuple[bytes, bytes, bytes]


@pytest.fixture
def clients() -> Iterator[list[Client]]:
    """Clients to close after the test."""
    made: list[Client] = []
    yield made
    for client in made:
        client.close()


def client_of(clients: list[Client], server: Scripted) -> Client:
    """Return a client that gives up within the test's time."""
    clients.append(Client(Address.of(server.url), timeout=2.0))
    return clients[-1]


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
def test_a_length_of_what_is_not_sent_is_not_waited_for(
    clients: list[Client], status: bytes
) -> None:
    """A 304 may say how long the body would be (RFC 9110, 8.6); it ends with its head."""
    reply = b"HTTP/1.1 " + status + b"\r\nContent-Length: 500\r\n\r\n"
    with Scripted(always(reply)) as server:
        client = client_of(clients, server)

        done = [client.ask(GET, patience=5) for _ in range(2)]

        assert server.seen == 1
    assert [(one.error, one.status, one.size) for one in done] == [(None, int(status[:3]), 0)] * 2


def test_trailers_are_no_headers(clients: list[Client]) -> None:
    """They come when the body has been read, and change nothing of how it was read."""
    reply = (
        b"HTTP/1.1 200 OK\r\nX-Cache: hit\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n"
        b"X-Cache: miss\r\nContent-Type: text/event-stream\r\n\r\n"
    )
    with Scripted(always(reply)) as server:
        done = client_of(clients, server).ask(GET, patience=5)

    assert (done.error, done.body, done.outcome, done.arrivals) == (None, b"ok", "hit", None)
    assert told(done.body, done.arrivals).events == 0


def test_another_coding_ends_with_the_connection(clients: list[Client]) -> None:
    """Only chunks say where a body ends (RFC 9112, 6.3)."""
    reply = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nall of it"
    with Scripted(answers(reply)) as server:
        done = client_of(clients, server).ask(GET, patience=5)

    assert (done.error, done.body) == (None, b"all of it")


@pytest.mark.parametrize("more", [b"H", b"\x00", b"garbage", b"HTTP/1.1 200 OK\r\n"])
def test_what_follows_an_answer_is_not_the_next_one(clients: list[Client], more: bytes) -> None:
    """Neither a piece of an answer that nobody asked for, nor what is no answer at all."""
    with Scripted(always(OK + more), always()) as server:
        client = client_of(clients, server)
        done = [client.ask(GET, patience=5) for _ in range(2)]

        assert server.seen == 2
    assert [(one.error, one.body) for one in done] == [(None, b"ok")] * 2


def test_a_refusal_before_the_whole_request_is_heard(clients: list[Client]) -> None:
    """The server closes with the rest unread, which resets the connection behind its answer."""

    def refuse(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        connection.close()

    payload = b"POST / HTTP/1.1\r\nContent-Length: 9000000\r\n\r\n" + bytes(9_000_000)
    with Scripted(refuse) as server:
        client = client_of(clients, server)
        done = [client.ask(payload, patience=5) for _ in range(5)]

    assert [(one.error, one.status) for one in done] == [(None, 413)] * 5


def _made(rng: random.Random) -> Made:
    """Return an answer as bytes, its body, and how it is framed."""
    body = rng.randbytes(rng.choice((0, 1, 17, 1460, 5000, 70_000)))
    framing = rng.choice((b"length", b"chunked", b"close"))
    head = b"HTTP/1.1 200 OK\r\nX-Number: %d\r\n" % rng.randrange(10**9)
    if framing == b"length":
        return head + b"Content-Length: %d\r\n\r\n" % len(body) + body, body, framing
    if framing == b"close":
        return head + b"Connection: close\r\n\r\n" + body, body, framing
    chunks = []
    place = 0
    while place < len(body):
        size = rng.randrange(1, 9000)
        piece = body[place : place + size]
        chunks.append(b"%x;name=value\r\n%b\r\n" % (len(piece), piece))
        place += size
    return (
        head + b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(chunks) + b"0\r\n\r\n",
        body,
        framing,
    )


def test_bodies_are_the_servers_byte_for_byte(clients: list[Client]) -> None:
    """Two hundred answers of random length and framing, cut into packets at random places."""
    rng = random.Random(7)
    made = [_made(rng) for _ in range(200)]
    left = iter(made)
    cuts = random.Random(8)

    def script(connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while request(connection):
            reply, _, framing = next(left)
            edges = sorted(cuts.randrange(len(reply)) for _ in range(3))
            for low, high in zip([0, *edges], [*edges, len(reply)], strict=True):
                connection.sendall(reply[low:high])
            if framing == b"close":
                connection.shutdown(socket.SHUT_RDWR)
                return

    with Scripted(script) as server:
        client = client_of(clients, server)
        done = [client.ask(GET, patience=10) for _ in made]

    assert [one.error for one in done] == [None] * len(made)
    assert all(one.body == body for one, (_, body, _) in zip(done, made, strict=True))
