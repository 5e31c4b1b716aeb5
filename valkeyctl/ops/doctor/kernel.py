"""Settings of the kernel that a cache feels; none can be set from inside a container."""

from __future__ import annotations

import re
from collections.abc import Sequence

from valkeyctl.ops.doctor.finding import Finding
from valkeyctl.ops.doctor.machine import Machine

_BACKLOG = 511  # the server's own tcp-backlog, which we leave as it is
_SWAPPY = 10
_THP = "/sys/kernel/mm/transparent_hugepage/enabled"


def check_kernel(machine: Machine) -> Sequence[Finding]:
    """Return what was found of the kernel; nothing where there is no Linux."""
    if machine.read("/proc/sys/kernel/ostype") != "Linux":
        return ()
    return (overcommit(machine), huge_pages(machine), backlog(machine), swapping(machine))


def overcommit(machine: Machine) -> Finding:
    """Look at how freely memory is promised: a snapshot forks the whole server."""
    value = machine.read("/proc/sys/vm/overcommit_memory") or "not known"
    return Finding(
        *("kernel", "vm.overcommit_memory", value, "1", "ok" if value == "1" else "warn"),
        why="A snapshot and an AOF rewrite fork the server; with another value the kernel may "
        "refuse the fork when memory is short, and nothing is saved.",
        fix=_sysctl("vm.overcommit_memory", 1),
    )


def huge_pages(machine: Machine) -> Finding:
    """Look at transparent huge pages: they make each copy after a fork 512 times larger."""
    found = re.search(r"\[(\w+)\]", machine.read(_THP) or "")
    value = found[1] if found else "not known"
    return Finding(
        *("kernel", "transparent huge pages", value, "madvise or never"),
        "warn" if value == "always" else "ok",
        why="With always, a write during a snapshot copies 2 MiB instead of 4 KiB: latency "
        "spikes, and memory that no budget foresees.",
        fix=f"echo madvise > {_THP}",
    )


def backlog(machine: Machine) -> Finding:
    """Look at how many connections may wait to be accepted."""
    value = machine.read("/proc/sys/net/core/somaxconn") or ""
    enough = not value.isdigit() or int(value) >= _BACKLOG
    return Finding(
        *("kernel", "net.core.somaxconn", value or "not known", f">= {_BACKLOG}"),
        "ok" if enough else "warn",
        why="The kernel cuts the server's tcp-backlog to this: many clients that reconnect at "
        "once are turned away.",
        fix=_sysctl("net.core.somaxconn", 4096),
    )


def swapping(machine: Machine) -> Finding:
    """Look at whether the kernel would rather swap than drop its file cache."""
    value = machine.read("/proc/sys/vm/swappiness") or ""
    swap = re.search(r"SwapTotal:\s+(\d+)", machine.read("/proc/meminfo") or "")
    none = swap is None or swap[1] == "0"
    eager = value.isdigit() and int(value) > _SWAPPY
    return Finding(
        *("kernel", "vm.swappiness", f"{value or 'not known'}{', no swap' if none else ''}"),
        f"<= {_SWAPPY}, or no swap",
        "warn" if eager and not none else "ok",
        why="A key that was swapped out costs a disk read, for every client: the server has one "
        "thread.",
        fix=_sysctl("vm.swappiness", 1),
    )


def _sysctl(name: str, value: int) -> str:
    return f"sysctl -w {name}={value}, and the same line in /etc/sysctl.d/99-valkey.conf"
