"""One kind of pod in kubernetes.yaml, and the objects that every such kind has."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from valkeyctl import __version__
from valkeyctl.profile.schema import Profile
from valkeyctl.render.artefacts import (
    HASH_LABEL,
    PRODUCTION_LABEL,
    PROFILE_LABEL,
    VERSION_LABEL,
    Kind,
)
from valkeyctl.render.conf import DATA_DIR, SECRETS_DIR
from valkeyctl.render.container import CONF_DIR, Probe, probe_command, secret_files
from valkeyctl.render.kubernetes.scripts import HANDOVER, STOP

Tree = dict[str, object]
_PULL = {"missing": "IfNotPresent", "never": "Never"}
_STARTUP_PERIOD = 2  # seconds between two looks whether the server listens yet


@dataclass(frozen=True)
class Workload:
    """Pods of one kind: the servers, or the sentinels.

    Attributes:
        profile: What to deploy.
        name: Of the StatefulSet, and of the Service that clients use.
        kind: What runs in the pods.
        replicas: How many pods.
        config: Files of the ConfigMap.
        command: What runs in the container.
        port: That it listens on.
        memory: Bytes that a container may take.
        storage: Bytes of a pod's volume; 0 for a folder that goes with the pod.
        probe: How patient the kubelet is.
        peers: Ports that only pods of the deployment itself may reach.
        environment: Name to field of the pod, for the scripts.
    """

    profile: Profile
    name: str
    kind: Kind
    replicas: int
    config: Mapping[str, str]
    command: tuple[str, ...]
    port: int
    memory: int
    storage: int
    probe: Probe
    peers: tuple[int, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def nodes(self) -> str:
        """Name of the headless Service, by which each pod has a name of its own."""
        return f"{self.name}-nodes"

    @property
    def config_name(self) -> str:
        """Name of the ConfigMap; another content has another name, so that pods roll."""
        content = "".join(f"{name}\0{text}\0" for name, text in sorted(self.config.items()))
        return f"{self.name}-{hashlib.sha256(content.encode()).hexdigest()[:12]}"

    @property
    def selector(self) -> dict[str, str]:
        """Labels of the pods; never changed, because a StatefulSet's selector cannot be."""
        return {**instance(self.profile), "app.kubernetes.io/component": self.kind}

    def metadata(self, name: str, digest: str) -> Tree:
        """Return what every object of this workload says about itself."""
        return metadata(self.profile, name, digest, self.selector)

    def objects(self, digest: str) -> list[Tree]:
        """Return the ConfigMap, headless Service, disruption budget and StatefulSet."""
        return [
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": self.metadata(self.config_name, digest),
                "immutable": True,
                "data": dict(self.config),
            },
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": self.metadata(self.nodes, digest),
                "spec": {
                    "clusterIP": "None",
                    # Servers look each other up before they are ready, to become ready.
                    "publishNotReadyAddresses": True,
                    "ports": [_service_port(port) for port in (self.port, *self.peers)],
                    "selector": self.selector,
                },
            },
            {
                "apiVersion": "policy/v1",
                "kind": "PodDisruptionBudget",
                "metadata": self.metadata(self.name, digest),
                # Not minAvailable: a single server could then never be moved off a node.
                "spec": {"maxUnavailable": 1, "selector": {"matchLabels": self.selector}},
            },
            {
                "apiVersion": "apps/v1",
                "kind": "StatefulSet",
                "metadata": self.metadata(self.name, digest),
                "spec": self._stateful_set(),
            },
        ]

    def client_service(self, digest: str) -> Tree:
        """Return the Service that clients connect to."""
        return {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": self.metadata(self.name, digest),
            "spec": {
                "type": "ClusterIP",
                "ports": [_service_port(self.port)],
                "selector": self.selector,
            },
        }

    def _stateful_set(self) -> Tree:
        spec: Tree = {
            "replicas": self.replicas,
            "serviceName": self.nodes,
            # All at once: a replica is ready only beside its primary, which may be any pod.
            # A change of the template still goes through them one by one.
            "podManagementPolicy": "Parallel",
            "updateStrategy": {"type": "RollingUpdate"},
            "selector": {"matchLabels": self.selector},
            "template": {"metadata": {"labels": self.selector}, "spec": self._pod()},
        }
        if self.storage:
            spec["persistentVolumeClaimRetentionPolicy"] = {
                "whenDeleted": "Retain",
                "whenScaled": "Retain",
            }
            # Only labels that never change: the API refuses any change of a claim template.
            spec["volumeClaimTemplates"] = [
                {
                    "apiVersion": "v1",
                    "kind": "PersistentVolumeClaim",
                    "metadata": {"name": "data", "labels": self.selector},
                    "spec": {
                        "accessModes": ["ReadWriteOnce"],
                        "resources": {"requests": {"storage": quantity(self.storage)}},
                    },
                }
            ]
        return spec

    def _pod(self) -> Tree:
        grace = math.ceil(self.profile.stop.grace) + (HANDOVER if STOP in self.config else 0)
        volumes: list[Tree] = [{"name": "conf", "configMap": {"name": self.config_name}}]
        if not self.storage:
            volumes.append({"name": "data", "emptyDir": {}})
        if secret_files(self.profile, self.kind):
            volumes.append(
                {
                    "name": "secrets",
                    # Readable by the group that fsGroup gives the files to.
                    "secret": {"secretName": secret_name(self.profile), "defaultMode": 0o440},
                }
            )
        spec: Tree = {
            **pod_hardening(self.profile),
            "terminationGracePeriodSeconds": grace,
            "containers": [self._container()],
            "volumes": volumes,
        }
        if self.replicas > 1:
            spec["topologySpreadConstraints"] = [
                {
                    "maxSkew": 1,
                    "topologyKey": key,
                    # A small cluster still gets all of them.
                    "whenUnsatisfiable": "ScheduleAnyway",
                    "labelSelector": {"matchLabels": self.selector},
                }
                for key in ("kubernetes.io/hostname", "topology.kubernetes.io/zone")
            ]
        return spec

    def _container(self) -> Tree:
        ready = probe_command(self.profile, self.kind)
        # Without -e any answer counts: one that loads its data, or runs a long script, lives.
        alive = [word for word in ready if word != "-e"]
        probe = self.probe
        timing = {"periodSeconds": probe.interval, "timeoutSeconds": probe.timeout}
        mounts: list[Tree] = [
            {"name": "conf", "mountPath": CONF_DIR, "readOnly": True},
            {"name": "data", "mountPath": DATA_DIR},
        ]
        if secret_files(self.profile, self.kind):
            mounts.append({"name": "secrets", "mountPath": SECRETS_DIR, "readOnly": True})
        found: Tree = {
            "name": self.kind,
            "image": self.profile.image,
            "imagePullPolicy": _PULL[self.profile.pull],
            "command": list(self.command),
            "ports": [
                {"name": f"tcp-{port}", "containerPort": port, "protocol": "TCP"}
                for port in (self.port, *self.peers)
            ],
            # Memory that it may take is kept for it: no pod beside it can have it evicted.
            "resources": resources(self.memory),
            "securityContext": container_hardening(self.profile),
            "startupProbe": {
                "exec": {"command": alive},
                "periodSeconds": _STARTUP_PERIOD,
                "timeoutSeconds": probe.timeout,
                "failureThreshold": math.ceil((60 + probe.start_period) / _STARTUP_PERIOD),
            },
            "livenessProbe": {
                "exec": {"command": alive},
                "failureThreshold": probe.failures,
                **timing,
            },
            "readinessProbe": {"exec": {"command": ready}, "failureThreshold": 1, **timing},
            "volumeMounts": mounts,
        }
        if self.environment:
            found["env"] = environment(self.environment)
        if STOP in self.config:
            command = ["sh", f"{CONF_DIR}/{STOP}"]
            found["lifecycle"] = {"preStop": {"exec": {"command": command}}}
        return found


def instance(profile: Profile) -> dict[str, str]:
    """Return the labels by which the pods of a deployment are told from all others."""
    return {"app.kubernetes.io/instance": profile.name, "app.kubernetes.io/name": "valkey"}


def metadata(profile: Profile, name: str, digest: str, extra: Mapping[str, str]) -> Tree:
    """Return the metadata of an object that is no pod: these labels change with a render."""
    labels = {
        **extra,
        "app.kubernetes.io/managed-by": "valkeyctl",
        PROFILE_LABEL: profile.name,
        HASH_LABEL: digest,
        VERSION_LABEL: __version__,
    }
    if profile.security.production:
        labels[PRODUCTION_LABEL] = "true"
    return {"name": name, "labels": labels}


def secret_name(profile: Profile) -> str:
    """Return the name of the Secret that the operator makes; it is rendered nowhere."""
    return f"{profile.name}-valkey-secrets"


def pod_hardening(profile: Profile) -> Tree:
    """Return what the restricted Pod Security Standard asks of a pod, and a bit more."""
    security = profile.security
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "fsGroup": security.group,
            # Not at every start: a large volume would take minutes.
            "fsGroupChangePolicy": "OnRootMismatch",
            "runAsGroup": security.group,
            "runAsNonRoot": True,
            "runAsUser": security.user,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }


def container_hardening(profile: Profile) -> Tree:
    """Return what the restricted Pod Security Standard asks of a container."""
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": profile.security.read_only,
    }


def environment(fields: Mapping[str, str]) -> list[Tree]:
    """Return variables that hold fields of the pod."""
    return [
        {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}
        for name, path in sorted(fields.items())
    ]


def resources(memory: int) -> Tree:
    """Return requests and limits; a limit of processor time would only add latency."""
    return {
        "limits": {"memory": quantity(memory)},
        "requests": {"cpu": "100m", "memory": quantity(memory)},
    }


def quantity(size: int) -> str:
    """Return *size* bytes as a Kubernetes quantity."""
    for unit, factor in (("Gi", 2**30), ("Mi", 2**20), ("Ki", 2**10)):
        if size % factor == 0:
            return f"{size // factor}{unit}"
    return str(size)


def _service_port(port: int) -> Tree:
    return {"name": f"tcp-{port}", "port": port, "protocol": "TCP", "targetPort": port}
