"""A server's data over the network, as a replica gets it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.conftest import command
from tests.ops.backup.conftest import AT_ONCE
from tests.ops.conftest import Start
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import AuthError, DeadlineError, ServerReplyError, UnreachableError
from valkeyctl.ops.backup.rdbstream import RdbStream

MARK = b"m" * 40


def whole(stream: RdbStream) -> bytes:
    """Return all that *stream* gives, in small parts."""
    with stream:
        return b"".join(iter(lambda: stream.read(7), b""))


@contextmanager
def scripted(*answers: bytes) -> Iterator[Endpoint]:
    """Serve one client, and answer each of its commands by the next of *answers*."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                for answer in answers:
                    connection.recv(65536)
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield Endpoint(port=listener.getsockname()[1])
        thread.join()


OKS = (b"+OK\r\n", b"-ERR Unrecognized REPLCONF option\r\n", b"+OK\r\n")


def test_a_server_gives_its_data_in_its_own_format(server: Endpoint) -> None:
    """A server that is told its own version writes what it would write to its own disk."""
    stream = RdbStream(server, "9.1.2")

    data = whole(stream)

    assert data.startswith(b"VALKEY080")
    assert stream.rdb_version == 80
    assert (stream.received, len(stream.replication_id)) == (len(data), 40)


def test_what_only_new_servers_have_is_no_obstacle(server: Endpoint) -> None:
    """The expiry of a hash's field does not fit the RDB that a replica of no version gets."""
    command(server, "HSET", "h", "f", "1")
    command(server, "HEXPIRE", "h", "1000", "FIELDS", "1", "f")

    assert len(whole(RdbStream(server, "9.1.2"))) > 100


def test_a_size_that_is_known_is_told(start: Start) -> None:
    """A server that writes a file first announces its length."""
    with scripted(*OKS, b"+FULLRESYNC abc 7\r\n\n\n$9\r\nREDIS0011+stream") as endpoint:
        stream = RdbStream(endpoint, "7.0.0")

        assert whole(stream) == b"REDIS0011"

    assert (stream.size, stream.offset, stream.rdb_version) == (9, 7, 11)


@pytest.mark.parametrize("cut", range(1, 56, 6))
def test_the_mark_at_the_end_is_found_wherever_it_is_torn(cut: int) -> None:
    """Neither a part of the mark is taken for data, nor data for it."""
    text = b"$EOF:" + MARK + b"\r\nREDIS0011 m mm " + MARK
    arrived = threading.Event()

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                for answer in (*OKS, b"+FULLRESYNC abc 0\r\n" + text[:-cut]):
                    connection.recv(65536)
                    connection.sendall(answer)
                arrived.wait(5)
                connection.sendall(text[-cut:])

        thread = threading.Thread(target=serve)
        thread.start()
        stream = RdbStream(Endpoint(port=listener.getsockname()[1]), "9.0.0")
        stream.open()
        arrived.set()

        assert whole_of(stream) == b"REDIS0011 m mm "
        thread.join()


def whole_of(stream: RdbStream) -> bytes:
    """Return all that an open *stream* gives."""
    try:
        return b"".join(iter(stream.read, b""))
    finally:
        stream.close()


@pytest.mark.parametrize("announced", [b"$100\r\n", b"$EOF:" + MARK + b"\r\n"])
def test_a_transfer_that_ends_early_is_a_failure(announced: bytes) -> None:
    """Half a data set is never taken for a whole one."""
    answer = b"+FULLRESYNC abc 0\r\n" + announced + b"REDIS0011" + b"x" * 60
    with (
        scripted(*OKS, answer) as endpoint,
        pytest.raises(UnreachableError, match="ended the transfer after"),
    ):
        whole(RdbStream(endpoint, "9.0.0"))


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (b"-NOMASTERLINK Can't SYNC while not connected\r\n", ServerReplyError, "NOMASTERLINK"),
        (b"+CONTINUE\r\n", ServerReplyError, "answered the request for its data with"),
        (b"-NOPERM User app has no permissions\r\n", AuthError, "does not let this user take"),
    ],
)
def test_a_refusal_is_one_sentence(answer: bytes, error: type[Exception], words: str) -> None:
    """In the server's own words, and with what to do."""
    with scripted(*OKS, answer) as endpoint, pytest.raises(error, match=words):
        whole(RdbStream(endpoint, "9.0.0"))


def test_a_user_without_the_right_is_told_which_it_needs(server: Endpoint) -> None:
    """Before anything is copied."""
    command(server, "ACL", "SETUSER", "app", "on", ">pw", "~*", "+@read")
    endpoint = Endpoint(port=server.port, username="app", password="pw")

    with pytest.raises(AuthError, match="does not let this user take a snapshot") as caught:
        whole(RdbStream(endpoint, "9.1.2"))

    assert "+psync" in str(caught.value.hint)
    assert "pw" not in str(caught.value)


def test_a_server_that_falls_silent_is_given_up() -> None:
    """Within the time that was set."""
    with scripted(*OKS) as endpoint, pytest.raises(UnreachableError) as caught:
        whole(RdbStream(endpoint, "9.0.0", silence=0.05))

    assert isinstance(caught.value, DeadlineError) or "closed" in str(caught.value)


def test_an_old_server_that_writes_a_file_first_works_too(start: Start) -> None:
    """Diskless or not, the data is the same."""
    endpoint = start(*AT_ONCE, "--repl-diskless-sync", "no")
    command(endpoint, "SET", "k", "v")

    assert whole(RdbStream(endpoint, "9.1.2")).startswith(b"VALKEY")
