"""What the pod and the compose file say alike about the server's container."""

from __future__ import annotations

import ipaddress
import math
from dataclasses import dataclass
from typing import Self

from valkeyctl import __version__
from valkeyctl.profile.schema import Profile
from valkeyctl.render.acl import ACL_FILE, PROBE
from valkeyctl.render.artefacts import (
    CONF,
    HASH_LABEL,
    NODE_LABEL,
    PRODUCTION_LABEL,
    PROFILE_LABEL,
    TLS_LABEL,
    VERSION_LABEL,
    Kind,
)
from valkeyctl.render.budget import MemoryBudget
from valkeyctl.render.conf import SECRETS_DIR, SENTINEL_PORT, SERVER_PORT, origin
from valkeyctl.render.replication import login_files
from valkeyctl.render.tls import TLS_FILES, probe_options

# Not /etc/valkey: images close that folder to every user but their own.
CONF_DIR = "/etc/valkeyctl"
CONF_PATH = f"{CONF_DIR}/{CONF}"
SERVER_COMMAND = ("valkey-server", CONF_PATH)
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
        """Return the probe of *profile*, with time to load all that the container can hold.

        By the limit, not by maxmemory or persistence: those change on a running server,
        and its container need not be made anew for them.
        """
        probes = profile.probes
        return cls(
            interval=math.ceil(probes.interval),
            timeout=math.ceil(probes.timeout),
            failures=probes.failures,
            start_period=_START + math.ceil(budget.limit / _LOAD_RATE),
        )


def probe_command(profile: Profile, kind: Kind = "server") -> list[str]:
    """Return what the liveness probe runs inside of the container."""
    # The probe's user has no password, takes any, and can do no more than PING: what
    # stands in an artefact and in a list of processes is no secret.
    login = ["--no-auth-warning", "--user", PROBE, "--pass", PROBE] if profile.auth.enabled else []
    # A flat list: Podman 4.3 joins it by blanks, so that `sh -c "..."` would lose its quotes.
    # -e: without it valkey-cli ends with 0 on an error reply.
    tls = probe_options(profile, SECRETS_DIR)
    port = SENTINEL_PORT if kind == "sentinel" else SERVER_PORT
    return ["valkey-cli", *login, *tls, "-e", "-p", str(port), "ping"]


def secret_files(profile: Profile, kind: Kind = "server") -> tuple[str, ...]:
    """Return the names of the secret files that a unit of *profile* reads in SECRETS_DIR."""
    acl = (ACL_FILE,) if profile.auth.enabled else ()
    tls = TLS_FILES if profile.tls.enabled else ()
    return (*acl, *login_files(profile, kind), *tls)


def secrets_volume(unit: str) -> str:
    """Return the name of the volume that holds the secret files of *unit*."""
    return f"{unit}-secrets"


def heading(profile: Profile) -> str:
    """Return the comments that a file which mounts the secrets begins with."""
    lines = [origin(profile)]
    files = secret_files(profile)
    if files and profile.topology == "standalone":
        volume = secrets_volume(profile.name)
        lines += [
            f"# The volume {volume} holds {', '.join(files)}; what is in it is",
            "# rendered nowhere. `valkeyctl deploy` fills it; by hand:",
            f"#   podman volume create --label valkeyctl.profile={profile.name} {volume}",
            f"#   valkeyctl secrets export -p {profile.name} | podman volume import {volume} -",
        ]
    elif files:
        volume, command = secrets_volume("UNIT"), f"valkeyctl secrets export -p {profile.name}"
        lines += [
            f"# The volume {volume} of each server and sentinel holds what is rendered nowhere.",
            "# `valkeyctl deploy` fills it; by hand:",
            f"#   podman volume create --label valkeyctl.profile={profile.name} {volume}",
            f"#   {command} --unit UNIT | podman volume import {volume} -",
        ]
    return "\n".join(lines)


def labels(profile: Profile, digest: str, node: str = "") -> dict[str, str]:
    """Return the labels of every object that *profile* makes, or *node* of its topology."""
    found = {PROFILE_LABEL: profile.name, VERSION_LABEL: __version__, HASH_LABEL: digest}
    if node:
        found[NODE_LABEL] = node
    if profile.security.production:
        found[PRODUCTION_LABEL] = "true"
    if profile.tls.enabled:
        found[TLS_LABEL] = "true"
    return found


def publish_address(profile: Profile) -> str:
    """Return the IP address to publish on; podman takes no host names."""
    return "127.0.0.1" if profile.host == "localhost" else profile.host


def published(profile: Profile, port: int, inner_port: int) -> str:
    """Return ``address:port:inner_port`` as container tools write it, IPv6 in brackets."""
    address = ipaddress.ip_address(publish_address(profile))
    shown = f"[{address}]" if address.version == 6 else str(address)
    return f"{shown}:{port}:{inner_port}"
