"""The client against a real socket whose other end does what real servers do."""

from __future__ import annotations

import gc
import socket
import ssl
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import gevent
import pytest

from tests.bench.load.scripted import (
    OK,
    Script,
    Scripted,
    always,
    answers,
    drip,
    request,
    reset,
    silent,
)
from tests.conftest import free_port
from valkeyctl.bench.load.address import Address
from valkeyctl.bench.load.client import Client
from valkeyctl.bench.load.connection import Connection
from valkeyctl.bench.load.exchange import MOST_BODY, Exchange
from valkeyctl.ops.tls.issue import init

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
MakeClient = Callable[..., Client]


@pytest.fixture
def client_of() -> Iterator[MakeClient]:
    """Make clients that are closed after the test."""
    made: list[Client] = []

    def make(
        url: str,
        *,
        timeout: float = 10.0,
        deadline: float = 60.0,
        trust: ssl.SSLContext | None = None,
    ) -> Client:
        made.append(Client(Address.of(url), timeout=timeout, deadline=deadline, trust=trust))
        return made[-1]

    yield make
    for client in made:
        client.close()


def exchanges(client: Client, *payloads: bytes) -> list[Exchange]:
    """Send one request after the other and return how they went."""
    return [client.ask(payload, patience=20) for payload in payloads]


def only(client_of: MakeClient, script: Script, payload: bytes = GET) -> Exchange:
    """Send one request to a server of *script*."""
    with Scripted(script) as server:
        return exchanges(client_of(server.url), payload)[0]


def test_a_connection_is_used_again(client_of: MakeClient) -> None:
    """Ten requests, one connection, and every answer's parts."""
    reply = b"HTTP/1.1 201 Made\r\nX-Cache: HIT\r\nContent-Length: 4\r\n\r\nbody"
    with Scripted(always(reply)) as server:
        client = client_of(server.url)

        done = exchanges(client, *[GET] * 10)

        assert (server.seen, client.connections) == (1, 1)
    for one in done:
        assert (one.error, one.status, one.outcome, one.body) == (None, 201, "HIT", b"body")
        assert one.size == 4
        assert one.end > one.start
        assert one.arrivals is None


def test_as_many_connections_as_requests_in_flight(client_of: MakeClient) -> None:
    """Five at once need five; five more need none."""
    done: list[Exchange] = []
    with Scripted(always()) as server:
        client = client_of(server.url)
        for expected in (5, 10):
            for _ in range(5):
                client.send(GET, done.append)
            while len(done) < expected:
                gevent.sleep(0.001)

        assert server.seen == 5
    assert {one.error for one in done} == {None}


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"6\r\nhello \r\n5\r\nworld\r\n0\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nX-Cache: miss\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world",
    ],
    ids=["length", "chunked", "early-hints"],
)
@pytest.mark.parametrize("pace", [always, drip])
def test_every_framing_at_any_pace(
    client_of: MakeClient, reply: bytes, pace: Callable[[bytes], Script]
) -> None:
    """Whole, and one byte a packet; the second request shows that nothing was left over."""
    with Scripted(pace(reply)) as server:
        done = exchanges(client_of(server.url), GET, GET)

        assert server.seen == 1
    assert [(one.error, one.status, one.body) for one in done] == [(None, 200, b"hello world")] * 2
    assert done[0].outcome is None


def test_a_body_without_a_length_ends_with_the_connection(client_of: MakeClient) -> None:
    """As HTTP/1.0 servers answer."""
    reply = b"HTTP/1.0 200 OK\r\n\r\nall of it"

    done = only(client_of, answers(reply))

    assert (done.error, done.status, done.body) == (None, 200, b"all of it")


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
def test_an_answer_without_a_body(client_of: MakeClient, status: bytes) -> None:
    """Neither waits for one."""
    with Scripted(always(b"HTTP/1.1 " + status + b"\r\n\r\n")) as server:
        done = exchanges(client_of(server.url), GET, GET)

        assert server.seen == 1
    assert [one.status for one in done] == [int(status[:3])] * 2


def test_the_answer_to_head_has_no_body(client_of: MakeClient) -> None:
    """Although its head says how long it would be."""
    done: list[Exchange] = []
    with Scripted(always(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n")) as server:
        client = client_of(server.url)
        for expected in (1, 2):
            client.send(GET.replace(b"GET", b"HEAD"), done.append, bodiless=True)
            while len(done) < expected:
                gevent.sleep(0.001)

        assert server.seen == 1
    assert [(one.error, one.status, one.size) for one in done] == [(None, 200, 0)] * 2


def test_redirects_are_answers(client_of: MakeClient) -> None:
    """One request is one sample."""
    reply = b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"

    assert only(client_of, always(reply)).status == 302


def test_a_body_larger_than_we_keep_is_counted_in_full(client_of: MakeClient) -> None:
    """Memory stays bounded."""
    size = MOST_BODY + 3_000_000
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size

    done = only(client_of, always(head + bytes(size)))

    assert (done.error, done.size, len(done.body)) == (None, size, MOST_BODY)


def test_a_large_request_is_sent_in_parts(client_of: MakeClient) -> None:
    """More than the socket's buffer takes at once, to a server that begins late."""
    body = bytes(range(256)) * 32_768
    came: list[bytes] = []
    read = threading.Event()

    def script(connection: socket.socket) -> None:
        read.wait(10)
        came.append(request(connection))
        connection.sendall(OK)

    done: list[Exchange] = []
    payload = b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    with Scripted(script) as server:
        client_of(server.url).send(payload, done.append)
        gevent.sleep(0.05)  # the client fills the buffers meanwhile
        read.set()
        while not done:
            gevent.sleep(0.001)

    assert (done[0].error, done[0].status) == (None, 200)
    assert came == [payload]


def test_an_answer_before_the_request_was_read(client_of: MakeClient) -> None:
    """It counts, and the connection is not used again, as the rest of the request is in it."""

    def script(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        # Not read any further: the client must not get rid of all before it has the answer.
        answered.wait(10)

    answered = threading.Event()
    body = bytes(20_000_000)
    with Scripted(script, always()) as server:
        client = client_of(server.url)
        done = exchanges(client, b"POST / HTTP/1.1\r\nContent-Length: 20000000\r\n\r\n" + body)
        answered.set()
        done += exchanges(client, GET)

        assert server.seen == 2
    assert [one.status for one in done] == [413, 200]


def test_a_refused_connection(client_of: MakeClient) -> None:
    """Every request says so, with the same words."""
    done = exchanges(client_of(f"http://127.0.0.1:{free_port()}"), GET, GET)

    assert [(one.error, one.status) for one in done] == [("connection refused", 0)] * 2


def test_a_name_that_nobody_has(client_of: MakeClient) -> None:
    """The lookup's failure is the request's."""
    done = exchanges(client_of("http://no..such"), GET)

    assert done[0].error == "the name no..such cannot be looked up"


def _reset_in_the_middle(connection: socket.socket) -> None:
    request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf")
    time.sleep(0.02)  # a reset overtakes what was sent right before
    reset(connection)


def _reset_at_once(connection: socket.socket) -> None:
    request(connection)
    reset(connection)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (_reset_in_the_middle, "connection reset by the server"),
        (_reset_at_once, "connection reset by the server"),
        (
            answers(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf"),
            "connection closed by the server in the middle of its answer",
        ),
        (
            answers(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"),
            "connection closed by the server in the middle of its answer",
        ),
        (answers(b""), "connection closed by the server before it answered"),
    ],
    ids=["reset", "reset-at-once", "half", "half-chunk", "nothing"],
)
def test_an_answer_that_breaks_off_is_an_error(
    client_of: MakeClient, script: Script, said: str
) -> None:
    """Its status too is forgotten, or half an answer could pass for a right one."""
    done = only(client_of, script)

    assert (done.error, done.status) == (said, 0)


@pytest.mark.parametrize(
    "reply",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    ],
    ids=["ssh", "length", "chunk", "upgrade"],
)
def test_what_is_not_http_is_an_error(client_of: MakeClient, reply: bytes) -> None:
    """And the connection is not used again."""
    with Scripted(always(reply), always()) as server:
        done = exchanges(client_of(server.url), GET, GET)

        assert server.seen == 2
    assert (done[0].error or "").startswith("wrong HTTP: ")
    assert done[1].status == 200


def test_more_than_one_answer_ends_the_connection(client_of: MakeClient) -> None:
    """The second would be taken for the answer to the next request."""
    with Scripted(always(OK + OK)) as server:
        done = exchanges(client_of(server.url), GET, GET)

        assert server.seen == 2
    assert [one.error for one in done] == [None, None]


def test_an_idle_connection_that_was_closed_is_replaced(client_of: MakeClient) -> None:
    """Noticed while idle, so that the next request does not meet it."""
    with Scripted(answers(OK), always()) as server:
        client = client_of(server.url)
        exchanges(client, GET)
        while client.connections:
            gevent.sleep(0.001)

        again = exchanges(client, GET)[0]

        assert server.seen == 2
    assert (again.error, again.retried) == (None, False)


def test_a_request_that_meets_the_closing_is_sent_once_more(client_of: MakeClient) -> None:
    """Its time counts from the first try; a second closing is an error."""

    def closing(connection: socket.socket) -> None:
        for _ in range(2):
            request(connection)
            if _ == 0:
                connection.sendall(OK)
        reset(connection)

    with Scripted(closing, always()) as server:
        done = exchanges(client_of(server.url), GET, GET)

        assert server.seen == 2
    assert [(one.error, one.retried) for one in done] == [(None, False), (None, True)]

    with Scripted(closing, answers(b"")) as server:
        done = exchanges(client_of(server.url), GET, GET)

        assert server.seen == 2
    assert done[1].error == "connection closed by the server before it answered"


def test_closed_connections_are_freed_without_the_collector(client_of: MakeClient) -> None:
    """It is off while a stage is played, and some servers hang up after every answer."""
    alive: list[weakref.ref[Connection]] = []
    gc.disable()
    try:
        with Scripted(answers(OK)) as server:
            client = client_of(server.url)
            for _ in range(3):
                client.send(GET, lambda _: None)
                alive += [weakref.ref(one) for one in client._busy]
                while client.connections:
                    gevent.sleep(0.001)

        assert [one for one in alive if one() is not None] == []
    finally:
        gc.enable()


def test_silence_is_an_error_after_the_timeout(client_of: MakeClient) -> None:
    """A slow answer that keeps coming is none, however long it takes."""
    with Scripted(silent) as server:
        client = client_of(server.url, timeout=0.1)
        done = exchanges(client, GET)[0]

        assert client.connections == 0
    assert done.error == "no answer within 0.1 s"
    assert 0.1 <= done.end - done.start < 1.0

    def slow(connection: socket.socket) -> None:
        request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n")
        for _ in range(6):
            time.sleep(0.1)  # the silence that is allowed
            connection.sendall(b".")

    with Scripted(slow) as server:
        done = exchanges(client_of(server.url, timeout=0.5), GET)[0]
    assert (done.error, done.body) == (None, b"......")
    assert done.end - done.start >= 0.6


@pytest.mark.parametrize("head", [STREAM, b"HTTP/1.1 200 OK\r\nX-Filler: "], ids=["body", "head"])
def test_an_answer_without_an_end_has_one(client_of: MakeClient, head: bytes) -> None:
    """A byte now and then is no silence; the connection is given up with the request."""

    def endless(connection: socket.socket) -> None:
        request(connection)
        connection.sendall(head)
        while True:
            connection.sendall(b"1\r\nx\r\n" if head == STREAM else b"x")
            time.sleep(0.01)

    with Scripted(endless, always()) as server:
        client = client_of(server.url, deadline=0.3)

        dripped, right = exchanges(client, GET, GET)

        assert client.connections == 1
    assert dripped.error == "answer not ended within 0.3 s"
    assert 0.3 <= dripped.end - dripped.start < 1.5
    assert right.error is None


def test_a_stream_of_countless_pieces_takes_little_room() -> None:
    """Only its beginning is timed; all of it is kept, and counted."""
    exchange = Exchange(GET, lambda _: None, 0.0, bodiless=False)
    exchange.arrivals = []

    for number in range(20_000):
        exchange.take(b"x", float(number))

    assert (len(exchange.arrivals), exchange.size, len(exchange.body)) == (10_000, 20_000, 20_000)


def test_a_stream_notes_when_each_piece_came(client_of: MakeClient) -> None:
    """Each between its sending and that of the next one."""
    sent: list[float] = []
    done: list[Exchange] = []
    carried: list[Exchange] = []

    def script(connection: socket.socket) -> None:
        request(connection)
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
        connection.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n")
        for number in range(3):
            sent.append(time.perf_counter())
            connection.sendall(b"9\r\ndata: x\n\n\r\n")
            while not carried or len(carried[0].arrivals or ()) <= number:
                time.sleep(0.001)  # nothing tells another thread that it was read
        sent.append(time.perf_counter())
        connection.sendall(b"0\r\n\r\n")

    with Scripted(script) as server:
        client = client_of(server.url)
        client.send(GET, done.append)
        while not client._busy:
            gevent.sleep(0.001)
        carried += [one.exchange for one in client._busy if one.exchange is not None]
        while not done:
            gevent.sleep(0.001)

    assert done[0].error is None
    assert done[0].arrivals is not None
    assert [size for size, _ in done[0].arrivals] == [9, 18, 27]
    came = [moment for _, moment in done[0].arrivals]
    for before, now, after in zip(sent[:-1], came, sent[1:], strict=True):
        assert before <= now <= after


def test_ipv6(client_of: MakeClient) -> None:
    """With its address in brackets."""
    try:
        server = Scripted(always(), host="::1")
    except OSError:
        pytest.skip("there is no IPv6 here")
    with server:
        assert exchanges(client_of(server.url), GET)[0].status == 200


def test_the_next_address_of_a_name_is_tried(
    client_of: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``localhost`` is ::1 first, where many servers do not listen."""
    with Scripted(always()) as server:
        places = [
            (socket.AF_INET, 1, 6, "", ("127.0.0.1", free_port())),
            (socket.AF_INET, 1, 6, "", ("127.0.0.1", server.port)),
        ]
        monkeypatch.setattr("gevent.socket.getaddrinfo", lambda *_, **__: places)

        assert exchanges(client_of("http://twofold:1"), GET)[0].status == 200


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CA, and a certificate of it for 127.0.0.1."""
    folder = tmp_path_factory.mktemp("tls") / "made"
    init("bench", folder, ["127.0.0.1"])
    return folder


@pytest.fixture
def speaks_tls(certificates: Path) -> ssl.SSLContext:
    """What a server needs."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "server.crt", certificates / "server.key")
    return context


def test_tls_with_a_trusted_certificate(
    client_of: MakeClient, certificates: Path, speaks_tls: ssl.SSLContext
) -> None:
    """Large both ways, on one connection, which the server then closes."""
    size = 3_000_000
    reply = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + bytes(size)
    payload = b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % size + bytes(size)
    trust = ssl.create_default_context(cafile=certificates / "ca.crt")
    with Scripted(answers(reply, reply), always(), tls=speaks_tls) as server:
        client = client_of(server.url, trust=trust)
        done = exchanges(client, payload, payload)

        assert server.seen == 1
        done += exchanges(client, GET)
    assert [(one.error, one.size) for one in done] == [(None, size), (None, size), (None, 2)]


def test_tls_with_a_certificate_that_nobody_trusts(
    client_of: MakeClient, speaks_tls: ssl.SSLContext
) -> None:
    """Never sent: a request may hold a secret."""
    with Scripted(always(), tls=speaks_tls) as server:
        done = exchanges(client_of(server.url), GET)[0]

    assert (done.error or "").startswith("TLS: the certificate is not trusted: ")


def test_tls_to_a_server_that_speaks_none(client_of: MakeClient) -> None:
    """The reason of the TLS library, in words."""

    def plain(connection: socket.socket) -> None:
        connection.recv(1)
        connection.sendall(b"HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n")

    with Scripted(plain) as server:
        done = exchanges(client_of(server.url.replace("http:", "https:")), GET)[0]

    assert done.error == "TLS: wrong version number"
