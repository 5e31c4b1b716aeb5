"""From a profile to the directives of valkey.conf, and to its text."""

from __future__ import annotations

from collections.abc import Mapping

from valkeyctl.profile.schema import Profile
from valkeyctl.render.budget import MemoryBudget

SERVER_PORT = 6379  # inside the container; outside it is the profile's
DATA_DIR = "/data"
# The wait for replicas at the end is part of the grace; the save needs the rest of it.
_SHUTDOWN_WAIT = 10
_PUBSUB_BUFFER = "33554432 8388608 60"  # the server's own default, said aloud

_WHY = {
    "activedefrag": "build: yes needs a server with jemalloc; without it the server does not start",
    "bind": "all addresses of the container; the published address is the profile's",
    "client-output-buffer-limit": "class, hard bytes, soft bytes, soft seconds",
    "enable-debug-command": "these three cannot be changed on a running server",
    "latency-monitor-threshold": "milliseconds",
    "maxmemory": "bytes; what the data may take of the container's limit",
    "protected-mode": (
        "no: the published port reaches the server from the bridge's address, which\n"
        "# protected mode refuses; the profile publishes without a password on loopback only"
    ),
    "shutdown-timeout": "seconds to wait for replicas; less than the {grace:g} s of stop.grace",
    "slowlog-log-slower-than": "microseconds",
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
    return dict(sorted(found.items()))


def conf_text(profile: Profile, budget: MemoryBudget, settings: Mapping[str, str]) -> str:
    """Return the text of valkey.conf: origin, memory arithmetic, then one directive a line."""
    lines = [origin(profile), "#", "# Where the container's memory goes:"]
    lines += [f"#   {line}" for line in budget.lines()]
    lines.append("")
    for name, value in settings.items():
        if name in _WHY:
            lines.append(f"# {_WHY[name].format(grace=profile.stop.grace)}")
        lines.append(f"{name} {value or chr(34) * 2}")
    return "\n".join(lines) + "\n"


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
