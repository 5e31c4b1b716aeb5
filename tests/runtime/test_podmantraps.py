"""The table of Podman's traps, held against what each Podman really does."""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import IMAGE, command, free_port
from valkeyctl.endpoint import Endpoint
from valkeyctl.runtime.podman import PodmanRuntime
from valkeyctl.runtime.podmancli import PodmanCommand
from valkeyctl.runtime.podmantraps import TABLE, Traps, parse_version
from valkeyctl.runtime.ready import ask

Tree = dict[str, object]
Name = Callable[[], str]


def test_versions_are_numbers() -> None:
    """A distribution's suffix does not matter; a word has no numbers."""
    assert parse_version("4.10.1-rc2") == (4, 10, 1)
    assert parse_version("4.10.1") > parse_version("4.9")
    assert parse_version("unknown") == ()


def test_an_unknown_version_has_every_trap() -> None:
    """The way around a trap is right where there is none."""
    assert Traps.of("").known == TABLE


def test_a_newer_podman_has_fewer_traps() -> None:
    """What is gone from some version on is what speaks for an upgrade."""
    old, new = Traps.of("4.3.1"), Traps.of("5.4.2")

    assert "oom_flag_unreliable" in old
    assert "oom_flag_unreliable" not in new
    assert {trap.name for trap in old.known} > {trap.name for trap in new.known}
    assert new.own == ()


def test_every_row_is_about_another_thing() -> None:
    """One row a trap, each with a way around it."""
    assert len({trap.name for trap in TABLE}) == len(TABLE)
    assert all(trap.what and trap.instead and trap.source for trap in TABLE)


@pytest.fixture(scope="module")
def podman(podman_command: str) -> PodmanCommand:
    """Each Podman."""
    return PodmanCommand(podman_command)


@pytest.fixture(scope="module")
def traps(podman_command: str, tmp_path_factory: pytest.TempPathFactory) -> Traps:
    """What the table says of it."""
    return Traps.of(PodmanRuntime(tmp_path_factory.mktemp("podman"), podman_command).version())


@pytest.fixture
def names(podman: PodmanCommand) -> Iterator[Name]:
    """Names of a test's own; pods, containers, volumes and networks so called are removed."""
    given: list[str] = []

    def new() -> str:
        given.append(f"vkp-{secrets.token_hex(4)}")
        return given[-1]

    yield new
    for name in given:
        remove(podman, name)


def remove(podman: PodmanCommand, name: str) -> None:
    """Remove everything that is called *name*."""
    podman.run("pod", "rm", "--force", "--time", "0", name)
    podman.run("rm", "--force", "--volumes", "--time", "0", name)
    podman.run("secret", "rm", name)
    podman.run("network", "rm", "--force", name)
    listed = podman.run("volume", "ls", "--quiet", "--filter", f"name={name}").out.split()
    for volume in (volume for volume in listed if volume.startswith(name)):
        podman.run("volume", "rm", "--force", volume)


def pod_yaml(
    name: str, *, port: int = 0, args: str = "", volumes: str = "", mounts: str = ""
) -> str:
    """Return a pod with one server, and otherwise only what is given."""
    ports = f"[{{containerPort: 6379, hostIP: 127.0.0.1, hostPort: {port}}}]" if port else "[]"
    return f"""
apiVersion: v1
kind: Pod
metadata: {{name: {name}}}
spec:
  terminationGracePeriodSeconds: 20
  volumes: [{volumes}]
  containers:
  - name: server
    image: {IMAGE}
    imagePullPolicy: Never
    args: [{args or 'valkey-server, --save, ""'}]
    ports: {ports}
    volumeMounts: [{mounts}]
    livenessProbe: {{exec: {{command: [sh, -c, "exit 0"]}}, failureThreshold: 3}}
"""


def play(podman: PodmanCommand, folder: Path, text: str, *words: str) -> int:
    """Play *text*, and return podman's exit status."""
    file = folder / "pod.yaml"
    file.write_text(text)
    return podman.run("kube", "play", *words, file, folder=folder).code


def section(tree: Tree | None, key: str) -> Tree:
    """Return a part of what inspect says."""
    assert tree is not None
    found = tree[key]
    assert isinstance(found, dict)
    return found


def wait_for(endpoint: Endpoint) -> None:
    """Return when a server answers there."""
    until = time.monotonic() + 10
    while ask(endpoint) != "ready":
        assert time.monotonic() < until
        time.sleep(0.02)  # the only way to know that a foreign process is ready


@pytest.fixture(scope="module")
def secretive(podman: PodmanCommand, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A pod with a probe of quoted words, a grace and a Secret volume; the name of all three."""
    name = f"vkp-{secrets.token_hex(4)}"
    secret = f"apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\ndata: {{f: aGVsbG8=}}\n---"
    volumes = f"{{name: s, secret: {{secretName: {name}, optional: false, defaultMode: 0400}}}}"
    pod = pod_yaml(name, args="sleep, infinity", volumes=volumes, mounts="{name: s, mountPath: /s}")
    code = play(podman, tmp_path_factory.mktemp(name), secret + pod)
    assert code == 0
    yield name
    remove(podman, name)


@pytest.mark.podman
def test_grace_field(podman: PodmanCommand, traps: Traps, secretive: str) -> None:
    """grace_field_ignored: the container's own stop timeout stays at its default."""
    config = section(podman.inspect("container", f"{secretive}-server"), "Config")

    assert config["StopTimeout"] == (10 if "grace_field_ignored" in traps else 20)


@pytest.mark.podman
def test_exec_probe(podman: PodmanCommand, traps: Traps, secretive: str) -> None:
    """exec_probe_joined: a list of words becomes a line of a shell."""
    config = section(podman.inspect("container", f"{secretive}-server"), "Config")
    words = section(config, "Healthcheck")["Test"]

    assert isinstance(words, list)
    kept = words == ["CMD", "sh", "-c", "exit 0"]
    assert kept is ("exec_probe_joined" not in traps)


@pytest.mark.podman
def test_a_probe_restarts(podman: PodmanCommand, traps: Traps, secretive: str) -> None:
    """probe_restarts: a liveness probe comes with an action of its own."""
    config = section(podman.inspect("container", f"{secretive}-server"), "Config")

    restarts = config.get("HealthcheckOnFailureAction") == "restart"
    assert restarts is ("probe_restarts" in traps)


@pytest.mark.podman
def test_secret_volume(podman: PodmanCommand, traps: Traps, secretive: str) -> None:
    """secret_volume_is_base64, secret_volume_is_roots: what the server's user would find."""
    inside = ("exec", "--user", "999", f"{secretive}-server")

    owner = podman.require("exec", f"{secretive}-server", "stat", "-Lc", "%u %a", "/s/f").split()
    text = podman.require("exec", f"{secretive}-server", "cat", "/s/f")
    readable = podman.run(*inside, "cat", "/s/f").ok

    assert (text == "aGVsbG8=") is ("secret_volume_is_base64" in traps)
    assert (owner[0] == "0") is ("secret_volume_is_roots" in traps)
    assert readable is (owner[1] == "644")


@pytest.mark.podman
def test_pod_inspect(podman: PodmanCommand, traps: Traps, secretive: str) -> None:
    """pod_inspect_is_object: one of two forms, and both are read."""
    answered = podman.require("pod", "inspect", secretive).lstrip()

    assert answered.startswith("{") is ("pod_inspect_is_object" in traps)
    assert section({"found": podman.inspect("pod", secretive)}, "found")["Name"] == secretive


@pytest.mark.podman
@pytest.mark.slow
def test_replace_and_the_last_snapshot(
    podman: PodmanCommand, traps: Traps, names: Name, tmp_path: Path
) -> None:
    """replace_loses_rdb: what was written since the last snapshot is gone, or is not."""
    name, endpoint = names(), Endpoint(port=free_port())
    volumes = f"{{name: data, persistentVolumeClaim: {{claimName: {name}}}}}"
    server = 'valkey-server, --save, "3600 1", --dir, /data, --protected-mode, "no"'
    mounts = "{name: data, mountPath: /data}"
    text = pod_yaml(name, port=endpoint.port, args=server, volumes=volumes, mounts=mounts)
    play(podman, tmp_path, text)
    wait_for(endpoint)
    command(endpoint, "SET", "k", "v")

    assert play(podman, tmp_path, text, "--replace") == 0

    wait_for(endpoint)
    lost = command(endpoint, "GET", "k") == b"$-1\r\n"
    assert lost is ("replace_loses_rdb" in traps)


@pytest.mark.podman
@pytest.mark.slow
def test_replace_and_a_claims_document(
    podman: PodmanCommand, traps: Traps, names: Name, tmp_path: Path
) -> None:
    """pvc_document_breaks_replace: the volume that is already there ends the replacement."""
    name = names()
    claim = f"apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {{name: {name}}}\n---"
    volumes = f"{{name: data, persistentVolumeClaim: {{claimName: {name}}}}}"
    text = claim + pod_yaml(name, volumes=volumes, mounts="{name: data, mountPath: /data}")
    play(podman, tmp_path, text)

    code = play(podman, tmp_path, text, "--replace")

    found = podman.inspect("container", f"{name}-server")
    runs = found is not None and section(found, "State")["Status"] == "running"
    broken = "pvc_document_breaks_replace" in traps
    assert (code == 125, runs) == (broken, not broken)


@pytest.mark.podman
@pytest.mark.slow
def test_replace_and_a_missing_image(
    podman: PodmanCommand, traps: Traps, names: Name, tmp_path: Path
) -> None:
    """replace_takes_down_first: the pod that ran is gone when the failure is found."""
    name = names()
    text = pod_yaml(name)
    play(podman, tmp_path, text)

    code = play(podman, tmp_path, text.replace(IMAGE, "localhost/vkp-none:1"), "--replace")

    down = podman.inspect("container", f"{name}-server") is None
    assert (code != 0, down) == (True, "replace_takes_down_first" in traps)


@pytest.mark.podman
def test_a_bad_configuration_is_a_success_to_kube_play(
    podman: PodmanCommand, traps: Traps, names: Name, tmp_path: Path
) -> None:
    """exit_code_proves_nothing: status 0, and no server."""
    name = names()

    code = play(podman, tmp_path, pod_yaml(name, args="valkey-server, --no-such, x"))

    assert (code == 0) is ("exit_code_proves_nothing" in traps)


@pytest.mark.podman
@pytest.mark.slow
def test_a_key_that_left_a_configmap(
    podman: PodmanCommand, traps: Traps, names: Name, tmp_path: Path
) -> None:
    """config_key_stays: the file of the key is still there after a replacement."""
    name = names()
    volumes = f"{{name: c, configMap: {{name: {name}-conf}}}}"
    pod = pod_yaml(name, volumes=volumes, mounts="{name: c, mountPath: /c}")
    config = (
        f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}-conf}}\ndata: {{KEYS}}\n---"
    )
    play(podman, tmp_path, config.replace("KEYS", "a: x, b: y") + pod)

    play(podman, tmp_path, config.replace("KEYS", "a: x") + pod, "--replace")

    files = podman.require("exec", f"{name}-server", "ls", "/c").split()
    assert ("b" in files) is ("config_key_stays" in traps)


@pytest.mark.podman
def test_the_flag_of_a_container_out_of_memory(
    podman: PodmanCommand, traps: Traps, names: Name, tmp_path: Path
) -> None:
    """oom_flag_unreliable, oom_flag_sticks: exit code 137 either way, and what beside it."""
    name = names()
    limited = ("create", "--name", name, "--network", "none", "--memory", "32m", IMAGE)
    podman.require(*limited, "sh", "-c", "test -e /tmp/x && exec sleep 60; >/tmp/x; tail /dev/zero")
    podman.run("start", "--attach", name, folder=tmp_path)

    state = section(podman.inspect("container", name), "State")
    podman.require("start", name, folder=tmp_path)
    podman.require("kill", "--signal", "KILL", name)
    podman.run("wait", name)
    later = section(podman.inspect("container", name), "State")

    assert state["ExitCode"] == 137
    assert state["OOMKilled"] is ("oom_flag_unreliable" not in traps)
    assert (tmp_path / "oom").exists()  # conmon's own note, by which valkeyctl judges
    assert later["ExitCode"] == 137
    sticks = "oom_flag_sticks" in traps and "oom_flag_unreliable" not in traps
    assert later["OOMKilled"] is sticks


@pytest.mark.podman
def test_a_new_mac_is_announced(podman: PodmanCommand, traps: Traps, names: Name) -> None:
    """arp_not_announced: the container's network is told to stay silent about a change."""
    network = names()
    podman.require("network", "create", network)

    setting = podman.require(
        *("run", "--rm", "--network", network, "--entrypoint", "cat", IMAGE),
        "/proc/sys/net/ipv4/conf/eth0/arp_notify",
    )

    assert (setting.strip() == "0") is ("arp_not_announced" in traps)


@pytest.mark.podman
def test_the_port_of_a_paused_container(podman: PodmanCommand, traps: Traps, names: Name) -> None:
    """port_held_open: a connection opens, and a PING is never answered."""
    name, endpoint = names(), Endpoint(port=free_port())
    podman.require(
        *("run", "--detach", "--name", name, "--publish", f"{endpoint.address}:6379", IMAGE),
        *("valkey-server", "--save", "", "--protected-mode", "no"),
    )
    wait_for(endpoint)
    podman.require("pause", name)

    with socket.create_connection((endpoint.host, endpoint.port), timeout=2):
        answer = ask(endpoint)

    podman.require("unpause", name)
    assert (answer == "silent") is ("port_held_open" in traps)
