"""Smoke: passes on a good server, names what a bad one gets wrong, leaves nothing."""

from __future__ import annotations

import pytest

from tests.conftest import command, free_port
from tests.ops.conftest import Start
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import AuthError, InvalidKeyError, UnreachableError
from valkeyctl.ops.smoke import SmokeReport, smoke

NAMES = ["health", "set_get", "ttl", "namespace_flush", "reconnect", "cleanup"]


def failed(report: SmokeReport) -> dict[str, str]:
    """Return the message of each failed case."""
    return {case.name: case.message for case in report.cases if not case.passed}


def test_a_good_server_passes_and_keeps_nothing(endpoint: Endpoint) -> None:
    """Every case holds, in order, and the keys of others are left alone."""
    command(endpoint, "SET", "mine", "x")

    report = smoke(endpoint, "t")

    assert [case.name for case in report.cases] == NAMES
    assert failed(report) == {}
    assert report.passed
    assert sum(case.seconds for case in report.cases) < 2
    assert command(endpoint, "KEYS", "*") == b"*1\r\n$4\r\nmine\r\n"


def test_no_server_is_no_failed_check() -> None:
    """There is nothing to check; the command ends as unreachable."""
    with pytest.raises(UnreachableError):
        smoke(Endpoint(port=free_port()), "t")


def test_a_name_that_cannot_begin_a_key_is_refused(endpoint: Endpoint) -> None:
    """Wrong usage is not a failing server."""
    with pytest.raises(InvalidKeyError):
        smoke(endpoint, "not an app")


def test_a_wrong_password_is_refused(start: Start) -> None:
    """As everywhere: the login fails, not a check."""
    endpoint = start("--requirepass", "right")

    with pytest.raises(AuthError):
        smoke(endpoint.with_password("wrong"), "t")

    assert smoke(endpoint.with_password("right"), "t").passed


def test_a_full_store_fails_what_writes(start: Start) -> None:
    """Each case that writes fails with the server's words; the run goes on to its end."""
    endpoint = start()
    command(endpoint, "CONFIG", "SET", "maxmemory", "1")

    report = smoke(endpoint, "t")

    messages = failed(report)
    assert [case.name for case in report.cases] == NAMES
    assert "OOM" in messages["set_get"]
    assert "an entry that was stored is a miss" in messages["namespace_flush"]
    assert "write_read is OOM" in messages["health"]
    assert "cleanup" not in messages


def test_an_expiry_that_comes_too_late_is_named(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bound is moved below the TTL, for no server expires keys late on request."""
    monkeypatch.setattr("valkeyctl.ops.smoke._EXPIRY_BOUND", 0.01)

    messages = failed(smoke(endpoint, "t"))

    assert list(messages) == ["ttl"]
    assert "a key of 100 ms is still there after" in messages["ttl"]


def test_a_server_that_cuts_no_connection_is_told_apart(start: Start) -> None:
    """When CLIENT KILL may not be called, the reason is in the case."""
    endpoint = start()
    command(endpoint, "ACL", "SETUSER", "app", "on", ">p", "~*", "+@all", "-client|kill")
    user = Endpoint(port=endpoint.port, username="app", password="p")

    messages = failed(smoke(user, "t"))

    assert list(messages) == ["reconnect"]
    assert "NOPERM" in messages["reconnect"]
