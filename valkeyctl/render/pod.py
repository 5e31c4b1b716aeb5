"""From a profile to kube YAML for `podman kube play`: a ConfigMap and a Pod.

Two documents are left out on purpose. With a PersistentVolumeClaim, `--replace` of
Podman 4 fails after it has taken the pod down (claiming a name alone makes the volume
too, and keeps it). A Secret reaches the container as base64 text there.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import replace

from valkeyctl.profile.schema import Profile
from valkeyctl.render.artefacts import CONF, POD, SENTINEL_CONF, digest_of
from valkeyctl.render.bridge import dynamic_range
from valkeyctl.render.conf import DATA_DIR, SECRETS_DIR
from valkeyctl.render.container import (
    CONF_DIR,
    Probe,
    heading,
    labels,
    probe_command,
    publish_address,
    secret_files,
    secrets_volume,
)
from valkeyctl.render.unitplan import UnitPlan
from valkeyctl.render.yamltext import yaml_text

_PULL = {"missing": "IfNotPresent", "never": "Never"}


def pod_text(plan: UnitPlan, digest: str) -> str:
    """Return pod.yaml of one unit, its configuration in a ConfigMap and *digest* in a label."""
    return f"{heading(plan.profile)}\n{pod_documents(plan, digest)}"


def pods_text(profile: Profile, plans: Sequence[tuple[UnitPlan, str]]) -> str:
    """Return pod.yaml of a whole topology: each unit with the digest for its label."""
    lines = [heading(profile)]
    spots = [plan.spot for plan, _ in plans if plan.spot is not None]
    network = spots[0].network
    lines += [
        "# `valkeyctl deploy` plays these pods one by one. By hand, addresses in their order:",
        f"#   podman network create --disable-dns --subnet {network.subnet} "
        f"--ip-range {dynamic_range(network)} {network.name}",
        f"#   podman kube play --network {network.name} \\",
        *(f"#     --ip {spot.address} --mac-address {spot.mac} \\" for spot in spots),
        f"#     {POD}",
    ]
    documents = [pod_documents(plan, digest) for plan, digest in plans]
    return "\n".join(lines) + "\n" + "---\n".join(documents)


def pod_documents(plan: UnitPlan, digest: str) -> str:
    """Return the ConfigMap and the Pod of one unit, without a comment before them."""
    profile = plan.profile
    # The name changes with the content: Podman leaves a key that went away from a
    # ConfigMap as a file in the container, and the old one stays for a rollback.
    content = "".join(text for _, text in sorted(plan.config.items()))
    config_name = f"{plan.name}-conf-{hashlib.sha256(content.encode()).hexdigest()[:12]}"
    config = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": config_name, "labels": labels(profile, digest, plan.node)},
        "data": dict(plan.config),
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"{plan.name}-valkey", "labels": labels(profile, digest, plan.node)},
        "spec": {
            "restartPolicy": "Always",
            "terminationGracePeriodSeconds": math.ceil(profile.stop.grace),
            "containers": [_server(plan)],
            "volumes": _volumes(plan, config_name),
        },
    }
    return f"{yaml_text(config)}---\n{yaml_text(pod)}"


def pod_shape(plan: UnitPlan) -> str:
    """Return twelve hex digits that change with all of pod.yaml but the configuration's text.

    The script that starts a server of a topology is no configuration: it is not read again.
    """
    live = {
        name: "" if name in {CONF, SENTINEL_CONF} else text for name, text in plan.config.items()
    }
    return digest_of({POD: pod_text(replace(plan, config=live), "")})


def _server(plan: UnitPlan) -> dict[str, object]:
    profile = plan.profile
    probe, security = Probe.plan(profile, plan.budget), profile.security
    return {
        "name": "server",
        "image": profile.image,
        "imagePullPolicy": _PULL[profile.pull],
        "args": list(plan.command),
        "ports": [
            {
                "containerPort": plan.inner_port,
                # Without hostIP the port would be open on every address of the machine.
                "hostIP": publish_address(profile),
                "hostPort": plan.port,
                "protocol": "TCP",
            }
        ],
        "resources": {"limits": {"memory": _quantity(plan.budget.limit)}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": security.read_only,
            "runAsGroup": security.group,
            "runAsNonRoot": True,
            "runAsUser": security.user,
        },
        "livenessProbe": {
            "exec": {"command": probe_command(profile, plan.kind)},
            "failureThreshold": probe.failures,
            "initialDelaySeconds": probe.start_period,
            "periodSeconds": probe.interval,
            "timeoutSeconds": probe.timeout,
        },
        "volumeMounts": _mounts(plan),
    }


def _volumes(plan: UnitPlan, config_name: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = [
        {"name": "conf", "configMap": {"name": config_name}},
        {"name": "data", "persistentVolumeClaim": {"claimName": f"{plan.name}-data"}},
    ]
    if secret_files(plan.profile, plan.kind):
        claim = {"claimName": secrets_volume(plan.name), "readOnly": True}
        found.append({"name": "secrets", "persistentVolumeClaim": claim})
    return found


def _mounts(plan: UnitPlan) -> list[dict[str, object]]:
    found: list[dict[str, object]] = [
        {"name": "conf", "mountPath": CONF_DIR, "readOnly": True},
        {"name": "data", "mountPath": DATA_DIR},
    ]
    if secret_files(plan.profile, plan.kind):
        found.append({"name": "secrets", "mountPath": SECRETS_DIR, "readOnly": True})
    return found


def _quantity(size: int) -> str:
    """Return *size* bytes as a Kubernetes quantity."""
    for unit, factor in (("Gi", 2**30), ("Mi", 2**20), ("Ki", 2**10)):
        if size % factor == 0:
            return f"{size // factor}{unit}"
    return str(size)
