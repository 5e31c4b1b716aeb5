"""A flush that is killed at a moment that nobody chose, and goes on with ``--resume``."""

from __future__ import annotations

from benchmarks.keyspace.contents import APP, EMPTIED
from benchmarks.keyspace.figures import Bound, Section
from benchmarks.keyspace.flush import emptied_by
from benchmarks.keyspace.processes import KILLED
from benchmarks.keyspace.scene import Scene
from benchmarks.micro.lock import measuring_alone

_BATCH = 1000
"""About the keys of one step, at most; see `Pace.largest`."""


def measure(scene: Scene) -> list[Section]:
    """Kill, resume, and count what both have deleted."""
    section = Section(f"a flush of {scene.size.emptied:,} keys, killed, then --resume")
    alone = section.figure("uninterrupted, --impact max", "s")
    gone = section.figure("deleted when it was killed", "%")
    left = section.figure("keys left after --resume", "", Bound(0, always=True))
    lost = section.figure("keys that its count misses", "", Bound(_BATCH, always=True))
    hidden = section.figure("  and that it does not admit", "", Bound(0, always=True))
    again = section.figure("--resume", "s")
    if lacking := scene.processes.lacks("flush", "--impact", "--resume", "--yes"):
        section.absent(lacking)
        return [section]
    scene.put_back_reference()
    with measuring_alone():
        whole = emptied_by(scene, "--impact", "max").seconds
    alone.add(whole)
    missed = 0
    while len(left.values) < scene.rounds and missed < 3 * scene.rounds:
        scene.put_back_reference()
        scene.processes.forget()
        before = scene.stage.keys()
        kept = scene.size.keys - scene.size.emptied
        with measuring_alone():
            first = scene.processes.ours(
                *("flush", EMPTIED, "--yes", "--impact", "max"),
                app=APP,
                ends_after=whole * scene.rng.uniform(0.2, 0.95),
                statuses=(0, KILLED),
            )
            gone_then = before - scene.stage.keys()
            if first.status != KILLED or gone_then <= 0:
                missed += 1  # it was through already, or had not begun
                continue
            second = scene.processes.ours(
                "flush", EMPTIED, "--yes", "--impact", "max", "--resume", app=APP
            )
        gone.add(gone_then / scene.size.emptied * 100)
        left.add(scene.stage.keys() - kept)
        again.add(second.seconds)
        deleted, uncounted = (_number(second.data().get(name)) for name in ("deleted", "uncounted"))
        lost.add(abs(scene.size.emptied - deleted))
        hidden.add(unadmitted(scene.size.emptied, deleted, uncounted))
    if missed:
        section.notes.append(f"{missed} more were killed before they deleted or after their end.")
    return [section]


def unadmitted(wanted: int, deleted: int, uncounted: int) -> int:
    """Return by how many keys a report is wrong.

    It says that *deleted* keys are gone for certain, and up to *uncounted* more; right is
    what includes *wanted*.
    """
    return max(0, deleted - wanted, wanted - deleted - uncounted)


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0
