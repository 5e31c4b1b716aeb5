"""Whether there is room: files, memory, disk, ports, and a folder of our own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from valkeyctl.ops.doctor.finding import Finding, Verdict
from valkeyctl.ops.doctor.machine import Machine
from valkeyctl.render import Artefacts
from valkeyctl.units import format_size

_SPARE_FILES = 32  # those that the server keeps for itself
_MAXCLIENTS = 1000  # of the profile's default
_CROWDED = 0.8


def check_machine(
    machine: Machine, root: Path, storage: Path | None, deployed: Mapping[str, Artefacts]
) -> Sequence[Finding]:
    """Return what was found of the machine's resources.

    Args:
        machine: To look at.
        root: Our state folder.
        storage: Podman's; None without one.
        deployed: What runs here, or is about to, by name.
    """
    return (
        files(machine, deployed),
        memory(machine, deployed),
        *disks(machine, root, storage, deployed),
        state_folder(machine, root),
        clock(machine),
    )


def files(machine: Machine, deployed: Mapping[str, Artefacts]) -> Finding:
    """Look at how many connections a server could hold open."""
    clients = max(
        (
            int(unit.directives.get("maxclients", _MAXCLIENTS))
            for made in deployed.values()
            for unit in made.units
        ),
        default=_MAXCLIENTS,
    )
    wanted, limit = clients + _SPARE_FILES, machine.file_limit()
    return Finding(
        *("machine", "open files", f"{limit:,} at most", f">= {wanted:,}"),
        "ok" if limit >= wanted else "warn",
        why=f"Each client is an open file: a server on this limit takes fewer than the "
        f"{clients:,} of maxclients.",
        fix=f"ulimit -n {max(wanted, 65536)}, and LimitNOFILE= in its unit",
    )


def memory(machine: Machine, deployed: Mapping[str, Artefacts]) -> Finding:
    """Hold the limits of all deployments against the machine's memory."""
    total = machine.memory()
    asked = sum(unit.budget.limit for made in deployed.values() for unit in made.units)
    share = asked / total if total else 1.0
    verdict: Verdict = "fail" if share > 1 else "warn" if share > _CROWDED else "ok"
    names = ", ".join(sorted(deployed)) or "no deployments"
    return Finding(
        *("machine", "memory", f"{format_size(asked)} of {format_size(total)} ({names})"),
        f"<= {_CROWDED:.0%}",
        verdict,
        why="The sum of memory.limit is what the servers may take at once; beyond the machine's "
        "memory the kernel kills one of them.",
        fix="Lower memory.limit in a profile, or take a deployment down",
    )


def disks(
    machine: Machine, root: Path, storage: Path | None, deployed: Mapping[str, Artefacts]
) -> Sequence[Finding]:
    """Look at the disks that hold data: a rewrite needs the old files and the new ones."""
    need = 2 * sum(
        unit.budget.maxmemory
        for made in deployed.values()
        if made.keeps_data
        for unit in made.units
        if unit.kind == "server"
    )
    places = [("disk of the state folder", root)]
    if storage is not None:
        places.append(("disk of podman", storage))
    found = []
    for name, place in places:
        free = machine.free(place)
        found.append(
            Finding(
                *("machine", name, f"{format_size(free)} free at {place}"),
                f">= {format_size(need)}, twice the data",
                "ok" if free >= need else "fail",
                why="A snapshot and an AOF rewrite write everything anew before they remove the "
                "old files; a full disk stops a store from taking writes.",
                fix="Free some space, or name another folder: --state-dir DIR",
            )
        )
    return found


def state_folder(machine: Machine, root: Path) -> Finding:
    """Look at the folder of records, renders and secrets."""
    mode = machine.mode(root)
    if not machine.writable(root):
        verdict, value = "fail", f"{root} cannot be written"
    elif mode is not None and mode & 0o077:
        verdict, value = "warn", f"{root}, mode {mode:04o}"
    else:
        shown = f"mode {mode:04o}" if mode is not None else "not made yet"
        verdict, value = "ok", f"{root}, {shown}"
    return Finding(
        *("machine", "state folder", value, "ours, mode 0700", verdict),  # type: ignore[arg-type]  # one of the three words
        why="It holds what runs, the last good renders, and generated passwords.",
        fix=f"chmod 700 {root}" if verdict == "warn" else "Name another folder: --state-dir DIR",
    )


def clock(machine: Machine) -> Finding:
    """Ask whether somebody keeps the clock right."""
    asked = machine.run("timedatectl", "show", "--property=NTPSynchronized", "--value")
    value = {"yes": "synchronized", "no": "not synchronized"}.get(asked.out, "not known")
    return Finding(
        *("machine", "clock", value, "synchronized"),
        "warn" if value == "not synchronized" else "ok",
        why="Entries expire, certificates become valid and limits refill by the server's clock; "
        "one that jumps expires too much or nothing.",
        fix="timedatectl set-ntp true",
    )
