"""podman-compose.yaml: the same server as pod.yaml, in the other language."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import cast

import pytest
import yaml

from tests.conftest import free_port
from tests.render.conftest import Podman, ask
from valkeyctl.endpoint import Endpoint
from valkeyctl.profile import Profile
from valkeyctl.render import COMPOSE, CONF, POD, render

Tree = dict[str, object]


def project(**fields: object) -> Tree:
    """Return the compose project of a profile with these fields."""
    artefacts = render(Profile.model_validate({"name": "x", **fields}))
    return cast("Tree", yaml.safe_load(artefacts.files[COMPOSE]))


def service(**fields: object) -> Tree:
    """Return its only service."""
    services = cast("dict[str, Tree]", project(**fields)["services"])
    assert list(services) == ["server"]
    return services["server"]


def test_the_service_is_hardened_as_the_pod() -> None:
    """Compose can also limit processes, which kube YAML cannot."""
    found = service()

    assert found["read_only"] is True
    assert (found["cap_drop"], found["security_opt"]) == (["ALL"], ["no-new-privileges"])
    assert (found["user"], found["pids_limit"]) == ("999:999", 128)
    assert found["mem_limit"] == str(512 * 2**20)


def test_the_service_is_published_on_loopback() -> None:
    """IPv6 is in brackets, a name becomes its address."""
    assert service()["ports"] == ["127.0.0.1:6379:6379"]
    assert service(publish="localhost:7000")["ports"] == ["127.0.0.1:7000:6379"]
    assert service(publish="[::1]:7000")["ports"] == ["[::1]:7000:6379"]


def test_the_health_check_is_that_of_the_pod() -> None:
    """One server is healthy by one rule."""
    artefacts = render(Profile.model_validate({"name": "x", "persistence": "aof"}))
    *_, pod = yaml.safe_load_all(artefacts.files[POD])
    probe = pod["spec"]["containers"][0]["livenessProbe"]

    check = cast("Tree", service(persistence="aof")["healthcheck"])

    assert check == {
        "test": ["CMD", *probe["exec"]["command"]],
        "interval": f"{probe['periodSeconds']}s",
        "timeout": f"{probe['timeoutSeconds']}s",
        "start_period": f"{probe['initialDelaySeconds']}s",
        "retries": probe["failureThreshold"],
    }


def test_data_and_container_have_the_names_of_the_pods() -> None:
    """Both ways use one volume, and cannot run on it at the same time."""
    artefacts = render(Profile(name="x"))
    found = project()

    assert found["volumes"] == {"data": {"name": artefacts.volume}}
    assert service()["container_name"] == artefacts.container
    assert service()["volumes"] == [f"./{CONF}:/etc/valkeyctl/{CONF}:ro", "data:/data"]


@pytest.mark.podman
@pytest.mark.slow
def test_podman_compose_brings_it_up_and_keeps_its_data(tmp_path: Path, podman: Podman) -> None:
    """Up, write, down, up, read, with the tool itself."""
    port = free_port()
    fields = {"persistence": "aof", "memory": {"limit": "96Mi"}, "pull": "never"}
    profile = {"name": podman.name, "publish": f"127.0.0.1:{port}", **fields}
    artefacts = render(Profile.model_validate(profile))
    for name, text in artefacts.files.items():
        (tmp_path / name).write_text(text)
    endpoint = Endpoint(port=port)

    compose(podman, "up", "--detach")
    ask(endpoint, "SET", "k", "v")
    host = cast("Tree", podman.inspect("container", artefacts.container)["HostConfig"])
    probe = podman.run("healthcheck", "run", artefacts.container, check=False)
    compose(podman, "down")
    compose(podman, "up", "--detach")

    assert (host["Memory"], host["PidsLimit"]) == (96 * 2**20, 128)
    assert host["ReadonlyRootfs"] is True
    assert probe.returncode == 0
    assert ask(endpoint, "GET", "k") == b"$1\r\nv\r\n"


def compose(podman: Podman, *words: str) -> None:
    """Run podman-compose in the folder of *podman*."""
    program = Path(sys.executable).with_name("podman-compose")
    done = subprocess.run(
        [program, "--podman-path", shutil.which(podman.command) or "", "-f", COMPOSE, *words],
        cwd=podman.folder,
        env={**os.environ, "PWD": str(podman.folder)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
