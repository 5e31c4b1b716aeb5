"""Containers that run what kubernetes.yaml says, as far as one machine can."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

import yaml

from tests.render.conftest import Podman
from valkeyctl.profile import Profile
from valkeyctl.render.targets import extra

Tree = dict[str, object]
NAMESPACE = "shop"


def documents(**fields: object) -> list[Tree]:
    """Return the objects of a profile with these fields."""
    profile = Profile.model_validate({"name": "x", **fields})
    return list(yaml.safe_load_all(extra(profile, "kubernetes")["kubernetes.yaml"]))


def only(found: list[Tree], kind: str, name: str = "") -> Tree:
    """Return the one object of a kind, and of a name where it is given."""
    named = [
        one
        for one in found
        if one["kind"] == kind and (not name or tree(one, "metadata")["name"] == name)
    ]
    assert len(named) == 1, f"{len(named)} x {kind} {name}"
    return named[0]


def tree(parent: Tree, *path: str) -> Tree:
    """Return the mapping at *path*."""
    for key in path:
        parent = cast("Tree", parent[key])
    return parent


class Pods:
    """The pods of every StatefulSet of *found*, as containers with fixed addresses.

    Names are looked up in /etc/hosts, as the cluster's DNS would tell them; the volumes
    outlive the containers.
    """

    def __init__(self, podman: Podman, found: list[Tree], folder: Path, subnet: str) -> None:
        self.podman = podman
        self.folder = folder
        self.subnet = subnet
        self.network = f"{podman.name}-net"
        self.shift = 10
        self.sets = [one for one in found if one["kind"] == "StatefulSet"]
        self.names = [
            f"{tree(one, 'metadata')['name']}-{number}"
            for one in self.sets
            for number in range(cast("int", tree(one, "spec")["replicas"]))
        ]
        for config in found:
            if config["kind"] == "ConfigMap":
                home = folder / str(tree(config, "metadata")["name"])
                home.mkdir()
                home.chmod(0o755)
                for name, text in tree(config, "data").items():
                    (home / name).write_text(str(text))
                    (home / name).chmod(0o644)
        podman.run("network", "create", "--subnet", f"{subnet}.0/24", self.network)

    def address(self, pod: str) -> str:
        """Return the address of a pod, which changes with `shift`."""
        return f"{self.subnet}.{self.shift + self.names.index(pod)}"

    def start(self, pod: str) -> None:
        """Make the container of *pod*; its volume is kept from an earlier one."""
        owner = next(
            one for one in self.sets if pod.rsplit("-", 1)[0] == tree(one, "metadata")["name"]
        )
        spec = tree(owner, "spec")
        template = tree(spec, "template", "spec")
        (container,) = cast("list[Tree]", template["containers"])
        config = tree(cast("list[Tree]", template["volumes"])[0], "configMap")["name"]
        self._run(pod, container, str(config), pod, f"{self.podman.name}-{pod}:/data")

    def job(self, job: Tree) -> str:
        """Run a Job to its end and return what it wrote."""
        template = tree(job, "spec", "template", "spec")
        (container,) = cast("list[Tree]", template["containers"])
        config = tree(cast("list[Tree]", template["volumes"])[0], "configMap")["name"]
        name = str(tree(job, "metadata")["name"])
        self._run(name, container, str(config), None, None)
        status = self.podman.run("wait", f"{self.podman.name}-{name}").stdout.strip()
        log = self.podman.run("logs", f"{self.podman.name}-{name}")
        self.podman.run("rm", f"{self.podman.name}-{name}")
        assert status == "0", log.stdout + log.stderr
        return log.stdout

    def _run(
        self, pod: str, container: Tree, config: str, address: str | None, volume: str | None
    ) -> None:
        words = ["run", "--detach", "--name", f"{self.podman.name}-{pod}", "--pull", "never"]
        words += ["--read-only", "--read-only-tmpfs=false", "--cap-drop", "all"]
        words += ["--user", "999:999", "--network", self.network, "--entrypoint", "[]"]
        if address:
            octet = self.address(address).rsplit(".", 1)[1]
            words += [
                "--ip",
                self.address(address),
                "--mac-address",
                f"02:00:00:00:00:{int(octet):02x}",
            ]
        words += ["--env", f"POD_NAME={pod}", "--env", f"POD_NAMESPACE={NAMESPACE}"]
        words += ["--env", f"POD_IP={self.address(address) if address else ''}"]
        for name in self.names:
            owner = name.rsplit("-", 1)[0]
            words += ["--add-host", f"{name}.{owner}-nodes.{NAMESPACE}.svc:{self.address(name)}"]
            # A Service leads to any of its pods; here to the first.
            if name.endswith("-0"):
                words += ["--add-host", f"{owner}:{self.address(name)}"]
        words += ["--volume", f"{self.folder / config}:/etc/valkeyctl:ro"]
        words += ["--volume", volume] if volume else []
        command = cast("list[str]", container["command"])
        self.podman.run(*words, str(container["image"]), *command)

    def remove(self, pod: str, *, with_volume: bool = False) -> None:
        """End the container of *pod* at once, as a lost machine does."""
        self.podman.run("rm", "--force", "--time", "0", f"{self.podman.name}-{pod}")
        if with_volume:
            self.podman.run("volume", "rm", f"{self.podman.name}-{pod}")

    def stop(self, pod: str) -> None:
        """End *pod* as the kubelet does: first what its preStop says."""
        name = f"{self.podman.name}-{pod}"
        self.podman.run("exec", name, "sh", "/etc/valkeyctl/stop.sh")
        self.podman.run("stop", "--time", "20", name)
        self.podman.run("rm", name)

    def ask(self, pod: str, *words: str, port: int = 6379) -> str:
        """Return the answer of the server in *pod*; empty where there is none."""
        done = self.podman.run(
            *("exec", f"{self.podman.name}-{pod}", "valkey-cli", "-p", str(port), *words),
            check=False,
        )
        return done.stdout.strip()

    def ready(self, pod: str) -> bool:
        """Say what the readiness probe of a server says."""
        words = ("valkey-cli", "-e", "-p", "6379", "ping")
        return not self.podman.run(
            "exec", f"{self.podman.name}-{pod}", *words, check=False
        ).returncode

    def until(self, what: str, holds: Callable[[], bool], seconds: float = 40) -> None:
        """Wait for something that only foreign processes decide."""
        deadline = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > deadline:
                logs = [self.logs(name) for name in self.names]
                raise AssertionError("\n".join([f"{what}: not after {seconds} s", *logs]))
            time.sleep(0.2)

    def logs(self, pod: str) -> str:
        """Return the last lines that *pod* wrote."""
        done = self.podman.run("logs", "--tail", "8", f"{self.podman.name}-{pod}", check=False)
        return f"-- {pod}\n{done.stdout}{done.stderr}"
