"""The most memory that each command of ours took in this run."""

from __future__ import annotations

from benchmarks.keyspace.figures import Bound, Section
from benchmarks.keyspace.scene import Scene


def measure(scene: Scene) -> list[Section]:
    """Return what the rows before this one have seen; it must come last."""
    section = Section("memory of valkeyctl, at most")
    for name, peak in sorted(scene.processes.peaks.items()):
        section.figure(f"keys {name}", "MB", Bound(100, always=True)).add(peak / 1e6)
    if not section.figures:
        section.absent("no command of ours was run on the server")
    return [section]
