"""How the last run of a container ended: by itself, by somebody, or by the kernel.

Podman's own flag does not tell (see `podmantraps`): 4.3 never sets OOMKilled, 5.4 never
takes it back. What tells is the exit code, whether somebody asked podman to kill, and
the empty file ``oom`` that conmon leaves where podman was started: in the unit's folder.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, TypeAlias

from valkeyctl.runtime.files import private_folder, write_private
from valkeyctl.runtime.podmancli import PodmanCommand
from valkeyctl.runtime.podmantraps import Traps
from valkeyctl.units import format_duration, format_size

Cause: TypeAlias = Literal["memory", "killed", "drill", "unknown", "itself"]

KILLED = 137  # 128 + SIGKILL: by podman after the grace, by somebody, or out of memory
_NOTE = "oom"
_DRILLED = "drilled"  # file whose time is that of the last kill by a drill
_COARSE = 1.5  # seconds by which podman's times and those of files may differ
# Between podman's "kill" and the death that it asked for.
_KILL_TAKES = 10.0


@dataclass(frozen=True)
class Ending:
    """The end of a container's last run.

    Attributes:
        cause: ``memory`` the kernel, for want of memory; ``killed`` somebody, through
            podman; ``drill`` a drill; ``unknown`` the kernel or somebody; ``itself`` the
            server.
        code: Exit code.
        at: Seconds since the epoch.
        uptime: Seconds that it had run; None when podman does not know any more.
        limit: Bytes that the container may take; 0 without a limit.
        restarts: How often podman has started the container anew.
    """

    cause: Cause
    code: int
    at: float
    uptime: float | None
    limit: int
    restarts: int

    def sentence(self, now: float) -> str:
        """Return what happened, as a clause with the server as its subject."""
        up = f" after {format_duration(round(self.uptime))}" if self.uptime is not None else ""
        limit = f"memory.limit {_as_written(self.limit)}"
        why = {
            "memory": f"was killed by the kernel, out of memory ({limit})",
            "killed": "was killed by somebody",
            "drill": "was killed by a drill",
            "unknown": f"was killed, by somebody or out of memory ({limit})",
            "itself": "ended",
        }[self.cause]
        ago = format_duration(round(max(now - self.at, 0)))
        times = "time" if self.restarts == 1 else "times"
        again = f"; podman has restarted it {self.restarts} {times}" if self.restarts else ""
        return f"{why} with exit code {self.code}{up}, {ago} ago{again}"

    @property
    def hint(self) -> str:
        """What to do about it; empty when that depends."""
        if self.cause in {"memory", "unknown"}:
            return "Raise memory.limit in the profile, or lower memory.maxmemory"
        return ""


def last_ending(
    podman: PodmanCommand, container: Mapping[str, object], folder: Path, traps: Traps
) -> Ending | None:
    """Return how the last run of *container* ended; None when its first one still goes on.

    Args:
        podman: To ask for events.
        container: What ``podman container inspect`` says of it.
        folder: Where podman was started when the container was made.
        traps: Of this Podman.
    """
    state, host = _section(container, "State"), _section(container, "HostConfig")
    restarts = _number(container.get("RestartCount"))
    up = state.get("Status") in {"running", "paused", "created", "configured", "initialized"}
    if up and not restarts:
        return None
    created = _seconds(container.get("Created"))
    events = _events(podman, str(container.get("Id", "")), created)
    deaths = [event for event in events if event.status == "died"]
    noted, flagged = _noted(folder, created), state.get("OOMKilled") is True
    if deaths:
        at, code = deaths[-1].at, deaths[-1].code
    else:  # rotated away; State has the exit code of a container that has not started again
        at, code = _seconds(state.get("FinishedAt")), _number(state.get("ExitCode"))
        if up:
            code = KILLED if noted or flagged else 0
    begins = [event.at for event in events if event.status == "start" and event.at <= at]
    if not begins and not up:
        begins = [_seconds(state.get("StartedAt"))]
    asked = any(event.status == "kill" and 0 <= at - event.at <= _KILL_TAKES for event in events)
    return Ending(
        cause="drill" if _drilled(folder, at) else _cause(code, asked, noted, flagged, traps),
        code=code,
        at=at,
        uptime=max(at - begins[-1], 0) if begins else None,
        limit=_number(host.get("Memory")),
        restarts=restarts,
    )


def note_drill(folder: Path) -> None:
    """Write down in the *folder* of a unit that a drill kills it now.

    Raises:
        FolderError: It cannot be written.
    """
    write_private(private_folder(folder) / _DRILLED, "")


def _drilled(folder: Path, at: float) -> bool:
    """Say whether a drill has killed the unit of *folder* just before *at*."""
    try:
        killed = (folder / _DRILLED).stat().st_mtime
    except OSError:
        return False
    return -_COARSE <= at - killed <= _KILL_TAKES


@dataclass(frozen=True)
class _Event:
    status: str
    at: float
    code: int


def _cause(code: int, asked: bool, noted: bool, flagged: bool, traps: Traps) -> Cause:
    if code != KILLED:
        return "itself"
    if asked:
        return "killed"
    if noted or flagged:
        return "memory"
    return "unknown" if "oom_flag_unreliable" in traps else "killed"


def _noted(folder: Path, created: float) -> bool:
    """Say whether conmon has seen a container of this *folder* run out of memory since then."""
    try:
        return (folder / _NOTE).stat().st_mtime >= created
    except OSError:
        return False


def _events(podman: PodmanCommand, container_id: str, since: float) -> Sequence[_Event]:
    """Return what podman remembers of the container, oldest first."""
    age = f"{max(time.time() - since, 0) + 1:.0f}s"
    outcome = podman.run(
        *("events", "--stream=false", "--since", age, "--filter", f"container={container_id}"),
        *("--format", "json"),
    )
    found = []
    for line in outcome.out.splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict):
            # Podman 5 says timeNano where 4 says Time.
            nano = event.get("timeNano")
            at = nano / 1e9 if isinstance(nano, int) else _seconds(event.get("Time"))
            status, code = str(event.get("Status", "")), _number(event.get("ContainerExitCode"))
            found.append(_Event(status, at, code))
    return sorted(found, key=lambda event: event.at)


def _seconds(stamp: object) -> float:
    """Return a time stamp of podman's in seconds since the epoch; 0 when it is none."""
    try:
        return datetime.fromisoformat(str(stamp)).timestamp()
    except (ValueError, OverflowError):
        return 0.0


def _as_written(size: int) -> str:
    """Return *size* as a profile says it, where that is a whole number of Mi."""
    return f"{size // 2**20}Mi" if size and size % 2**20 == 0 else format_size(size)


def _section(node: Mapping[str, object], key: str) -> Mapping[str, object]:
    found = node.get(key)
    return found if isinstance(found, dict) else {}


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0
