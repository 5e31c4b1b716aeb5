"""From a profile to the directives of valkey.conf, and to its text."""

from __future__ import annotations

from collections.abc import Mapping

from valkeyctl.profile.schema import Profile
from valkeyctl.render.acl import ACL_FILE
from valkeyctl.render.budget import MemoryBudget
from valkeyctl.render.replication import login_files, replication_directives
from valkeyctl.render.tls import tls_directives

SERVER_PORT = 6379  # inside the container; outside it is the profile's
SENTINEL_PORT = 26379
DATA_DIR = "/data"
# Where the secret files of a unit are mounted, read-only; see runtime/material.py.
SECRETS_DIR = "/etc/valkeyctl-secrets"
# The wait for replicas at the end is part of the grace; the save needs the rest of it.
_SHUTDOWN_WAIT = 10
_PUBSUB_BUFFER = "33554432 8388608 60"  # the server's own default, said aloud
# Elsewhere a blank parts two arguments.
_ONE_ARGUMENT = frozenset({"tls-protocols"})

_WHY = {
    "aclfile": "users, with password hashes only; mounted from the volume of secrets",
    "activedefrag": "build: yes needs a server with jemalloc; without it the server does not start",
    "bind": "all addresses of the container; the published address is the profile's",
    "client-output-buffer-limit": "class, hard bytes, soft bytes, soft seconds",
    "cluster-require-full-coverage": "yes: one lost shard stops all; no: the others serve on",
    "enable-debug-command": "these three cannot be changed on a running server",
    "latency-monitor-threshold": "milliseconds",
    "maxmemory": "bytes; what the data may take of the container's limit",
    "min-replicas-max-lag": "seconds; a replica that was silent for longer does not count",
    "min-replicas-to-write": "with fewer replicas a primary refuses writes; 0 takes them alone",
    "protected-mode": (
        "no: the published port reaches the server from the bridge's address, which\n"
        "# protected mode refuses; {protection}"
    ),
    "repl-diskless-sync-delay": (
        "seconds until a full copy or a backup begins; late replicas share one"
    ),
    "shutdown-timeout": "seconds to wait for replicas; less than the {grace:g} s of stop.grace",
    "slowlog-log-slower-than": "microseconds",
    "tls-auth-clients": "optional: a client may show a certificate; yes: it must",
    "tls-ca-cert-file": "who signs certificates; the three files are mounted with the secrets",
    "tls-port": "TLS only: port is 0",
    "stop-writes-on-bgsave-error": "a cache goes on when a snapshot fails; a store must not",
}


def directives(profile: Profile, budget: MemoryBudget) -> dict[str, str]:
    """Return every directive of valkey.conf with its value, sorted by name.

    The values are in the server's own units and in the form of CONFIG GET, so that a
    running server can be compared with them; only its word for replica differs (see
    `same_value`).
    """
    tuning, replication = profile.tuning, profile.replication
    lazy = _switch(tuning.lazyfree)
    persistence = profile.persistence
    found = {
        "activedefrag": _switch(tuning.activedefrag),
        "appendfsync": persistence.fsync,
        "appendonly": _switch("aof" in persistence.mode),
        "bind": "* -::*",
        "client-output-buffer-limit": (
            f"normal 0 0 0 replica {replication.output_buffer} {replication.output_buffer // 4} 60 "
            f"pubsub {_PUBSUB_BUFFER}"
        ),
        "databases": str(tuning.databases),
        "dir": DATA_DIR,
        "enable-debug-command": "no",
        "enable-module-command": "no",
        "enable-protected-configs": "no",
        "io-threads": str(tuning.io_threads),
        "latency-monitor-threshold": _whole(tuning.latency_monitor, per_second=1000),
        "lazyfree-lazy-eviction": lazy,
        "lazyfree-lazy-expire": lazy,
        "lazyfree-lazy-server-del": lazy,
        "lazyfree-lazy-user-del": lazy,
        "lazyfree-lazy-user-flush": lazy,
        "maxclients": str(tuning.maxclients),
        "maxmemory": str(budget.maxmemory),
        "maxmemory-clients": str(budget.clients),
        "maxmemory-policy": profile.eviction,
        "port": str(SERVER_PORT),
        "protected-mode": "no",
        "repl-backlog-size": str(replication.backlog),
        "save": " ".join(persistence.save) if "rdb" in persistence.mode else "",
        "shutdown-timeout": str(min(_SHUTDOWN_WAIT, int(profile.stop.grace / 2))),
        "slowlog-log-slower-than": _whole(tuning.slowlog_threshold, per_second=1_000_000),
        "slowlog-max-len": str(tuning.slowlog_length),
        "stop-writes-on-bgsave-error": _switch(profile.eviction == "noeviction"),
        "tcp-backlog": "511",
        "tcp-keepalive": _whole(tuning.tcp_keepalive),
        "timeout": _whole(tuning.timeout),
    }
    if profile.auth.enabled:
        found["aclfile"] = f"{SECRETS_DIR}/{ACL_FILE}"
    found |= tls_directives(profile, SECRETS_DIR, SERVER_PORT)
    found |= replication_directives(profile)
    return dict(sorted(found.items()))


def conf_text(profile: Profile, budget: MemoryBudget, settings: Mapping[str, str]) -> str:
    """Return the text of valkey.conf: origin, memory arithmetic, then one directive a line."""
    lines = [origin(profile), "#", "# Where the container's memory goes:"]
    lines += [f"#   {line}" for line in budget.lines()]
    lines.append("")
    protection = (
        "no command is taken without a login (aclfile)"
        if profile.auth.enabled
        else "the profile publishes without a password on loopback only"
    )
    for name, value in settings.items():
        if name in _WHY:
            lines.append(f"# {_WHY[name].format(grace=profile.stop.grace, protection=protection)}")
        lines.append(directive_line(name, value))
    for file in login_files(profile, "server"):
        lines.append("# the login for the primary, mounted like the users")
        lines.append(f"include {SECRETS_DIR}/{file}")
    return "\n".join(lines) + "\n"


def directive_line(name: str, value: str) -> str:
    """Return the line of a configuration file that sets *name*, in the form of CONFIG GET."""
    return f'{name} "{value}"' if not value or name in _ONE_ARGUMENT else f"{name} {value}"


def origin(profile: Profile) -> str:
    """Return the comment that says where a rendered file comes from."""
    return f"# rendered by valkeyctl from profile {profile.name}; edit the profile, not this file"


def same_value(rendered: str, reported: str) -> bool:
    """Say whether CONFIG GET's *reported* value is the *rendered* one.

    The server still writes the old word for replica in client-output-buffer-limit.
    """
    words = ["replica" if word == "slave" else word for word in reported.split()]
    return rendered.split() == words


def _switch(on: bool) -> str:
    return "yes" if on else "no"


def _whole(seconds: float, *, per_second: int = 1) -> str:
    """Return whole units; a short time never becomes 0, which means off or never."""
    return str(max(round(seconds * per_second), 1) if seconds else 0)
