"""Breaking a unit and mending it, on every runtime."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.conftest import command
from tests.runtime.conftest import Make, unique_profile
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import MissingError, NotFoundError, ToolError
from valkeyctl.render import render
from valkeyctl.runtime.podman import PodmanRuntime
from valkeyctl.runtime.process import ProcessRuntime
from valkeyctl.runtime.protocol import Runtime
from valkeyctl.runtime.ready import ask


@pytest.fixture
def started(
    podman_runtime: PodmanRuntime, cleanup: Callable[[Runtime, str], None]
) -> tuple[str, Endpoint]:
    """Start a server of the test's own."""
    artefacts = render(unique_profile())
    cleanup(podman_runtime, artefacts.name)
    return artefacts.name, podman_runtime.start(artefacts)


def until(holds: Callable[[], bool], seconds: float) -> None:
    """Return when *holds*; fails after *seconds*."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)  # nothing announces what podman does


def running(runtime: Runtime, name: str) -> bool:
    """Say whether *runtime* has *name* running."""
    found = runtime.find(name)
    return found is not None and found.running


@pytest.mark.slow
def test_a_killed_server_that_is_to_stay_down_does_until_it_is_revived(
    runtime: Runtime, make: Make
) -> None:
    """Its data is there again; reviving it once more changes nothing."""
    artefacts = make(persistence="aof")
    endpoint = runtime.start(artefacts)
    command(endpoint, "SET", "k", "kept")

    restarts = runtime.kill(artefacts.name, stay_down=True)

    assert not restarts
    until(lambda: ask(endpoint) == "silent", 5)
    assert not running(runtime, artefacts.name)
    with pytest.raises(NotFoundError, match="does not run"):
        runtime.kill(artefacts.name)
    runtime.revive(artefacts)
    runtime.revive(artefacts)
    assert command(endpoint, "GET", "k") == b"$4\r\nkept\r\n"


@pytest.mark.slow
def test_a_paused_server_answers_nothing_until_it_is_resumed(runtime: Runtime, make: Make) -> None:
    """It takes connections meanwhile; resuming it again changes nothing."""
    artefacts = make()
    endpoint = runtime.start(artefacts)

    runtime.pause(artefacts.name)

    assert ask(endpoint, timeout=0.3) == "silent"
    assert running(runtime, artefacts.name)
    assert runtime.resume(artefacts.name)
    until(lambda: ask(endpoint) == "ready", 5)
    assert not runtime.resume(artefacts.name)


def test_a_paused_process_ends_when_it_is_told_to(process_runtime: ProcessRuntime) -> None:
    """One that a drill has left paused is stopped cleanly, and not killed after its grace."""
    artefacts = render(unique_profile())
    process_runtime.start(artefacts)
    process_runtime.pause(artefacts.name)

    assert process_runtime.stop(artefacts.name, grace=5)

    process_runtime.purge(artefacts.name)


def test_a_process_cannot_be_cut_off(process_runtime: ProcessRuntime) -> None:
    """The message says where it can be tried."""
    with pytest.raises(MissingError, match="loopback") as caught:
        process_runtime.cut("prod")

    assert "Podman" in (caught.value.hint or "")
    assert not process_runtime.join("prod")


@pytest.mark.podman
@pytest.mark.slow
def test_a_crash_is_answered_by_the_restart_policy(
    podman_runtime: PodmanRuntime, started: tuple[str, Endpoint]
) -> None:
    """Not so `podman kill`, which both versions take for the user's wish."""
    name, endpoint = started
    before = command(endpoint, "INFO", "server")

    restarts = podman_runtime.kill(name)

    assert restarts
    until(lambda: ask(endpoint) == "ready", 10)
    assert command(endpoint, "INFO", "server") != before


@pytest.mark.podman
@pytest.mark.slow
def test_a_partition_cuts_clients_off_and_heals_at_once(
    podman_runtime: PodmanRuntime, started: tuple[str, Endpoint]
) -> None:
    """With the address and the MAC that it had; healing again changes nothing."""
    name, endpoint = started
    addresses = podman_runtime.networks_of(name)

    podman_runtime.cut(name)

    assert ask(endpoint, timeout=0.3) == "silent"
    assert running(podman_runtime, name)
    assert podman_runtime.networks_of(name) == {}
    podman_runtime.cut(name)  # of one that is cut off already: nothing
    assert podman_runtime.join(name)
    assert podman_runtime.networks_of(name) == addresses
    until(lambda: ask(endpoint) == "ready", 3)
    assert not podman_runtime.join(name)


@pytest.mark.podman
@pytest.mark.slow
def test_a_note_of_a_partition_that_cannot_be_read_is_named(
    podman_runtime: PodmanRuntime, started: tuple[str, Endpoint]
) -> None:
    """Guessing an address could give it that of another server."""
    name, _ = started
    podman_runtime.cut(name)
    podman_runtime.cut_note(name).write_text("{")

    with pytest.raises(ToolError, match="does not say how"):
        podman_runtime.join(name)

    podman_runtime.stop(name, grace=5)
    assert not podman_runtime.join(name)  # what is gone needs no network back
    assert not podman_runtime.cut_note(name).exists()
