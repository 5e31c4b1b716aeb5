"""Runtimes, real ones, and artefacts that no other test uses at the same time."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import free_port
from valkeyctl.errors import MissingError
from valkeyctl.profile import Profile
from valkeyctl.render import Artefacts, render
from valkeyctl.runtime.podman import PodmanRuntime
from valkeyctl.runtime.process import ProcessRuntime
from valkeyctl.runtime.protocol import Runtime

IMAGE = "docker.io/valkey/valkey:8.1"
Make = Callable[..., Artefacts]


def require_podman(root: Path) -> PodmanRuntime:
    """Return a Podman that works and has the image, or skip the test.

    With VALKEYCTL_REQUIRE_PODMAN=1 a test that would be skipped fails instead.
    """
    runtime = PodmanRuntime(root, os.environ.get("VALKEYCTL_PODMAN") or "podman")
    why = ""
    try:
        runtime.check()
        if not runtime.has_image(IMAGE):
            why = f"the image {IMAGE} is not here"
    except MissingError as error:
        why = str(error)
    if why and os.environ.get("VALKEYCTL_REQUIRE_PODMAN") == "1":
        pytest.fail(f"VALKEYCTL_REQUIRE_PODMAN=1, and {why}")
    if why:
        pytest.skip(f"Podman cannot be used here: {why}")
    return runtime


@pytest.fixture
def process_runtime(tmp_path: Path) -> ProcessRuntime:
    """The process runtime, in a folder of its own."""
    return ProcessRuntime(tmp_path / "process")


@pytest.fixture
def podman_runtime(tmp_path: Path) -> PodmanRuntime:
    """A Podman runtime that works; the test is skipped, and says so, without one."""
    return require_podman(tmp_path / "podman")


@pytest.fixture(params=["process", pytest.param("podman", marks=pytest.mark.podman)])
def runtime(request: pytest.FixtureRequest) -> Runtime:
    """Each runtime in turn."""
    found: Runtime = request.getfixturevalue(f"{request.param}_runtime")
    return found


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
