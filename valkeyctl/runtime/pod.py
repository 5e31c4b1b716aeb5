"""A pod as podman reports it, and the names of what belongs to a deployment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from valkeyctl.endpoint import Endpoint
from valkeyctl.render.artefacts import HASH_LABEL, PROFILE_LABEL, TLS_LABEL
from valkeyctl.render.conf import SENTINEL_PORT, SERVER_PORT
from valkeyctl.render.topology import deployment_of
from valkeyctl.runtime.podmancli import PodmanCommand

IMAGE_ID = "image id"


@dataclass(frozen=True)
class PodNames:
    """What the objects of a deployment are called; the same as its `Artefacts` say."""

    deployment: str

    @property
    def pod(self) -> str:
        """Name of the pod."""
        return f"{self.deployment}-valkey"

    @property
    def container(self) -> str:
        """Name of the server's container."""
        return f"{self.pod}-server"

    @property
    def volume(self) -> str:
        """Name of the volume that holds the data."""
        return f"{self.deployment}-data"

    @property
    def config_prefix(self) -> str:
        """First part of the names of ConfigMap volumes; a hash follows."""
        return f"{self.deployment}-conf-"


@dataclass(frozen=True)
class Pod:
    """A pod that exists, whether or not it runs.

    Attributes:
        name: Of the pod.
        ours: Whether it carries our label for this deployment.
        digest: Of the artefacts that it was made from; empty when it says none.
        endpoint: The published address.
        container: Name of the server's container.
        container_id: Its id; empty when there is none.
        image: What it was made from.
        state: Of the container: ``running``, ``exited``, ``paused``, ...; ``missing``
            when there is none.
        exit_code: Of its last run.
        restarts: How often podman has started it anew.
        facts: What the container is made like, by the field of the profile.
        started: When it was started last, in podman's words.
        holds_port: Whether its infra container runs, which keeps the published port even
            while the server is stopped, as it is after a deploy that was killed then.
    """

    name: str
    ours: bool
    digest: str
    endpoint: Endpoint
    container: str
    container_id: str
    image: str
    state: str
    exit_code: int
    restarts: int
    facts: Mapping[str, str] = field(default_factory=dict)
    started: str = ""
    holds_port: bool = False

    @property
    def running(self) -> bool:
        """Whether the server's container is up."""
        return self.state in {"running", "paused"}


def find_pod(podman: PodmanCommand, deployment: str) -> Pod | None:
    """Return the pod of *deployment*, or one that only has its name; None without one."""
    return find_pods(podman, [deployment]).get(deployment)


def find_pods(podman: PodmanCommand, units: Iterable[str]) -> dict[str, Pod]:
    """Return the pods of *units*, or those that only have their names, in two calls for all."""
    names = {unit: PodNames(unit) for unit in units}
    pods = _by_name(podman.inspect_all("pod", [name.pod for name in names.values()]))
    there = {unit: name for unit, name in names.items() if name.pod in pods}
    inside = podman.inspect_all("container", [name.container for name in there.values()])
    containers = _by_name(inside)
    return {
        unit: _pod(unit, name, pods[name.pod], containers.get(name.container, {}))
        for unit, name in there.items()
    }


def _by_name(found: Iterable[Mapping[str, object]]) -> dict[str, Mapping[str, object]]:
    return {str(one.get("Name", "")): one for one in found}


def _pod(
    unit: str, names: PodNames, pod: Mapping[str, object], container: Mapping[str, object]
) -> Pod:
    labels, state = _section(pod, "Labels"), _section(container, "State")
    return Pod(
        name=names.pod,
        ours=labels.get(PROFILE_LABEL) == deployment_of(unit),
        digest=str(labels.get(HASH_LABEL, "")),
        endpoint=_published(pod, tls=labels.get(TLS_LABEL) == "true"),
        container=names.container,
        container_id=str(container.get("Id", "")),
        image=str(container.get("ImageName", "")),
        state=str(state.get("Status", "missing")),
        exit_code=_number(state.get("ExitCode")),
        restarts=_number(container.get("RestartCount")),
        facts=_facts(container),
        holds_port=str(pod.get("State", "")) in {"Running", "Degraded"},
        started=str(state.get("StartedAt", "")),
    )


def _facts(container: Mapping[str, object]) -> dict[str, str]:
    """Return how the container was made, in the words of the profile; see `wanted_facts`."""
    if not container:
        return {}
    host, config = _section(container, "HostConfig"), _section(container, "Config")
    return {
        "image": str(container.get("ImageName", "")),
        "memory.limit": str(_number(host.get("Memory"))),
        "security.user": str(config.get("User", "")),
        "security.read_only": str(bool(host.get("ReadonlyRootfs"))).lower(),
        IMAGE_ID: str(container.get("Image", "")).removeprefix("sha256:")[:12],
    }


def _published(pod: Mapping[str, object], *, tls: bool) -> Endpoint:
    published = _section(_section(pod, "InfraConfig"), "PortBindings")
    bindings = published.get(f"{SERVER_PORT}/tcp") or published.get(f"{SENTINEL_PORT}/tcp")
    first = bindings[0] if isinstance(bindings, list) and bindings else {}
    if not isinstance(first, dict):
        return Endpoint(tls=tls)
    return Endpoint(
        host=str(first.get("HostIp") or "0.0.0.0"),  # noqa: S104 - what podman means by none
        port=_number(first.get("HostPort")),
        tls=tls,
    )


def _section(node: Mapping[str, object], key: str) -> Mapping[str, object]:
    found = node.get(key)
    return found if isinstance(found, dict) else {}


def _number(value: object) -> int:
    return int(value) if isinstance(value, (int, str)) and str(value).isdigit() else 0
