"""From a profile to podman-compose.yaml."""

from __future__ import annotations

import math
from collections.abc import Sequence

from valkeyctl.profile.schema import Profile
from valkeyctl.render.conf import DATA_DIR, SECRETS_DIR
from valkeyctl.render.container import (
    CONF_DIR,
    Probe,
    heading,
    labels,
    probe_command,
    published,
    secret_files,
    secrets_volume,
)
from valkeyctl.render.unitplan import UnitPlan
from valkeyctl.render.yamltext import yaml_text


def compose_text(profile: Profile, plans: Sequence[UnitPlan], digest: str) -> str:
    """Return podman-compose.yaml, which mounts the configuration that lies beside it.

    Args:
        profile: What to deploy.
        plans: Its servers and sentinels.
        digest: For a label.
    """
    volumes: dict[str, object] = {}
    for plan in plans:
        # Named as the pod's claims: the data is the same whichever of the two runs it.
        volumes[_key(plan, "data")] = {"name": f"{plan.name}-data"}
        if secret_files(profile, plan.kind):
            # external: without it an empty volume would be made, and the server would end.
            named = {"name": secrets_volume(plan.name), "external": True}
            volumes[_key(plan, "secrets")] = named
    project: dict[str, object] = {
        "name": f"{profile.name}-valkey",
        "services": {plan.node or "server": _service(plan, digest) for plan in plans},
        "volumes": volumes,
    }
    spot = plans[0].spot
    if spot is not None:
        ipam = {"config": [{"subnet": spot.network.subnet}]}
        project["networks"] = {"net": {"name": spot.network.name, "ipam": ipam}}
    return f"{heading(profile)}\n{yaml_text(project)}"


def _service(plan: UnitPlan, digest: str) -> dict[str, object]:
    profile = plan.profile
    probe, security = Probe.plan(profile, plan.budget), profile.security
    mounts = [f"./{name}:{CONF_DIR}/{name}:ro" for name in plan.config]
    mounts.append(f"{_key(plan, 'data')}:{DATA_DIR}")
    if secret_files(profile, plan.kind):
        mounts.append(f"{_key(plan, 'secrets')}:{SECRETS_DIR}:ro")
    service: dict[str, object] = {
        "image": profile.image,
        "pull_policy": profile.pull,
        "container_name": f"{plan.name}-valkey-server",
        "command": list(plan.command),
        "labels": labels(profile, digest, plan.node),
        "restart": "always",
        "stop_grace_period": f"{math.ceil(profile.stop.grace)}s",
        "ports": [published(profile, plan.port, plan.inner_port)],
        "mem_limit": str(plan.budget.limit),
        "pids_limit": security.pids,
        "user": f"{security.user}:{security.group}",
        "read_only": security.read_only,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "healthcheck": {
            "test": ["CMD", *probe_command(profile, plan.kind)],
            "interval": f"{probe.interval}s",
            "timeout": f"{probe.timeout}s",
            "retries": probe.failures,
            "start_period": f"{probe.start_period}s",
        },
        "volumes": mounts,
    }
    if plan.spot is not None:
        service["networks"] = {"net": {"ipv4_address": plan.spot.address}}
        service["mac_address"] = plan.spot.mac
    return service


def _key(plan: UnitPlan, volume: str) -> str:
    """Return what the compose file calls a *volume* of the unit."""
    return f"{plan.node}-{volume}" if plan.node else volume
