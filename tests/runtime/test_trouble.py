"""What a runtime tells of a server that does not answer."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable

import pytest

from tests.conftest import command
from tests.runtime.conftest import unique_profile
from valkeyctl.endpoint import Endpoint
from valkeyctl.render import Artefacts, render
from valkeyctl.runtime.ending import Ending
from valkeyctl.runtime.podman import PodmanRuntime
from valkeyctl.runtime.process import ProcessRuntime
from valkeyctl.runtime.protocol import Runtime, Trouble
from valkeyctl.runtime.ready import ask

Cleanup = Callable[[Runtime, str], None]


def started(runtime: Runtime, cleanup: Cleanup) -> Artefacts:
    """Start a server of the test's own."""
    artefacts = render(unique_profile())
    cleanup(runtime, artefacts.name)
    runtime.start(artefacts)
    return artefacts


def until_known(runtime: Runtime, name: str) -> Trouble:
    """Return the trouble, as soon as podman has written it down."""
    until = time.monotonic() + 20
    while (trouble := runtime.trouble(name)) is None:
        assert time.monotonic() < until
        time.sleep(0.05)  # the only way to know that a foreign process is done
    return trouble


@pytest.mark.parametrize(
    ("cause", "says"),
    [
        ("memory", "was killed by the kernel, out of memory (memory.limit 96Mi) with exit code"),
        ("killed", "was killed by somebody with exit code"),
        ("unknown", "was killed, by somebody or out of memory (memory.limit 96Mi) with exit code"),
    ],
)
def test_an_ending_is_one_clause(cause: str, says: str) -> None:
    """Cause, limit, exit code, how long it had run, when, and what podman did then."""
    ending = Ending(cause, 137, at=1000.0, uptime=90.4, limit=96 * 2**20, restarts=2)  # type: ignore[arg-type]  # one of the four words

    sentence = ending.sentence(now=1060.0)

    assert sentence == f"{says} 137 after 1m 30s, 1m ago; podman has restarted it 2 times"
    assert bool(ending.hint) is (cause != "killed")


def test_nothing_is_known_of_what_is_not_there(process_runtime: ProcessRuntime) -> None:
    """No server, no trouble."""
    assert process_runtime.trouble("vkt-none") is None


def test_a_process_that_has_ended(process_runtime: ProcessRuntime, cleanup: Cleanup) -> None:
    """Its last words are told."""
    artefacts = started(process_runtime, cleanup)
    assert process_runtime.trouble(artefacts.name) is None
    process = process_runtime.process_of(artefacts.name)
    assert process is not None
    process.kill()

    trouble = process_runtime.trouble(artefacts.name)

    assert trouble is not None
    assert trouble.now
    assert trouble.what.startswith(f"has ended (it was pid {process.pid}); it said last: ")


def test_a_process_that_stands_still(process_runtime: ProcessRuntime, cleanup: Cleanup) -> None:
    """It is there, and does not answer."""
    artefacts = started(process_runtime, cleanup)
    process = process_runtime.process_of(artefacts.name)
    assert process is not None
    os.kill(process.pid, signal.SIGSTOP)

    trouble = process_runtime.trouble(artefacts.name)

    os.kill(process.pid, signal.SIGCONT)
    assert trouble is not None
    assert trouble.what == f"is paused: its process (pid {process.pid}) stands still"
    assert trouble.hint == f"Let it go on: kill -CONT {process.pid}"


def test_a_process_that_is_busy(process_runtime: ProcessRuntime, cleanup: Cleanup) -> None:
    """It is there, runs, and has no time to answer."""
    artefacts = started(process_runtime, cleanup)
    place = (artefacts.host, artefacts.port)
    with socket.create_connection(place) as busy:
        busy.sendall(b"EVAL 'while true do end' 0\r\n")
        until = time.monotonic() + 5
        while ask(Endpoint(*place), timeout=0.05) == "ready" and time.monotonic() < until:
            pass

        trouble = process_runtime.trouble(artefacts.name)

    process = process_runtime.process_of(artefacts.name)
    assert process is not None
    process.kill()  # it hears of nothing else
    assert trouble is not None
    assert trouble.what == f"does not answer, and its process (pid {process.pid}) is there"


def test_who_has_the_port_of_a_server_that_has_ended_is_named(
    process_runtime: ProcessRuntime, cleanup: Cleanup
) -> None:
    """Clients reach that one instead."""
    artefacts = started(process_runtime, cleanup)
    process_runtime.kill(artefacts.name)
    with socket.create_server((artefacts.host, artefacts.port)):
        trouble = process_runtime.trouble(artefacts.name)

    assert trouble is not None
    assert trouble.what.endswith(f"(pid {os.getpid()}) has its port now")
    assert trouble.hint.startswith("End that process")


@pytest.mark.podman
@pytest.mark.slow
def test_a_container_that_somebody_has_paused_or_killed(
    podman_runtime: PodmanRuntime, cleanup: Cleanup
) -> None:
    """By name of the cause, and not for want of memory, although the exit code is the same."""
    artefacts = started(podman_runtime, cleanup)
    assert podman_runtime.trouble(artefacts.name) is None
    podman_runtime.podman.require("pause", artefacts.container)
    paused = podman_runtime.trouble(artefacts.name)
    podman_runtime.podman.require("unpause", artefacts.container)
    endpoint = podman_runtime.find(artefacts.name)
    assert endpoint is not None
    assert command(endpoint.endpoint, "PING") == b"+PONG\r\n"

    podman_runtime.podman.require("kill", "--signal", "KILL", artefacts.container)
    killed = until_known(podman_runtime, artefacts.name)

    assert paused is not None
    assert paused.what == "is paused, and answers nothing"
    assert paused.hint.endswith(f"unpause {artefacts.container}")
    assert killed.now
    assert killed.what.startswith("was killed by somebody with exit code 137 after ")
