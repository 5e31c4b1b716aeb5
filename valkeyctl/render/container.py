"""What the pod and the compose file say alike about the server's container."""

from __future__ import annotations

import ipaddress
import math
from dataclasses import dataclass
from typing import Self

from valkeyctl import __version__
from valkeyctl.profile.schema import Profile
from valkeyctl.render.artefacts import (
    CONF,
    HASH_LABEL,
    PRODUCTION_LABEL,
    PROFILE_LABEL,
    VERSION_LABEL,
)
from valkeyctl.render.budget import MemoryBudget
from valkeyctl.render.conf import SERVER_PORT

# Not /etc/valkey: images close that folder to every user but their own.
CONF_DIR = "/etc/valkeyctl"
CONF_PATH = f"{CONF_DIR}/{CONF}"
SERVER_COMMAND = ["valkey-server", CONF_PATH]
# A flat list: Podman 4.3 joins it by blanks, so that `sh -c "..."` would lose its quotes.
# -e: without it valkey-cli ends with 0 on an error reply.
PROBE_COMMAND = ["valkey-cli", "-e", "-p", str(SERVER_PORT), "ping"]
_START = 5  # seconds until an empty server answers, on a slow machine
_LOAD_RATE = 50 * 2**20  # bytes a second that a slow disk loads


@dataclass(frozen=True)
class Probe:
    """The liveness probe, in whole seconds, which is all that kube YAML knows.

    Attributes:
        interval: Between two probes.
        timeout: Of one probe.
        failures: Consecutive failures until the container counts as unhealthy.
        start_period: After the start, in which failures do not count. A server that
            loads its data answers LOADING, and one that is killed for it never ends loading.
    """

    interval: int
    timeout: int
    failures: int
    start_period: int

    @classmethod
    def plan(cls, profile: Profile, budget: MemoryBudget) -> Self:
        """Return the probe of *profile*, with time to load all that maxmemory holds."""
        probes = profile.probes
        loads = profile.persistence.mode != "none"
        return cls(
            interval=math.ceil(probes.interval),
            timeout=math.ceil(probes.timeout),
            failures=probes.failures,
            start_period=_START + (math.ceil(budget.maxmemory / _LOAD_RATE) if loads else 0),
        )


def labels(profile: Profile, digest: str) -> dict[str, str]:
    """Return the labels of every object that *profile* makes."""
    found = {PROFILE_LABEL: profile.name, VERSION_LABEL: __version__, HASH_LABEL: digest}
    if profile.security.production:
        found[PRODUCTION_LABEL] = "true"
    return found


def publish_address(profile: Profile) -> str:
    """Return the IP address to publish on; podman takes no host names."""
    return "127.0.0.1" if profile.host == "localhost" else profile.host


def published(profile: Profile) -> str:
    """Return ``address:port:port`` as container tools write it, IPv6 in brackets."""
    address = ipaddress.ip_address(publish_address(profile))
    shown = f"[{address}]" if address.version == 6 else str(address)
    return f"{shown}:{profile.port}:{SERVER_PORT}"
