"""Servers for the length of one command, which end with it, however it ends."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.conftest import command
from valkeyctl.errors import StartError, UsageError
from valkeyctl.runtime import throwaway
from valkeyctl.runtime.binary import ServerBinary, find_binary
from valkeyctl.runtime.ready import ask
from valkeyctl.runtime.throwaway import Throwaway

Begin = Callable[..., Throwaway]


@pytest.fixture(scope="module")
def binary() -> ServerBinary:
    return find_binary()


@pytest.fixture
def begin(binary: ServerBinary) -> Iterator[Begin]:
    """Start throwaway servers; nothing of them is left afterwards."""
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    started: list[Throwaway] = []

    def one(**settings: str) -> Throwaway:
        given = {name.replace("_", "-"): value for name, value in settings.items()}
        started.append(Throwaway(binary, given))
        return started[-1]

    yield one
    for server in started:
        server.close()
    left = [c for c in psutil.Process().children(recursive=True) if c.pid not in before]
    assert left == []


def test_it_has_its_settings_and_keeps_nothing(begin: Begin) -> None:
    """Settings are those of valkey.conf; persistence is off unless they ask for it."""
    server = begin(maxmemory="8mb", maxmemory_policy="allkeys-lfu")

    assert b"8388608" in command(server.endpoint, "CONFIG", "GET", "maxmemory")
    assert b"allkeys-lfu" in command(server.endpoint, "CONFIG", "GET", "maxmemory-policy")
    assert command(server.endpoint, "CONFIG", "GET", "save").endswith(b"$0\r\n\r\n")


def test_it_is_gone_when_closed(begin: Begin) -> None:
    """So is its folder; closing again changes nothing."""
    server = begin()
    folder = Path(command(server.endpoint, "CONFIG", "GET", "dir").split(b"\r\n")[4].decode())
    assert folder.is_dir()

    server.close()
    server.close()

    assert ask(server.endpoint) == "silent"
    assert not folder.exists()


def test_killed_it_comes_back_empty_where_it_was(begin: Begin) -> None:
    """Clients know its address."""
    server = begin()
    command(server.endpoint, "SET", "a", "1")

    server.kill()
    assert ask(server.endpoint) == "silent"
    server.start()
    server.start()

    assert command(server.endpoint, "GET", "a") == b"$-1\r\n"


def test_paused_it_takes_connections_and_answers_nothing(begin: Begin) -> None:
    """And it goes on afterwards, with its keys."""
    server = begin()
    command(server.endpoint, "SET", "a", "1")

    server.pause()
    assert ask(server.endpoint, timeout=0.05) == "silent"
    server.resume()

    assert command(server.endpoint, "GET", "a") == b"$1\r\n1\r\n"


def test_one_that_ends_by_itself_is_told_from_one_that_was_killed(begin: Begin) -> None:
    """What runs with it measures something else from then on."""
    server = begin()
    assert server.trouble() == ""
    server.kill()
    assert server.trouble() == ""
    server.start()

    with contextlib.suppress(OSError):
        command(server.endpoint, "SHUTDOWN", "NOSAVE")
    _until(lambda: server.trouble() != "")

    assert "bye" in server.trouble()


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"maxmemory": "lots"}, StartError, "must be a memory value"),
        ({"no_such_thing": "1"}, StartError, "no-such-thing 1.*Bad directive"),
        ({"port": "1"}, UsageError, "port cannot be set"),
        ({"requirepass": "x"}, UsageError, "requirepass cannot be set"),
    ],
)
def test_a_setting_that_cannot_be_is_named(
    begin: Begin, settings: dict[str, str], error: type[Exception], words: str
) -> None:
    """In the server's own words, at once; and nothing is left running."""
    with pytest.raises(error, match=words):
        begin(**settings)


def test_a_port_that_is_taken_meanwhile_is_no_failure(
    begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server that was faster is not taken for ours."""
    other = begin()
    ports = [other.endpoint.port]
    usual = throwaway._free_port
    monkeypatch.setattr(throwaway, "_free_port", lambda: ports.pop() if ports else usual())

    server = begin()

    assert ports == []
    assert server.endpoint.port != other.endpoint.port


@pytest.mark.parametrize("paused", [False, True])
def test_it_ends_with_a_process_that_is_killed(paused: bool) -> None:
    """Also one that is paused at that moment, which hears of nothing."""
    code = (
        "import time, psutil\n"
        "from valkeyctl.runtime.throwaway import Throwaway\n"
        "from valkeyctl.runtime.binary import find_binary\n"
        "server = Throwaway(find_binary(), {})\n"
        f"{'server.pause()' if paused else ''}\n"
        "pids = [c.pid for c in psutil.Process().children(recursive=True)]\n"
        "print(*pids, flush=True)\n"
        "time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    with parent.stdout as said:
        pids = [int(pid) for pid in said.readline().split()]

    parent.kill()
    parent.wait()

    assert len(pids) >= 2
    assert all(_gone(pid) for pid in pids)


def _gone(pid: int) -> bool:
    def gone() -> bool:
        try:
            # A zombie has ended; whoever inherited it has not asked for its status.
            return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    return _until(gone)


def _until(true: Callable[[], bool], *, within: float = 10.0) -> bool:
    deadline = time.monotonic() + within
    while not true() and time.monotonic() < deadline:
        time.sleep(0.01)  # a foreign process tells nobody when it ends
    return true()
