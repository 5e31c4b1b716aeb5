"""``connect``: one command, lines, and prompts at a real terminal."""

from __future__ import annotations

import io
import os
import pty
import select
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.caching.deployments import ClusterDeployment
from tests.cli.conftest import Run
from tests.conftest import free_port
from valkeyctl.endpoint import Endpoint


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterDeployment]:
    """Three primaries that want a password."""
    with ClusterDeployment(
        tmp_path_factory.mktemp("connect"), replicas=False, password="s3cr3t-word"
    ) as deployment:
        yield deployment


def typed(url: str, lines: Sequence[str], *, path: str) -> tuple[int, str]:
    """Return status and output of ``connect`` at a terminal at which *lines* are typed.

    Each is typed when the prompt for it has come.
    """
    pid, terminal = pty.fork()
    if pid == 0:
        words = [sys.executable, "-m", "valkeyctl", "connect", "--url", url]
        environ = {**os.environ, "PATH": path, "TERM": "dumb"}
        os.execve(sys.executable, words, environ)  # noqa: S606 - this very interpreter
    seen, prompts = b"", 0
    ends = time.monotonic() + 20
    waiting = list(lines)
    try:
        while time.monotonic() < ends:
            if select.select([terminal], [], [], 0.05)[0]:
                try:
                    seen += os.read(terminal, 65536)
                except OSError:  # the terminal is closed: the program has ended
                    break
            elif waiting and seen.endswith(b"> ") and seen.count(b"> ") > prompts:
                prompts = seen.count(b"> ")
                os.write(terminal, waiting.pop(0).encode() + b"\n")
        else:
            os.kill(pid, signal.SIGKILL)
    finally:
        _, status = os.waitpid(pid, 0)
        os.close(terminal)
    return os.waitstatus_to_exitcode(status), seen.decode(errors="replace")


def test_one_command_prints_its_answer(ctl: Run, endpoint: Endpoint) -> None:
    """As it is where no terminal reads; as JSON where that is asked for."""
    stored = ctl("connect", "--url", endpoint.url(), "--", "SET", "a", "b c")
    found = ctl("connect", "--url", endpoint.url(), "--", "GET", "a")
    data = ctl("connect", "--url", endpoint.url(), "-o", "json", "--", "GET", "a").data

    assert (stored.status, stored.out) == (0, "OK\n")
    assert (found.status, found.out) == (0, "b c\n")
    assert data == {"address": endpoint.address, "replies": [{"reply": "b c"}]}


def test_a_command_that_fails_ends_with_its_status(ctl: Run, endpoint: Endpoint) -> None:
    """Scripts see it: valkey-cli alone would end with 0."""
    refused = ctl("connect", "--url", endpoint.url(), "-o", "json", "--", "NOSUCH")
    nobody = ctl("connect", "--url", f"redis://127.0.0.1:{free_port()}", "--", "PING")
    endless = ctl("connect", "--url", endpoint.url(), "--", "SUBSCRIBE", "news")

    assert (refused.status, refused.error["code"]) == (3, "server")
    assert nobody.status == 3
    assert endless.status == 2
    assert "without end" in endless.err


def test_a_cluster_is_followed_and_logged_in_to(ctl: Run, cluster: ClusterDeployment) -> None:
    """Keys of any slot; the password is nowhere in what is printed."""
    url = cluster.endpoint.url(show_secret=True)

    for key in ("a", "b", "c"):
        assert ctl("connect", "--url", url, "--", "SET", key, key).out == "OK\n"
        assert ctl("connect", "--url", url, "--", "GET", key).out == f"{key}\n"
    wrong = ctl("connect", "--url", url.replace("s3cr3t-word", "s3cr3t-w0rd"), "--", "PING")

    assert wrong.status == 3
    assert "s3cr3t" not in wrong.err + wrong.out


def test_lines_are_run_to_the_end(
    ctl: Run, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refused one is named by its number and fails the whole, after the others ran."""
    lines = 'SET n 1\n\nLPUSH n x\nINCR n\nSET text "a\\tb"\nGET text\nquit\nSET late 1\n'
    monkeypatch.setattr("sys.stdin", io.StringIO(lines))

    done = ctl("connect", "--url", endpoint.url())

    assert (done.status, done.out) == (3, "OK\n2\nOK\na\tb\n")
    assert done.err.startswith("line 3: ")
    assert "WRONGTYPE" in done.err
    monkeypatch.setattr("sys.stdin", io.StringIO("PING\nLPUSH n x\n"))
    data = ctl("connect", "--url", endpoint.url(), "-o", "json").data
    replies = data["replies"]
    assert isinstance(replies, list)
    assert replies[0] == {"reply": "PONG"}
    assert replies[1]["error"]["code"] == "server"


def test_a_line_with_an_open_quote_is_wrong_usage(
    ctl: Run, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not guessed at."""
    monkeypatch.setattr("sys.stdin", io.StringIO('SET a "b\n'))

    done = ctl("connect", "--url", endpoint.url())

    assert done.status == 2
    assert "line 1: a quote is not closed" in done.err


def test_the_prompt_of_our_own_answers_as_valkey_cli(
    cluster: ClusterDeployment, tmp_path: Path
) -> None:
    """Without a valkey-cli anywhere; what goes wrong does not end it."""
    url = cluster.endpoint.url(show_secret=True)

    status, seen = typed(
        url, ["SET k 1", "SET l 2", "INCR k", "LPUSH k x", 'GET "k', "exit"], path=str(tmp_path)
    )

    assert status == 0, seen
    assert "no valkey-cli" in seen
    assert seen.count("OK") == 2
    assert "(integer) 2" in seen
    assert "(error) WRONGTYPE" in seen
    assert "error: a quote is not closed" in seen
    assert "s3cr3t" not in seen


@pytest.mark.skipif(
    not os.access("/usr/bin/valkey-cli", os.X_OK), reason="no valkey-cli on this machine"
)
def test_valkey_cli_is_given_the_terminal(cluster: ClusterDeployment) -> None:
    """Logged in, and following the Cluster."""
    url = cluster.endpoint.url(show_secret=True)

    status, seen = typed(url, ["SET m 1", "SET n 2", "exit"], path="/usr/bin")

    assert status == 0, seen
    assert seen.count("OK") == 2
    assert "s3cr3t" not in seen
