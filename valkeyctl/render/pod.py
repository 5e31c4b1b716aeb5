"""From a profile to kube YAML for `podman kube play`: a ConfigMap and a Pod.

Two documents are left out on purpose. With a PersistentVolumeClaim, `--replace` of
Podman 4 fails after it has taken the pod down (claiming a name alone makes the volume
too, and keeps it). A Secret reaches the container as base64 text there.
"""

from __future__ import annotations

import hashlib
import math

from valkeyctl.profile.schema import Profile
from valkeyctl.render.artefacts import CONF
from valkeyctl.render.budget import MemoryBudget
from valkeyctl.render.conf import DATA_DIR, SERVER_PORT, origin
from valkeyctl.render.container import (
    CONF_DIR,
    PROBE_COMMAND,
    SERVER_COMMAND,
    Probe,
    labels,
    publish_address,
)
from valkeyctl.render.yamltext import yaml_text

_PULL = {"missing": "IfNotPresent", "never": "Never"}


def pod_text(profile: Profile, budget: MemoryBudget, conf: str, digest: str) -> str:
    """Return pod.yaml, with *conf* in a ConfigMap and *digest* in a label."""
    # The name changes with the content: Podman leaves a key that went away from a
    # ConfigMap as a file in the container, and the old one stays for a rollback.
    config_name = f"{profile.name}-conf-{hashlib.sha256(conf.encode()).hexdigest()[:12]}"
    config = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": config_name, "labels": labels(profile, digest)},
        "data": {CONF: conf},
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"{profile.name}-valkey", "labels": labels(profile, digest)},
        "spec": {
            "restartPolicy": "Always",
            "terminationGracePeriodSeconds": math.ceil(profile.stop.grace),
            "containers": [_server(profile, budget)],
            "volumes": [
                {"name": "conf", "configMap": {"name": config_name}},
                {"name": "data", "persistentVolumeClaim": {"claimName": f"{profile.name}-data"}},
            ],
        },
    }
    return f"{origin(profile)}\n{yaml_text(config)}---\n{yaml_text(pod)}"


def _server(profile: Profile, budget: MemoryBudget) -> dict[str, object]:
    probe, security = Probe.plan(profile, budget), profile.security
    return {
        "name": "server",
        "image": profile.image,
        "imagePullPolicy": _PULL[profile.pull],
        "args": SERVER_COMMAND,
        "ports": [
            {
                "containerPort": SERVER_PORT,
                # Without hostIP the port would be open on every address of the machine.
                "hostIP": publish_address(profile),
                "hostPort": profile.port,
                "protocol": "TCP",
            }
        ],
        "resources": {"limits": {"memory": _quantity(budget.limit)}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": security.read_only,
            "runAsGroup": security.group,
            "runAsNonRoot": True,
            "runAsUser": security.user,
        },
        "livenessProbe": {
            "exec": {"command": PROBE_COMMAND},
            "failureThreshold": probe.failures,
            "initialDelaySeconds": probe.start_period,
            "periodSeconds": probe.interval,
            "timeoutSeconds": probe.timeout,
        },
        "volumeMounts": [
            {"name": "conf", "mountPath": CONF_DIR, "readOnly": True},
            {"name": "data", "mountPath": DATA_DIR},
        ],
    }


def _quantity(size: int) -> str:
    """Return *size* bytes as a Kubernetes quantity."""
    for unit, factor in (("Gi", 2**30), ("Mi", 2**20), ("Ki", 2**10)):
        if size % factor == 0:
            return f"{size // factor}{unit}"
    return str(size)
