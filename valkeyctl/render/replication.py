"""What a server needs to copy from another: directives, and a login that is never rendered."""

from __future__ import annotations

from valkeyctl.profile.schema import Profile
from valkeyctl.render.artefacts import Kind

# Secret files of a unit, included by its configuration: the logins with which a replica
# gets in at its primary, and a sentinel at the servers and at the other sentinels.
REPLICA_FILE, SENTINEL_FILE = "replica.conf", "sentinel-auth.conf"
# Seconds that a full copy waits for a second replica that wants one too. A standalone has
# none: there only a backup asks for one, and would wait for nothing.
_DISKLESS_DELAY, _NO_DELAY = "1", "0"


def login_files(profile: Profile, kind: Kind) -> tuple[str, ...]:
    """Return the names of the files with which a unit of *profile* logs in elsewhere."""
    if not profile.auth.enabled or profile.topology == "standalone":
        return ()
    return (SENTINEL_FILE,) if kind == "sentinel" else (REPLICA_FILE,)


def replication_directives(profile: Profile) -> dict[str, str]:
    """Return the directives that depend on the topology of *profile*."""
    if profile.topology == "standalone":
        return {"repl-diskless-sync-delay": _NO_DELAY}
    replication = profile.replication
    found = {
        "min-replicas-max-lag": str(round(replication.max_lag)),
        "min-replicas-to-write": str(replication.min_replicas_to_write),
        "repl-diskless-sync": "yes",
        "repl-diskless-sync-delay": _DISKLESS_DELAY,
    }
    if profile.topology == "cluster":
        cluster = profile.cluster
        found |= {
            "cluster-config-file": "nodes.conf",
            "cluster-enabled": "yes",
            "cluster-node-timeout": str(max(round(cluster.node_timeout * 1000), 1)),
            "cluster-require-full-coverage": "yes" if cluster.full_coverage else "no",
            # What a server before 9 makes of any other number.
            "databases": "1",
        }
    return found
