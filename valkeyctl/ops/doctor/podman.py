"""What this Podman can do, and what it does otherwise than one expects."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from valkeyctl.ops.doctor.finding import Finding
from valkeyctl.ops.doctor.machine import Machine
from valkeyctl.runtime.podmantraps import Traps

_CATATONIT = ("/usr/libexec/podman/catatonit", "/usr/lib/podman/catatonit", "/usr/bin/catatonit")
_GENERATORS = (
    "/usr/lib/systemd/system-generators/podman-system-generator",
    "/usr/libexec/podman/quadlet",
)


@dataclass(frozen=True)
class PodmanFacts:
    """What a Podman says of itself.

    Attributes:
        command: How it is called.
        problem: Why it says nothing; empty when it does.
        version: Such as ``5.4.2``.
        built: Stamp of its build, which names the pause image.
        info: ``podman info``.
    """

    command: tuple[str, ...]
    problem: str
    version: str
    built: str
    info: Mapping[str, object]

    @classmethod
    def of(cls, machine: Machine, command: str) -> Self:
        """Return what the Podman called *command* says."""
        try:
            words = tuple(shlex.split(command)) or ("podman",)
        except ValueError as error:
            return cls((command,), f"{command} is no command: {error}", "", "", {})
        version = machine.run(*words, "version", "--format", "json")
        info = machine.run(*words, "info", "--format", "json")
        client = _section(_tree(version.out), "Client")
        if not client:
            problem = version.problem or f"it ended with status {version.code}"
            return cls(words, problem, "", "", {})
        return cls(
            words, "", str(client.get("Version", "")), str(client.get("Built", "")), _tree(info.out)
        )

    @property
    def host(self) -> Mapping[str, object]:
        """The part of ``podman info`` about the machine."""
        return _section(self.info, "host")

    @property
    def rootless(self) -> bool:
        """Whether it runs without root's rights."""
        return _section(self.host, "security").get("rootless") is True

    @property
    def storage(self) -> Path | None:
        """The folder in which volumes lie; None when it does not say."""
        root = _section(self.info, "store").get("graphRoot")
        return Path(str(root)) if root else None


def check_podman(machine: Machine, facts: PodmanFacts) -> Sequence[Finding]:
    """Return what was found of Podman; one finding when there is none."""
    if facts.problem:
        return (absent(facts),)
    return (
        known_traps(facts),
        pods(machine, facts),
        network(facts),
        privileges(facts),
        control_groups(facts),
        after_a_reboot(machine, facts),
    )


def absent(facts: PodmanFacts) -> Finding:
    """Say that there is no Podman that works."""
    return Finding(
        *("podman", "podman", f"does not run: {facts.problem}", "4.3 or newer", "warn"),
        why="Without it a server runs as a process: no memory limit, no read-only root, no "
        "topologies with their own network.",
        fix="apt-get install podman, or deploy with --runtime process",
    )


def known_traps(facts: PodmanFacts) -> Finding:
    """Name what this version does otherwise than a newer one; valkeyctl goes around it."""
    own = Traps.of(facts.version).own
    count = f", {len(own)} known traps" if own else ""
    what = "; ".join(trap.what for trap in own)
    return Finding(
        *("podman", "version", f"{facts.version}{count}", "5.4 or newer"),
        "warn" if own else "ok",
        why=f"valkeyctl goes around them; who works with podman by hand should know: {what}."
        if own
        else "Older versions have traps: docs/explanation/podman.md.",
        fix="Upgrade Podman, or leave these pods to valkeyctl" if own else "",
    )


def pods(machine: Machine, facts: PodmanFacts) -> Finding:
    """Look for what every pod is built on, without making one."""
    pause = f"localhost/podman-pause:{facts.version}-{facts.built}"
    image = machine.run(*facts.command, "image", "exists", pause).code == 0
    program = next((path for path in _CATATONIT if machine.exists(path)), None)
    value = "the pause image is here" if image else program or "no pause image, no catatonit"
    return Finding(
        *("podman", "pods", value, "a pause image, or catatonit"),
        "ok" if image or program else "fail",
        why="Podman builds the first container of every pod around catatonit, which a minimal "
        "installation leaves out.",
        fix="apt-get install catatonit",
    )


def network(facts: PodmanFacts) -> Finding:
    """Look at who makes the bridges."""
    value = str(facts.host.get("networkBackend", "not known"))
    return Finding(
        *("podman", "network", value, "netavark", "ok" if value == "netavark" else "warn"),
        why="The topologies give each unit a fixed address and MAC; they were tried with netavark "
        "only.",
        fix='Write network_backend = "netavark" under [network] in containers.conf',
    )


def privileges(facts: PodmanFacts) -> Finding:
    """Say what running with or without root's rights means here."""
    if not facts.rootless:
        return Finding(
            *("podman", "rootful", "yes", "yes", "ok"),
            why="Containers get bridges and addresses of their own; the server itself runs as an "
            "ordinary user.",
        )
    return Finding(
        *("podman", "rootful", "no, rootless", "yes", "warn"),
        why="Rootless Podman has no bridges that the machine can reach: topologies cannot be "
        "deployed, and memory limits need control groups version 2.",
        fix="Write VALKEYCTL_PODMAN='sudo podman' for topologies",
    )


def control_groups(facts: PodmanFacts) -> Finding:
    """Look at whether the kernel keeps a container within its memory limit."""
    version = str(facts.host.get("cgroupVersion", "not known"))
    controllers = facts.host.get("cgroupControllers")
    memory = isinstance(controllers, list) and "memory" in controllers
    honoured = memory and not (facts.rootless and version == "v1")
    return Finding(
        *("podman", "memory limits", f"{'honoured' if honoured else 'ignored'}, cgroups {version}"),
        "honoured",
        "ok" if honoured else "fail",
        why="memory.limit is what keeps a full cache from taking the machine down with it.",
        fix="Boot with cgroup_enable=memory systemd.unified_cgroup_hierarchy=1",
    )


def after_a_reboot(machine: Machine, facts: PodmanFacts) -> Finding:
    """Look at whether something would start the pods again after a reboot."""
    systemd = machine.exists("/run/systemd/system")
    generator = next((path for path in _GENERATORS if machine.exists(path)), None)
    value = (
        "systemd and the Quadlet generator"
        if systemd and generator
        else "systemd, no Quadlet generator"
        if systemd
        else "no systemd"
    )
    traps = Traps.of(facts.version)
    risk = " A failed probe may restart the container." if "probe_restarts" in traps else ""
    return Finding(
        *("podman", "after a reboot", value, "systemd and the Quadlet generator"),
        "ok" if systemd and generator else "warn",
        why="Podman starts nothing by itself when the machine boots, and without systemd nobody "
        f"runs the liveness probe.{risk}",
        fix="valkeyctl render --target quadlet, with Podman 4.4 or newer; or valkeyctl deploy at "
        "boot",
    )


def _tree(text: str) -> Mapping[str, object]:
    try:
        found: object = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _section(node: Mapping[str, object], key: str) -> Mapping[str, object]:
    found = node.get(key)
    return found if isinstance(found, dict) else {}
