"""Merged files, run by the tools that they are for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import IMAGE, free_port, one_podman
from tests.render.conftest import Podman, ask
from tests.render.test_compose import compose
from valkeyctl.endpoint import Endpoint
from valkeyctl.ops.into import insert
from valkeyctl.profile import Profile
from valkeyctl.render import COMPOSE, Artefacts, render


def server(podman: Podman, port: int, **fields: object) -> Artefacts:
    """Return the render of a small profile for this test."""
    about = {"name": podman.name, "publish": f"127.0.0.1:{port}", "pull": "never", **fields}
    # A probe is a process more in the container: on a busy machine that takes its time.
    patient = {"memory": {"limit": "96Mi"}, "probes": {"timeout": "30s"}}
    return render(Profile.model_validate({**about, **patient}))


@pytest.mark.podman
@pytest.mark.slow
def test_podman_plays_a_merged_pod(podman: Podman, tmp_path: Path) -> None:
    """The application reaches the server inside of the pod, and others the published port."""
    port, file = free_port(), tmp_path / "app.yaml"
    file.write_text(
        f"kind: Pod\napiVersion: v1\nmetadata:\n  name: {podman.name}-app\nspec:\n  containers:\n"
        f"  - name: web\n    image: {IMAGE}\n    imagePullPolicy: Never\n"
        "    args: [sleep, infinity]\n"
    )
    insert(file, server(podman, port))

    podman.run("kube", "play", str(file))

    endpoint = Endpoint(port=port)
    assert ask(endpoint, "SET", "k", "v") == b"+OK\r\n"
    assert ask(endpoint, "CONFIG", "GET", "maxmemory-policy").endswith(b"allkeys-lru\r\n")
    inside = podman.run("exec", f"{podman.name}-app-web", "valkey-cli", "GET", "k")
    assert inside.stdout == "v\n"
    probed = podman.run("healthcheck", "run", f"{podman.name}-app-{podman.name}-valkey")
    assert probed.returncode == 0

    insert(file, server(podman, port, eviction="noeviction"))
    podman.run("pod", "stop", "--time", "1", f"{podman.name}-app")  # sleep takes no SIGTERM
    podman.run("kube", "play", "--replace", str(file))
    assert ask(endpoint, "CONFIG", "GET", "maxmemory-policy").endswith(b"noeviction\r\n")


@one_podman
@pytest.mark.podman
@pytest.mark.slow
def test_podman_compose_brings_a_merged_file_up(podman: Podman, tmp_path: Path) -> None:
    """With the configuration that lies beside it."""
    port, file = free_port(), tmp_path / COMPOSE
    file.write_text(f"name: {podman.name}\nservices: {{}}\n")
    insert(file, server(podman, port, eviction="noeviction"))

    compose(podman, "up", "--detach")
    try:
        answer = ask(Endpoint(port=port), "CONFIG", "GET", "maxmemory-policy")
    finally:
        compose(podman, "down")

    assert answer.endswith(b"noeviction\r\n")
