"""What a client that sends 2,000 requests a second feels of a flush."""

from __future__ import annotations

import contextlib
import json
import math
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from benchmarks.keyspace.contents import PROBED
from benchmarks.keyspace.figures import Bound, Section
from benchmarks.keyspace.flush import emptied_by
from benchmarks.keyspace.priority import prefer
from benchmarks.keyspace.scene import Scene
from benchmarks.micro.cores import settle
from benchmarks.micro.lock import measuring_alone
from benchmarks.micro.remote import REPOSITORY
from valkeyctl.errors import StartError

RATE = 2000.0
_IDLE_S = 3.0
_GRACE = 20.0
_SETTLED_S = 0.5
_QUIET_MS = 1.0

Asked = tuple[float, float, float]
"""When a request was due, sent and answered."""


@dataclass(frozen=True)
class Felt:
    """What the requests of a span of time went through, in milliseconds.

    Attributes:
        count: Requests.
        p50: Of the waits from when a request was due.
        p99: Likewise.
        longest: The longest of those waits.
        queue: How much longer that is than the longest answer took from when it was sent:
            requests that waited for others, and not for one slow command.
    """

    count: int
    p50: float
    p99: float
    longest: float
    queue: float


def felt(asked: Sequence[Asked], began: float, ended: float) -> Felt:
    """Return what the requests that were due from *began* to *ended* went through.

    Raises:
        StartError: There were none.
    """
    inside = [each for each in asked if began <= each[0] <= ended]
    if not inside:
        raise StartError("the client beside was not asking at that time")
    waits = sorted((answered - due) * 1000 for due, _, answered in inside)
    slowest = max((answered - sent) * 1000 for _, sent, answered in inside)
    return Felt(
        count=len(waits),
        p50=waits[math.ceil(0.50 * len(waits)) - 1],
        p99=waits[math.ceil(0.99 * len(waits)) - 1],
        longest=waits[-1],
        queue=max(0.0, waits[-1] - slowest),
    )


class Getter:
    """The client, while it runs."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def end(self) -> list[Asked]:
        """Let it end, and return what it saw."""
        out, _ = self._process.communicate(timeout=_GRACE)
        return [(due, sent, answered) for due, sent, answered in json.loads(out)]


@contextlib.contextmanager
def getting(scene: Scene) -> Iterator[Getter]:
    """Run the client as long as the block lasts, at the latest."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "benchmarks.keyspace.getter", str(scene.processes.port)),
            *(PROBED.decode(), str(RATE)),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
        start_new_session=True,
    )
    try:
        settle(process.pid, scene.cores.worker)
        prefer(process.pid)
        if process.stdout is None or process.stdout.readline() != "ready\n":
            raise StartError("the client beside could not be started")
        yield Getter(process)
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


def measure(scene: Scene) -> list[Section]:
    """Flush at low and at normal impact, each round beside the client."""
    lacking = scene.processes.lacks("flush", "--impact", "--yes")
    return [_section(scene, impact, lacking) for impact in ("low", "normal")]


def _section(scene: Scene, impact: str, lacking: str) -> Section:
    held = impact == "low"
    section = Section(f"flush --impact {impact} beside {RATE:,.0f} GETs a second")
    seconds = section.figure("keys flush", "s")
    idle_p99 = section.figure("p99 before it", "ms")
    p99 = section.figure("p99 during it", "ms")
    above = section.figure("  above idle", "ms", Bound(0.5) if held else None)
    idle_longest = section.figure("longest wait before it", "ms")
    longest = section.figure("longest wait during it", "ms")
    queue = section.figure("  of it in a queue", "ms", Bound(1.0) if held else None)
    command = section.figure("longest command", "ms", Bound(2, always=True))
    if lacking:
        section.absent(lacking)
        return section
    for _ in range(scene.rounds):
        with measuring_alone():
            work = partial(_flushed, scene, impact)
            took, idle, during, worst = scene.timed(scene.put_back_reference, work)
        seconds.add(took)
        idle_p99.add(idle.p99)
        p99.add(during.p99)
        above.add(during.p99 - idle.p99)
        idle_longest.add(idle.longest)
        longest.add(during.longest)
        queue.add(during.queue)
        command.add(worst)
    if noisy := sum(value > _QUIET_MS for value in idle_p99.values):
        section.notes.append(
            f"In {noisy} of {scene.rounds} rounds the p99 was above {_QUIET_MS:g} ms before the "
            "flush: their differences tell of the machine."
        )
    return section


def _flushed(scene: Scene, impact: str) -> tuple[float, Felt, Felt, float]:
    """Flush beside the client.

    Returns:
        The seconds that it took, what the client felt before and during it, and the
        milliseconds of the longest command.
    """
    with getting(scene) as getter:
        time.sleep(_IDLE_S)
        outcome = emptied_by(scene, "--impact", impact)
        asked = getter.end()
    idle = felt(asked, outcome.began - _IDLE_S + _SETTLED_S, outcome.began)
    during = felt(asked, outcome.began, outcome.began + outcome.seconds)
    return outcome.seconds, idle, during, scene.stage.longest_ms()[0]
