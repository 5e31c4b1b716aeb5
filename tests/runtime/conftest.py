"""Runtimes, real ones, and artefacts that no other test uses at the same time."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import PODMANS, free_port, require_podman
from valkeyctl.profile import Profile
from valkeyctl.render import Artefacts, render
from valkeyctl.runtime.podman import PodmanRuntime
from valkeyctl.runtime.process import ProcessRuntime
from valkeyctl.runtime.protocol import Runtime

Make = Callable[..., Artefacts]


@pytest.fixture
def process_runtime(tmp_path: Path) -> ProcessRuntime:
    """The process runtime, in a folder of its own."""
    return ProcessRuntime(tmp_path / "process")


@pytest.fixture
def podman_runtime(podman_command: str, tmp_path: Path) -> PodmanRuntime:
    """A runtime on each Podman that works here."""
    return PodmanRuntime(tmp_path / "podman", podman_command)


@pytest.fixture(
    params=["process", *(pytest.param(name, marks=pytest.mark.podman) for name in PODMANS)]
)
def runtime(request: pytest.FixtureRequest, tmp_path: Path) -> Runtime:
    """Each runtime in turn."""
    if request.param == "process":
        return ProcessRuntime(tmp_path / "process")
    require_podman(request.param)
    return PodmanRuntime(tmp_path / "podman", request.param)


def unique_profile(**fields: object) -> Profile:
    """Return a small profile with a name and a port of its own."""
    return Profile.model_validate(
        {
            "name": f"vkt-{secrets.token_hex(4)}",
            "publish": f"127.0.0.1:{free_port()}",
            "memory": {"limit": "96Mi"},
            "pull": "never",
            "stop": {"grace": "5s"},
            **fields,
        }
    )


def with_conf_line(artefacts: Artefacts, line: str) -> Artefacts:
    """Return *artefacts* whose valkey.conf ends with *line*, wherever it is carried."""
    conf = artefacts.files["valkey.conf"]
    pod = artefacts.files["pod.yaml"].replace("\n    timeout 0\n", f"\n    timeout 0\n    {line}\n")
    assert pod != artefacts.files["pod.yaml"]
    return replace(
        artefacts,
        files={**artefacts.files, "valkey.conf": f"{conf}{line}\n", "pod.yaml": pod},
    )


@pytest.fixture
def cleanup(request: pytest.FixtureRequest) -> Iterator[Callable[[Runtime, str], None]]:
    """Call it with a runtime and a name: whatever is left of it at the end is removed."""
    owned: list[tuple[Runtime, str]] = []

    def own(runtime: Runtime, name: str) -> None:
        owned.append((runtime, name))

    yield own
    for runtime, name in owned:
        runtime.stop(name, 5)
        runtime.purge(name)


@pytest.fixture
def make(runtime: Runtime, cleanup: Callable[[Runtime, str], None]) -> Make:
    """Render a profile for `runtime`; what it starts is removed after the test."""

    def rendered(**fields: object) -> Artefacts:
        artefacts = render(unique_profile(**fields))
        cleanup(runtime, artefacts.name)
        return artefacts

    return rendered
