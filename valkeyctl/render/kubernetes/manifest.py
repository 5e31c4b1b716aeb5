"""One call from a profile to kubernetes.yaml.

Every topology is StatefulSets with stable names, behind Services, with a disruption
budget and a network policy. Secrets are named, never rendered.
"""

from __future__ import annotations

import hashlib
import math

from valkeyctl.errors import ProfileError
from valkeyctl.profile.schema import Profile
from valkeyctl.render.artefacts import CONF, digest_of
from valkeyctl.render.budget import MemoryBudget, plan_memory
from valkeyctl.render.conf import SENTINEL_PORT, SERVER_PORT, directives, origin
from valkeyctl.render.container import CONF_DIR, SERVER_COMMAND, Probe, secret_files
from valkeyctl.render.kubernetes.scripts import (
    FORM,
    SENTINEL_CONF,
    START,
    cluster_scripts,
    sentinel_scripts,
    sentinel_topology_scripts,
)
from valkeyctl.render.kubernetes.workload import (
    Tree,
    Workload,
    container_hardening,
    environment,
    instance,
    metadata,
    pod_hardening,
    resources,
    secret_name,
)
from valkeyctl.render.yamltext import yaml_text

KUBERNETES = "kubernetes.yaml"
CLIENT_LABEL = "valkeyctl.client"
"""Prefix of the label that lets a pod in: ``valkeyctl.client/NAME: "true"``."""
_BUS_PORT = SERVER_PORT + 10_000  # where the nodes of a Cluster talk to each other
_SMALL = 64 * 2**20  # bytes that a sentinel, or the job that forms a Cluster, may take
_SMALL_VOLUME = 2**30  # the smallest that most storage classes give
# A snapshot is written beside the one before; an AOF may double, and is then rewritten.
_STORAGE_FACTOR = {"none": 0, "rdb": 2, "aof": 4, "rdb+aof": 6}
_NAMES = {"POD_NAME": "metadata.name", "POD_NAMESPACE": "metadata.namespace"}
_START_COMMAND = ("sh", f"{CONF_DIR}/{START}")


def kubernetes_text(profile: Profile) -> str:
    """Return kubernetes.yaml of *profile*; the same profile always gives the same text.

    Raises:
        ProfileError: A field asks for something that this target cannot express.
        BudgetError: The memory does not fit the limit.
    """
    _refuse_unsupported(profile)
    budget = plan_memory(profile)
    digest = digest_of({KUBERNETES: _text(profile, budget, "")})
    return _text(profile, budget, digest)


def _text(profile: Profile, budget: MemoryBudget, digest: str) -> str:
    if profile.topology == "sentinel":
        objects = _sentinel(profile, budget, digest)
    elif profile.topology == "cluster":
        objects = _cluster(profile, budget, digest)
    else:
        server = _server(profile, budget, "standalone", {}, SERVER_COMMAND)
        objects = [*server.objects(digest), server.client_service(digest)]
    objects.append(_network_policy(profile, digest))
    objects.sort(key=lambda found: (str(found["kind"]), str(_name(found))))
    return "\n".join([*_heading(profile), "---\n".join(yaml_text(found) for found in objects)])


def _server(
    profile: Profile,
    budget: MemoryBudget,
    role: str,
    scripts: dict[str, str],
    command: tuple[str, ...],
) -> Workload:
    factor = _STORAGE_FACTOR[profile.persistence.mode]
    storage = math.ceil(budget.maxmemory * factor / 2**30) * 2**30
    clustered = role == "cluster"
    replicas = {
        "standalone": 1,
        "sentinel": 1 + profile.replication.replicas,
        "cluster": profile.cluster.primaries * (1 + profile.replication.replicas),
    }
    return Workload(
        profile=profile,
        name=f"{profile.name}-valkey",
        kind="server",
        replicas=replicas[role],
        config={CONF: _conf(profile, budget, role), **scripts},
        command=command,
        port=SERVER_PORT,
        memory=budget.limit,
        # A node of a Cluster writes down who it is, whether or not it keeps data.
        storage=max(storage, _SMALL_VOLUME) if clustered else storage,
        probe=Probe.plan(profile, budget),
        peers=(_BUS_PORT,) if clustered else (),
        environment=(
            {}
            if role == "standalone"
            else {**_NAMES, "POD_IP": "status.podIP"}
            if clustered
            else _NAMES
        ),
    )


def _conf(profile: Profile, budget: MemoryBudget, role: str) -> str:
    settings = directives(profile, budget)
    if role != "standalone":
        # A replica without its primary answers MASTERDOWN, so that it is not ready, and a
        # rolling update waits until each one has its copy before it takes the next pod.
        settings["replica-serve-stale-data"] = "no"
    if role == "cluster":
        settings |= {
            "cluster-config-file": "nodes.conf",
            "cluster-enabled": "yes",
            "cluster-node-timeout": str(max(round(profile.cluster.node_timeout * 1000), 1)),
            "cluster-preferred-endpoint-type": "hostname",
        }
    lines = [origin(profile), "#", "# Where the container's memory goes:"]
    lines += [f"#   {line}" for line in budget.lines()]
    lines += ["", *(f"{name} {value or chr(34) * 2}" for name, value in sorted(settings.items()))]
    return "\n".join(lines) + "\n"


def _sentinel(profile: Profile, budget: MemoryBudget, digest: str) -> list[Tree]:
    name = profile.name
    servers, sentinels = f"{name}-valkey", f"{name}-sentinel"
    names = {"server": servers, "nodes": f"{servers}-nodes", "sentinel": sentinels}
    server = _server(
        profile,
        budget,
        "sentinel",
        sentinel_topology_scripts(profile, **names),
        _START_COMMAND,
    )
    probe = server.probe
    sentinel = Workload(
        profile=profile,
        name=sentinels,
        kind="sentinel",
        replicas=profile.sentinel.count,
        config={
            SENTINEL_CONF: _sentinel_conf(profile),
            **sentinel_scripts(profile, sentinel_nodes=f"{sentinels}-nodes", **names),
        },
        command=_START_COMMAND,
        port=SENTINEL_PORT,
        memory=_SMALL,
        storage=_SMALL_VOLUME,
        # It waits for the first server, which may load its data.
        probe=probe,
        environment=_NAMES,
    )
    # Clients ask the sentinels for the primary: a Service over all servers would lead to a
    # replica most of the time.
    return [*server.objects(digest), *sentinel.objects(digest), sentinel.client_service(digest)]


def _sentinel_conf(profile: Profile) -> str:
    """Return what sentinels begin with; the script adds names, and what they learnt."""
    sentinel, name = profile.sentinel, profile.name
    return "\n".join(
        [
            origin(profile),
            "bind * -::*",
            "dir /data",
            f"port {SENTINEL_PORT}",
            "protected-mode no",
            "sentinel announce-hostnames yes",
            "sentinel resolve-hostnames yes",
            f"sentinel down-after-milliseconds {name} {_ms(sentinel.down_after)}",
            f"sentinel failover-timeout {name} {_ms(sentinel.failover_timeout)}",
            f"sentinel parallel-syncs {name} 1",
            "",
        ]
    )


def _cluster(profile: Profile, budget: MemoryBudget, digest: str) -> list[Tree]:
    servers = f"{profile.name}-valkey"
    scripts = cluster_scripts(profile, server=servers, nodes=f"{servers}-nodes")
    form = scripts.pop(FORM)
    server = _server(profile, budget, "cluster", scripts, _START_COMMAND)
    return [
        *server.objects(digest),
        server.client_service(digest),
        *_forming(profile, form, digest),
    ]


def _forming(profile: Profile, script: str, digest: str) -> list[Tree]:
    """Return the Job that makes one Cluster of the nodes, and its script."""
    selector = {**instance(profile), "app.kubernetes.io/component": "form"}
    spec: Tree = {
        **pod_hardening(profile),
        "restartPolicy": "OnFailure",
        "containers": [
            {
                "name": "form",
                "image": profile.image,
                "imagePullPolicy": "Never" if profile.pull == "never" else "IfNotPresent",
                "command": ["sh", f"{CONF_DIR}/{FORM}"],
                "env": environment(_NAMES),
                "resources": resources(_SMALL),
                "securityContext": container_hardening(profile),
                "volumeMounts": [{"name": "conf", "mountPath": CONF_DIR, "readOnly": True}],
            }
        ],
    }
    # The API refuses any change of a Job: another script or image makes another Job.
    hashed = hashlib.sha256(f"{script}\0{yaml_text(spec)}".encode()).hexdigest()[:12]
    name = f"{profile.name}-form-{hashed}"
    spec["volumes"] = [{"name": "conf", "configMap": {"name": name}}]
    return [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": metadata(profile, name, digest, selector),
            "immutable": True,
            "data": {FORM: script},
        },
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": metadata(profile, name, digest, selector),
            "spec": {
                "backoffLimit": 20,
                # Applied again after an hour, it runs again; on a formed Cluster that is safe.
                "ttlSecondsAfterFinished": 3600,
                "template": {"metadata": {"labels": selector}, "spec": spec},
            },
        },
    ]


def _network_policy(profile: Profile, digest: str) -> Tree:
    own = {"matchLabels": instance(profile)}
    client = {"matchLabels": {f"{CLIENT_LABEL}/{profile.name}": "true"}}
    inside = {"standalone": [], "sentinel": [SENTINEL_PORT], "cluster": [_BUS_PORT]}
    outside = [SERVER_PORT, *([SENTINEL_PORT] if profile.topology == "sentinel" else [])]
    everywhere = sorted({*outside, *inside[profile.topology]})
    dns = [{"port": 53, "protocol": protocol} for protocol in ("TCP", "UDP")]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(profile, f"{profile.name}-valkey", digest, instance(profile)),
        "spec": {
            "podSelector": own,
            "policyTypes": ["Egress", "Ingress"],
            "ingress": [
                {"from": [{"podSelector": own}], "ports": _tcp(everywhere)},
                {"from": [{"podSelector": client}], "ports": _tcp(outside)},
            ],
            "egress": [
                {"to": [{"podSelector": own}], "ports": _tcp(everywhere)},
                {"ports": dns},
            ],
        },
    }


def _tcp(ports: list[int]) -> list[Tree]:
    return [{"port": port, "protocol": "TCP"} for port in ports]


def _heading(profile: Profile) -> list[str]:
    lines = [
        origin(profile),
        f"# Apply it: kubectl apply -f {KUBERNETES}    How it works: docs/how-to/kubernetes.md",
        f'# Only pods with the label {CLIENT_LABEL}/{profile.name}: "true" may connect, where the',
        "# cluster's network enforces policies.",
    ]
    if secret_files(profile):
        secret = secret_name(profile)
        lines += [
            f"# The Secret {secret} holds {', '.join(secret_files(profile))}; make it first:",
            "#   mkdir -m 700 secrets",
            f"#   valkeyctl secrets export -p {profile.name} | tar -x -C secrets",
            f"#   kubectl create secret generic {secret} --from-file=secrets; rm -r secrets",
        ]
    else:
        lines.append("# There is no password: whoever is let in may read and change everything.")
    return lines


def _refuse_unsupported(profile: Profile) -> None:
    """Refuse what this target cannot express; no field is ignored.

    Raises:
        ProfileError: It names each of them.
    """
    several = profile.topology != "standalone"
    unsafe = profile.topology == "sentinel" and profile.persistence.mode == "none"
    asked = {
        "name": (
            not profile.name[0].isalpha(),
            "the name of a Kubernetes Service begins with a letter; write another name",
        ),
        "auth.enabled": (
            several and profile.auth.enabled,
            f"Kubernetes with topology: {profile.topology} has no logins; write false",
        ),
        "tls.enabled": (
            several and profile.tls.enabled,
            f"Kubernetes with topology: {profile.topology} has no TLS; write false",
        ),
        "exporter.enabled": (profile.exporter.enabled, "Kubernetes has no exporter; write false"),
        "persistence.mode": (
            unsafe,
            "a primary that starts again empty would empty its replicas; write aof or rdb",
        ),
    }
    problems = tuple(profile.problem(key, text) for key, (wanted, text) in asked.items() if wanted)
    if problems:
        raise ProfileError(problems, hint="See what it can: docs/how-to/kubernetes.md")


def _name(found: Tree) -> object:
    about = found["metadata"]
    assert isinstance(about, dict)  # noqa: S101 - made above
    return about["name"]


def _ms(seconds: float) -> int:
    return max(round(seconds * 1000), 1)
