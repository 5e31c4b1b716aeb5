"""`keys stats`, sampled and exact, beside ``valkey-cli --memkeys``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from benchmarks.keyspace.figures import Bound, Section
from benchmarks.keyspace.processes import Outcome
from benchmarks.keyspace.scene import Scene
from benchmarks.keyspace.stage import Truth
from benchmarks.micro.lock import measuring_alone

_PEER = ("--memkeys", "--count", "1000")
_LARGE = 0.05


@dataclass(frozen=True)
class Reported:
    """What `keys stats` says of one namespace.

    Attributes:
        keys: How many.
        memory_bytes: What they take.
        low: End of the interval of that; itself where it is exact.
        high: Likewise.
    """

    keys: int
    memory_bytes: int
    low: float
    high: float


def reported(data: Mapping[str, object]) -> dict[str, Reported]:
    """Return the namespaces in ``data`` of a `keys stats` envelope."""
    found = {}
    groups = data.get("namespaces")
    for group in groups if isinstance(groups, list) else ():
        memory = group["memory_bytes"]
        low, high = (group.get("ci95") or {}).get("memory_bytes", (memory, memory))
        found[group["name"]] = Reported(group["keys"], memory, low, high)
    return found


def half_width(found: Mapping[str, Reported], truth: Mapping[str, Truth]) -> float:
    """Return the worst half-width of a large namespace, in percent of its estimate."""
    return max(
        (found[name].high - found[name].low) / 2 / found[name].memory_bytes * 100
        if name in found
        else 100.0
        for name in large(truth)
    )


def error(found: Mapping[str, Reported], truth: Mapping[str, Truth]) -> float:
    """Return how far the worst estimate of a large namespace is off, in percent."""
    return max(
        abs(found[name].memory_bytes / truth[name].memory_bytes - 1) * 100
        if name in found
        else 100.0
        for name in large(truth)
    )


def held(found: Mapping[str, Reported], truth: Mapping[str, Truth]) -> float:
    """Return how many of the intervals of memory hold the truth, in percent of the namespaces."""
    holding = sum(
        name in found and found[name].low <= one.memory_bytes <= found[name].high
        for name, one in truth.items()
    )
    return holding / len(truth) * 100


def differing(found: Mapping[str, Reported], truth: Mapping[str, Truth]) -> int:
    """Return how many namespaces are not counted exactly."""
    return sum(
        name not in found
        or (found[name].keys, found[name].memory_bytes) != (one.keys, one.memory_bytes)
        for name, one in truth.items()
    )


def large(truth: Mapping[str, Truth]) -> list[str]:
    """Return the namespaces that hold a twentieth of the bytes or more."""
    total = sum(one.memory_bytes for one in truth.values())
    return [name for name, one in truth.items() if one.memory_bytes >= _LARGE * total]


def measure(scene: Scene) -> list[Section]:
    """Time all three in turn on the reference keyspace."""
    scene.put_back_reference()
    truth = scene.stage.truth()
    section = Section(f"stats of {scene.size.keys:,} keys in {len(truth)} namespaces")
    peer_s = section.figure("valkey-cli --memkeys --count 1000", "s")
    sample_s = section.figure("keys stats --sample", "s")
    sample_x = section.figure("  / valkey-cli", "x", Bound(0.1))
    width = section.figure("  worst half-width, namespaces of 5 % up", "%", Bound(5, always=True))
    off = section.figure("  worst real error of those", "%")
    covering = section.figure("  intervals that hold the truth", "%")
    exact_s = section.figure("keys stats --exact", "s")
    exact_x = section.figure("  / valkey-cli", "x", Bound(1.0))
    wrong = section.figure("  namespaces that differ from the truth", "", Bound(0, always=True))
    longest = section.figure("  longest command on the server", "ms", Bound(5, always=True))
    lacking = scene.processes.lacks("stats", "--sample", "--exact")
    if lacking:
        section.absent(lacking)
        return [section]
    if reason := scene.without_peer():
        section.absent(reason)
    for _ in range(scene.rounds):
        outcomes: dict[str, Outcome] = {}
        arms = ["sample", "exact"] + ([] if scene.without_peer() else ["peer"])
        scene.rng.shuffle(arms)
        with measuring_alone():
            for arm in arms:
                words = _PEER if arm == "peer" else ("stats", f"--{arm}")
                run = scene.processes.theirs if arm == "peer" else scene.processes.ours
                outcomes[arm] = scene.timed(scene.stage.forget, partial(run, *words))
                found = reported(outcomes[arm].data())
                if arm == "sample":
                    width.add(half_width(found, truth))
                    off.add(error(found, truth))
                    covering.add(held(found, truth))
                elif arm == "exact":
                    wrong.add(differing(found, truth))
                    longest.add(scene.stage.longest_ms()[0])
        sample_s.add(outcomes["sample"].seconds)
        exact_s.add(outcomes["exact"].seconds)
        if "peer" in outcomes:
            peer_s.add(outcomes["peer"].seconds)
            sample_x.add(outcomes["sample"].seconds / outcomes["peer"].seconds)
            exact_x.add(outcomes["exact"].seconds / outcomes["peer"].seconds)
    return [section]
