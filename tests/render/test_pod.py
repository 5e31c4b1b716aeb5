"""pod.yaml: what podman is told, and what it must not be told."""

from __future__ import annotations

import re
from pathlib import Path
from typing import cast

import pytest
import yaml

from tests.conftest import free_port
from tests.render.conftest import Podman, ask
from valkeyctl import __version__
from valkeyctl.endpoint import Endpoint
from valkeyctl.profile import Profile
from valkeyctl.render import CONF, POD, render
from valkeyctl.render.yamltext import yaml_text

Tree = dict[str, object]


def documents(**fields: object) -> tuple[Tree, Tree]:
    """Return the ConfigMap and the Pod of a profile with these fields."""
    artefacts = render(Profile.model_validate({"name": "x", **fields}))
    config, pod = yaml.safe_load_all(artefacts.files[POD])
    return config, pod


def server(pod: Tree) -> Tree:
    """Return the server's container."""
    (only,) = cast("list[Tree]", cast("Tree", pod["spec"])["containers"])
    return only


def test_there_is_a_configmap_and_a_pod_and_nothing_else() -> None:
    """A PersistentVolumeClaim would break --replace on Podman 4, a Secret would be text."""
    config, pod = documents()

    assert (config["kind"], pod["kind"]) == ("ConfigMap", "Pod")


def test_the_configmap_holds_the_conf_and_is_named_by_its_content() -> None:
    """A changed conf gets another name: Podman leaves removed keys of the old one."""
    (before, _), (after, pod) = documents(), documents(eviction="noeviction")
    names = [str(cast("Tree", config["metadata"])["name"]) for config in (before, after)]

    rendered = render(Profile.model_validate({"name": "x", "eviction": "noeviction"}))

    assert cast("Tree", after["data"]) == {CONF: rendered.files[CONF]}
    assert names[0] != names[1]
    assert all(re.fullmatch(r"x-conf-[0-9a-f]{12}", name) for name in names)
    assert {"name": "conf", "configMap": {"name": names[1]}} in cast(
        "list[object]", cast("Tree", pod["spec"])["volumes"]
    )


def test_the_container_may_do_nothing_that_a_cache_does_not_need() -> None:
    """Hardened unless the profile says otherwise."""
    _, pod = documents()

    assert server(pod)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
        "runAsGroup": 999,
        "runAsNonRoot": True,
        "runAsUser": 999,
    }


def test_the_port_is_published_on_the_profiles_address_only() -> None:
    """A hostPort without hostIP would be open to the network."""
    _, pod = documents(publish="127.0.0.1:7000")

    assert server(pod)["ports"] == [
        {"containerPort": 6379, "hostIP": "127.0.0.1", "hostPort": 7000, "protocol": "TCP"}
    ]


def test_the_probe_is_a_flat_list() -> None:
    """Podman 4 joins the words by blanks; a shell command would lose its quotes."""
    _, pod = documents(probes={"interval": "2500ms", "timeout": "1s", "failures": 4})

    assert server(pod)["livenessProbe"] == {
        "exec": {"command": ["valkey-cli", "-e", "-p", "6379", "ping"]},
        "failureThreshold": 4,
        "initialDelaySeconds": 16,
        "periodSeconds": 3,
        "timeoutSeconds": 1,
    }


def test_failures_do_not_count_while_the_data_may_still_be_loading() -> None:
    """A server that is restarted for loading never ends loading."""
    _, pod = documents(persistence="rdb", memory={"limit": "1000Mi"})

    assert cast("Tree", server(pod)["livenessProbe"])["initialDelaySeconds"] == 25


@pytest.mark.parametrize(
    ("limit", "quantity"), [("1Gi", "1Gi"), ("96Mi", "96Mi"), ("1G", "1000000000")]
)
def test_the_memory_limit_is_exact(limit: str, quantity: str) -> None:
    """No byte is lost between the profile and the kernel."""
    _, pod = documents(memory={"limit": limit})

    assert server(pod)["resources"] == {"limits": {"memory": quantity}}


def test_the_rest_of_the_pod() -> None:
    """Restart, grace, image and claim are as the profile has them."""
    _, pod = documents(pull="never", stop={"grace": "2500ms"})
    spec = cast("Tree", pod["spec"])

    assert (spec["restartPolicy"], spec["terminationGracePeriodSeconds"]) == ("Always", 3)
    assert server(pod)["imagePullPolicy"] == "Never"
    assert {"name": "data", "persistentVolumeClaim": {"claimName": "x-data"}} in cast(
        "list[object]", spec["volumes"]
    )


@pytest.mark.parametrize("text", ["1e3", "123456789e01", "0o17", "y", "no", "1:30", "-p", "", "~"])
def test_text_stays_text_to_every_reader_of_yaml(text: str) -> None:
    """A hash of digits and one e would be a number to podman."""
    assert re.fullmatch(r"key: (['\"]).*\1\n", yaml_text({"key": text}))
    assert yaml.safe_load(yaml_text({"key": text})) == {"key": text}


@pytest.mark.podman
@pytest.mark.slow
def test_podman_plays_the_pod_hardened_and_keeps_its_data(tmp_path: Path, podman: Podman) -> None:
    """Play, write, stop, replace, read: on the Podman that is here."""
    port = free_port()
    fields = {"persistence": "rdb", "memory": {"limit": "96Mi"}, "pull": "never"}
    profile = {"name": podman.name, "publish": f"127.0.0.1:{port}", **fields}
    artefacts = render(Profile.model_validate(profile))
    (tmp_path / POD).write_text(artefacts.files[POD])
    podman.run("kube", "play", str(tmp_path / POD))
    endpoint = Endpoint(port=port)
    ask(endpoint, "SET", "k", "v")

    host = cast("Tree", podman.inspect("container", artefacts.container)["HostConfig"])
    state = cast("Tree", podman.inspect("container", artefacts.container)["State"])
    status = dict(
        line.split(":\t", 1)
        for line in Path(f"/proc/{state['Pid']}/status").read_text().splitlines()
        if ":\t" in line
    )
    probe = podman.run("healthcheck", "run", artefacts.container, check=False)
    podman.run("pod", "stop", "--time", "30", artefacts.pod)
    podman.run("kube", "play", "--replace", str(tmp_path / POD))

    assert (host["Memory"], host["ReadonlyRootfs"]) == (96 * 2**20, True)
    assert status["Uid"].split() == ["999"] * 4
    assert (status["CapEff"], status["CapBnd"]) == ("0" * 16, "0" * 16)
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert probe.returncode == 0
    assert ask(endpoint, "GET", "k") == b"$1\r\nv\r\n"
    assert podman.inspect("pod", artefacts.pod)["Labels"] == {
        "valkeyctl.hash": artefacts.digest,
        "valkeyctl.profile": podman.name,
        "valkeyctl.version": __version__,
    }
