"""What goes wrong on Podman: each is named in a sentence, and what ran before still serves.

The faults are those that were measured in docs/explanation/podman.md.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import command, free_port
from tests.ops.conftest import at, changed, fact
from tests.runtime.conftest import unique_profile, with_conf_line
from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import MissingError, PortTakenError, StartError, UnreachableError
from valkeyctl.ops.deploy import Deployment, deploy, take_down
from valkeyctl.ops.health import probe
from valkeyctl.ops.statefolder import StateFolder
from valkeyctl.ops.status import status
from valkeyctl.ops.trouble import explained, troubles
from valkeyctl.profile import Profile
from valkeyctl.render import POD, Artefacts, render
from valkeyctl.runtime.pod import PodNames
from valkeyctl.runtime.podmancli import PodmanCommand
from valkeyctl.runtime.select import PODMAN_VARIABLE

pytestmark = pytest.mark.podman


class Running:
    """A deployment that all tests of one Podman share, with a key in it."""

    def __init__(self, command: str, folder: Path) -> None:
        self.podman = PodmanCommand(command)
        self.state = StateFolder(folder)
        self.profile = unique_profile(persistence="rdb", memory={"limit": "256Mi"})
        self.deployment: Deployment = deploy(self.profile, self.state, runtime="podman")
        self.names = PodNames(self.profile.name)

    @property
    def endpoint(self) -> Endpoint:
        """Where it is published."""
        return at(self.deployment)

    def serves(self) -> bool:
        """Say whether the key is there."""
        return command(self.endpoint, "GET", "k") == b"$4\r\nkept\r\n"


@pytest.fixture(scope="module")
def shared(podman_command: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One server for all tests of a Podman: most failures must not touch it at all."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(PODMAN_VARIABLE, podman_command)
        running = Running(podman_command, tmp_path_factory.mktemp("state"))
        try:
            yield running
        finally:
            take_down(running.profile.name, running.state, purge=True)


@pytest.fixture
def running(shared: Running) -> Running:
    """The shared server as its profile says, with the key."""
    deploy(shared.profile, shared.state)
    command(shared.endpoint, "SET", "k", "kept")
    return shared


def test_a_missing_image(running: Running) -> None:
    """Found before anything is stopped; says how to fetch it."""
    run_id = fact(running.endpoint, "run_id")

    with pytest.raises(MissingError, match=r"localhost/vkt-none:1 is not here") as caught:
        deploy(changed(running.profile, image="localhost/vkt-none:1"), running.state)

    assert caught.value.exit_code == 5
    assert "pull localhost/vkt-none:1" in str(caught.value.hint)
    assert fact(running.endpoint, "run_id") == run_id


def test_a_taken_port(running: Running) -> None:
    """Who has it is named."""
    run_id = fact(running.endpoint, "run_id")
    with socket.socket() as other:
        other.bind(("127.0.0.1", free_port()))
        other.listen()
        taken = other.getsockname()[1]

        with pytest.raises(PortTakenError, match=rf"port {taken} on .* \(pid \d+\)") as caught:
            deploy(changed(running.profile, publish=f"127.0.0.1:{taken}"), running.state)

    assert caught.value.exit_code == 5
    assert fact(running.endpoint, "run_id") == run_id


def test_a_bad_directive(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """The image's own server refuses it, in a throwaway container."""
    run_id = fact(running.endpoint, "run_id")
    monkeypatch.setattr(
        "valkeyctl.ops.deploy.render", lambda asked: with_conf_line(render(asked), "no-such 1")
    )

    with pytest.raises(StartError, match=r"line \d+ >>> 'no-such 1' Bad directive") as caught:
        deploy(running.profile, running.state)

    assert caught.value.exit_code == 5
    assert fact(running.endpoint, "run_id") == run_id


@pytest.mark.slow
def test_the_claim_trap(running: Running) -> None:
    """No PersistentVolumeClaim document is rendered, so a replacement keeps volume and data."""
    made = running.podman.inspect("volume", running.names.volume)
    other = changed(running.profile, memory={"limit": "272Mi"})
    assert "kind: PersistentVolumeClaim" not in render(other).files[POD]

    found = deploy(other, running.state)

    after = running.podman.inspect("volume", running.names.volume)
    assert found.action == "replaced"
    assert made is not None
    assert after is not None
    assert after["CreatedAt"] == made["CreatedAt"]
    assert running.serves()


@pytest.mark.slow
def test_a_dead_published_port(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut off, its port accepts and never answers, and the probe inside says healthy."""
    pod = running.podman.inspect("pod", running.names.pod)
    assert pod is not None
    infra = str(pod["InfraContainerID"])
    network = running.podman.require(
        "inspect",
        "--format",
        "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}}{{end}}",
        infra,
    ).strip()
    running.podman.require("network", "disconnect", network, infra)
    monkeypatch.setattr("valkeyctl.runtime.podman._START_PATIENCE", 1.0)

    with socket.create_connection((running.endpoint.host, running.endpoint.port), timeout=2):
        alive = running.podman.run("healthcheck", "run", running.names.container)
    with pytest.raises(UnreachableError) as unreachable:
        probe(running.endpoint, deadline=0.5)
    why = explained(unreachable.value, running.profile.name, running.state)
    found = deploy(running.profile, running.state)

    assert alive.ok
    assert "answers inside its container, and not at" in str(why)
    assert "the published port is dead" in str(why)
    assert (why.exit_code, why.hint) == (3, "Renew the port: valkeyctl restart")
    assert found.action == "replaced"  # and not "unchanged", which would be a lie
    assert running.serves()


@pytest.mark.slow
def test_a_port_that_is_dead_from_the_start(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deploy does not report success, says what it is, and puts the last good render back."""
    real = PodmanCommand.require
    calls: list[tuple[str | Path, ...]] = []

    def cutting(self: PodmanCommand, *words: str | Path, **options: object) -> str:
        out = real(self, *words, **options)  # type: ignore[arg-type]  # passed on as they came
        if words[:2] == ("kube", "play") and not calls:
            calls.append(words)
            infra = str((self.inspect("pod", running.names.pod) or {})["InfraContainerID"])
            real(self, "network", "disconnect", "podman-default-kube-network", infra)
        return out

    monkeypatch.setattr(PodmanCommand, "require", cutting)
    monkeypatch.setattr("valkeyctl.runtime.podman._START_PATIENCE", 1.5)

    with pytest.raises(StartError, match=r"the published port is dead.*last good render") as caught:
        deploy(changed(running.profile, memory={"limit": "272Mi"}), running.state)

    assert caught.value.exit_code == 5
    assert running.serves()


@pytest.mark.slow
def test_out_of_memory(running: Running) -> None:
    """Killed at exit code 137: said with the limit, although podman has started it again."""
    # Nothing that the profile bounds: what a runaway script takes is not data.
    eater = "local t = {} while true do t[#t + 1] = string.rep('x', 1000000) .. #t end"
    with Wire(running.endpoint, timeout=60) as wire, pytest.raises(UnreachableError):
        wire.call("EVAL", eater, 0)
    until = time.monotonic() + 30
    while not (found := troubles(running.profile.name, running.state)):
        assert time.monotonic() < until  # podman writes the death down a moment later

    seen = status(running.profile, running.state)

    said = f"{running.profile.name} was killed by the kernel, out of memory (memory.limit 256Mi)"
    assert str(found[0]).startswith(f"{said} with exit code 137 after ")
    assert found[0].hint.startswith("Raise memory.limit")
    assert any(warning.startswith(said) for warning in seen.warnings)


@pytest.mark.slow
def test_out_of_memory_at_the_start(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit that the data outgrow is named by deploy, and the last good render runs again."""
    with Wire(running.endpoint) as wire:
        for number in range(6):
            wire.call("SET", f"big:{number}", b"x" * 6_000_000)

    def starved(asked: Profile) -> Artefacts:
        artefacts = render(asked)
        pod = artefacts.files[POD].replace("272Mi", "20Mi")
        return replace(artefacts, files={**artefacts.files, POD: pod})

    monkeypatch.setattr("valkeyctl.ops.deploy.render", starved)

    with pytest.raises(StartError, match=r"out of memory \(memory.limit 20Mi\).*runs again") as it:
        deploy(changed(running.profile, memory={"limit": "272Mi"}), running.state)

    assert it.value.exit_code == 5
    assert str(it.value.hint).startswith("Raise memory.limit")
    assert running.serves()
