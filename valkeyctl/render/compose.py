"""From a profile to podman-compose.yaml."""

from __future__ import annotations

import math

from valkeyctl.profile.schema import Profile
from valkeyctl.render.artefacts import CONF
from valkeyctl.render.budget import MemoryBudget
from valkeyctl.render.conf import DATA_DIR, origin
from valkeyctl.render.container import (
    CONF_PATH,
    PROBE_COMMAND,
    SERVER_COMMAND,
    Probe,
    labels,
    published,
)
from valkeyctl.render.yamltext import yaml_text


def compose_text(profile: Profile, budget: MemoryBudget, digest: str) -> str:
    """Return podman-compose.yaml, which mounts the valkey.conf that lies beside it."""
    probe, security = Probe.plan(profile, budget), profile.security
    service = {
        "image": profile.image,
        "pull_policy": profile.pull,
        "container_name": f"{profile.name}-valkey-server",
        "command": SERVER_COMMAND,
        "labels": labels(profile, digest),
        "restart": "always",
        "stop_grace_period": f"{math.ceil(profile.stop.grace)}s",
        "ports": [published(profile)],
        "mem_limit": str(budget.limit),
        "pids_limit": security.pids,
        "user": f"{security.user}:{security.group}",
        "read_only": security.read_only,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "healthcheck": {
            "test": ["CMD", *PROBE_COMMAND],
            "interval": f"{probe.interval}s",
            "timeout": f"{probe.timeout}s",
            "retries": probe.failures,
            "start_period": f"{probe.start_period}s",
        },
        "volumes": [f"./{CONF}:{CONF_PATH}:ro", f"data:{DATA_DIR}"],
    }
    project = {
        "name": f"{profile.name}-valkey",
        "services": {"server": service},
        # Named as the pod's claim: the data is the same whichever of the two runs it.
        "volumes": {"data": {"name": f"{profile.name}-data"}},
    }
    return f"{origin(profile)}\n{yaml_text(project)}"
