"""Every exception of redis-py means one of our failures."""

from __future__ import annotations

import inspect
import ssl

import pytest
from redis import exceptions as theirs
from redis._parsers.base import BaseParser

from valkeyctl.caching.driver.errors import MEANINGS, mapped, reply_failure
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import (
    AuthError,
    DeadlineError,
    ServerReplyError,
    TlsError,
    UnreachableError,
    UsageError,
    ValkeyctlError,
)

ENDPOINT = Endpoint(password="s3cret")
EXCEPTIONS = sorted(
    (
        kind
        for _, kind in inspect.getmembers(theirs, inspect.isclass)
        if issubclass(kind, Exception) and kind is not theirs.RedisError
    ),
    key=lambda kind: kind.__name__,
)


def raised(kind: type[Exception]) -> Exception:
    """Return an instance of *kind*; redirections want a slot and a node."""
    text = "3999 127.0.0.1:6381" if issubclass(kind, theirs.AskError) else "what it says"
    return kind(text)


def parsed(reply: str) -> Exception:
    """Return what redis-py's parser makes of an error reply."""
    error: Exception = BaseParser.parse_error(reply)  # type: ignore[no-untyped-call]
    return error


@pytest.mark.parametrize("kind", EXCEPTIONS, ids=lambda kind: kind.__name__)
def test_every_exception_of_the_driver_has_a_meaning(kind: type[Exception]) -> None:
    """Each class, or a parent that is not the catch-all base, stands in the table."""
    failure = mapped(raised(kind), ENDPOINT)

    assert any(parent in MEANINGS for parent in kind.__mro__)
    assert type(failure) in {
        AuthError,
        DeadlineError,
        ServerReplyError,
        UnreachableError,
        UsageError,
    }
    assert ENDPOINT.address in str(failure)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (theirs.TimeoutError("Timeout connecting to server"), DeadlineError),
        (TimeoutError("timed out"), DeadlineError),
        (theirs.ConnectionError("Connection closed by server."), UnreachableError),
        (theirs.MaxConnectionsError("Too many connections"), UnreachableError),
        (ConnectionResetError(104, "reset"), UnreachableError),
        (theirs.AuthenticationError("invalid username-password pair"), AuthError),
        (theirs.NoPermissionError("User x has no permissions"), AuthError),
        (theirs.DataError("Invalid input of type"), UsageError),
    ],
)
def test_families_keep_their_sense(error: Exception, expected: type[ValkeyctlError]) -> None:
    """Too late, gone, refused and wrong input are told apart."""
    assert type(mapped(error, ENDPOINT)) is expected


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("OOM command not allowed when used memory > 'maxmemory'.", "OOM"),
        ("READONLY You can't write against a read only replica.", "READONLY"),
        ("LOADING Valkey is loading the dataset in memory", "LOADING"),
        ("NOSCRIPT No matching script.", "NOSCRIPT"),
        ("EXECABORT Transaction discarded because of previous errors.", "EXECABORT"),
        ("CLUSTERDOWN Hash slot not served", "CLUSTERDOWN"),
        ("MISCONF Valkey is configured to save RDB snapshots", "MISCONF"),
        ("WRONGTYPE Operation against a key", "WRONGTYPE"),
        ("ERR unknown command 'NOPE'", "ERR"),
    ],
)
def test_an_error_reply_keeps_its_first_word(text: str, word: str) -> None:
    """Also where redis-py's parser cuts the word off the text."""
    failure = reply_failure(parsed(text), ENDPOINT)

    assert isinstance(failure, ServerReplyError)
    assert failure.reply == word
    assert text in str(failure)


@pytest.mark.parametrize(
    "text",
    [
        "NOAUTH Authentication required.",
        "WRONGPASS invalid username-password pair or user is disabled.",
        "NOPERM User x has no permissions to run the 'get' command",
        "ERR invalid password",
        "ERR AUTH <password> called without any password configured for the default user.",
        "DENIED Valkey is running in protected mode",
    ],
)
def test_a_reply_about_credentials_is_an_auth_error(text: str) -> None:
    """Whatever class redis-py makes of it."""
    assert type(mapped(parsed(text), ENDPOINT)) is AuthError


def test_a_password_in_a_reply_is_blotted_out() -> None:
    """An old server repeats the arguments of a command that it does not know."""
    error = theirs.ResponseError("ERR unknown command 'AUTH', with args beginning with: 's3cret'")

    assert "s3cret" not in str(mapped(error, ENDPOINT))


def test_a_failed_handshake_is_a_tls_error() -> None:
    """redis-py hides the ssl exception in the context of its own."""
    endpoint = Endpoint(tls=True)
    error = theirs.ConnectionError("Error 1 connecting")
    error.__context__ = ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number")

    assert type(mapped(error, endpoint, connecting=True)) is TlsError
    assert type(mapped(error, endpoint)) is UnreachableError
