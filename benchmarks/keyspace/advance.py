"""How far a walk says that it is, against the keys that it has given."""

from __future__ import annotations

from collections.abc import Iterable

from benchmarks.keyspace.figures import Bound, Section
from benchmarks.keyspace.scene import Scene
from valkeyctl.ops.keyspace.scan import Walker


def furthest_off(steps: Iterable[tuple[int, float]], keys: int) -> float:
    """Return the worst difference of a reported fraction to the true one, in percent.

    Args:
        steps: For each step the keys that it gave and the fraction reported after it.
        keys: How many there are.
    """
    worst, given = 0.0, 0
    for found, visited in steps:
        given += found
        worst = max(worst, abs(visited - given / keys) * 100)
    return worst


def measure(scene: Scene) -> list[Section]:
    """Walk the reference keyspace by the Python interface."""
    section = Section("progress of a walk")
    worst = section.figure("worst difference to the true share of keys", "%", Bound(1, always=True))
    scene.put_back_reference()
    with Walker(scene.stage.endpoint) as walker:
        steps = [(len(batch.keys), batch.visited) for batch in walker.walk()]
    worst.add(furthest_off(steps, scene.size.keys))
    section.notes.append(f"{len(steps):,} steps.")
    return [section]
