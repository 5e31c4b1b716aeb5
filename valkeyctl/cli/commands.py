"""What the command line has, without importing any of it.

Help and completion read this table; a command's module is imported when the
command runs. A test holds each line here against the command's own docstring.
"""

from __future__ import annotations

from typing import NamedTuple


class Entry(NamedTuple):
    """Where a command or a verb lives, and what the help above it says of it."""

    module: str
    help: str
    panel: str = "Commands"


_SETUP, _RUN, _CHECK, _KEYS, _MEASURE = (
    "Describe",
    "Deploy",
    "Check",
    "Operate",
    "Measure and serve",
)
COMMANDS: dict[str, Entry] = {
    "init": Entry("init", "Write a commented starter profile.", _SETUP),
    "profiles": Entry("profiles", "List, show and check profiles.", _SETUP),
    "render": Entry("render", "Turn a profile into the files that deploy it.", _SETUP),
    "tls": Entry("tls", "Make, renew and check the certificates of a deployment.", _SETUP),
    "secrets": Entry("secrets", "List, change and export the passwords of a deployment.", _SETUP),
    "deploy": Entry("deploy", "Bring a server to what its profile says.", _RUN),
    "status": Entry("status", "Say what runs and how it differs from its profile.", _RUN),
    "url": Entry("url", "Say how an application connects.", _RUN),
    "connect": Entry("connect", "Open a prompt on a deployment, or run one command there.", _RUN),
    "logs": Entry("logs", "Show what the server wrote.", _RUN),
    "restart": Entry("restart", "Stop a server cleanly and start it again.", _RUN),
    "down": Entry("down", "Stop a server; its data stays unless --purge.", _RUN),
    "backup": Entry(
        "backup", "Copy the data of a server out, verified, to be restored later.", _RUN
    ),
    "restore": Entry("restore", "Put a backup in the place of a deployment's data.", _RUN),
    "health": Entry("health", "Say whether a server can take traffic.", _CHECK),
    "doctor": Entry("doctor", "Say what this machine lacks for a server one can trust.", _CHECK),
    "smoke": Entry("smoke", "Run the CI smoke checks: set, get, TTL, flush, reconnect.", _CHECK),
    "drill": Entry("drill", "Break a server on purpose, and see what clients feel.", _CHECK),
    "keys": Entry("keys", "List, measure, inspect, load, move, expire and remove keys.", _KEYS),
    "bench": Entry("bench", "Measure latency with and without the cache.", _MEASURE),
    "demo": Entry("demo", "Show everything on an embedded server in about a minute.", _MEASURE),
    "gateway": Entry("gateway", "Serve LLM clients from the cache.", _MEASURE),
}
