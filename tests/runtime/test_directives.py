"""What a server can change while it runs, and why it refused to start."""

from __future__ import annotations

import pytest

from tests.conftest import command
from tests.runtime.conftest import unique_profile
from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import ServerReplyError
from valkeyctl.render import render
from valkeyctl.runtime.directives import change_of, differences, refusal


def test_what_is_called_live_can_be_set_live(endpoint: Endpoint) -> None:
    """Every rendered directive is tried on a real server with the value that it has."""
    names = render(unique_profile()).directives
    with Wire(endpoint) as wire:
        version = wire.info("server")["valkey_version"]
        for name in names:
            answer = wire.call("CONFIG", "GET", name)
            assert isinstance(answer, list)
            value = answer[1]
            assert isinstance(value, bytes)
            try:
                wire.call("CONFIG", "SET", name, value)
            except ServerReplyError as error:
                assert "immutable" in str(error) or "protected" in str(error)
                assert change_of(name, version) == "restart", name
            else:
                assert change_of(name, version) == "live", name
    assert command(endpoint, "PING") == b"+PONG\r\n"


@pytest.mark.parametrize(("version", "change"), [("8.1.1", "restart"), ("9.1.2", "live")])
def test_io_threads_can_be_set_live_since_9(version: str, change: str) -> None:
    """The same directive needs a restart on one version and not on the next."""
    assert change_of("io-threads", version) == change


def test_differences_ignore_spelling_and_what_is_not_reported() -> None:
    """The server's old word for replica is no difference, a directive it hides neither."""
    wanted = {"maxmemory": "5", "client-output-buffer-limit": "replica 1 1 1", "user": "x"}
    reported = {"maxmemory": "6", "client-output-buffer-limit": "slave 1 1 1"}

    assert differences(wanted, reported) == ["maxmemory"]


@pytest.mark.parametrize(
    ("log", "why"),
    [
        (
            "*** FATAL CONFIG FILE ERROR (Version 9.1.2) ***\n"
            "Reading the configuration file, at line 3\n>>> 'no-such 1'\nBad directive\n",
            "valkey.conf line 3 >>> 'no-such 1' Bad directive",
        ),
        (
            "7:M 21 Nov 2026 07:44:20.016 # Missing implement of connection type tls\n"
            "7:M 21 Nov 2026 07:44:20.016 # Failed finding TLS support.\n",
            "Failed finding TLS support.",
        ),
        (
            "7:M 21 Nov 2026 07:44:19.985 # WARNING Memory overcommit must be enabled! "
            "background save may fail\n7:M 21 Nov 2026 07:44:19.985 * Configuration loaded\n",
            "",
        ),
        ("", ""),
    ],
)
def test_a_refusal_is_in_the_servers_words(log: str, why: str) -> None:
    """The line of the file where there is one, else the last line that tells."""
    assert refusal(log) == why
