"""Where a sweep stops paying, or stops holding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from valkeyctl.bench.sweep.knee import DEFAULT_GAIN, knee, points_words
from valkeyctl.bench.sweep.sweep import Cell, Sweep

BEND = 2.0
"""So many times the p99 of the lowest rate is where latency is said to bend."""
_HELD_BACK = 0.01
_LESS_THROUGHPUT = 0.10


@dataclass(frozen=True)
class Bend:
    """The knee of a series of a sweep.

    Attributes:
        arm: Whose series; empty where the values were arms.
        cell: There; None when no value shows it.
        rule: What was looked for, in words.
        missing: What is said where no value is it.
        unsure: Whether the intervals are wider than what was looked for, so that it may
            lie a value off.
    """

    arm: str
    cell: Cell | None
    rule: str
    missing: str
    unsure: bool = False


def bends(found: Sweep, *, p99: float | None = None, gain: float = DEFAULT_GAIN) -> list[Bend]:
    """Return the knee of each series; none for a sweep of value sizes, which has no rule.

    Args:
        found: The sweep.
        p99: Milliseconds that the p99 of a rate may take; None looks for the bend.
        gain: Share of the requests that a doubling of memory or TTL has to add.
    """
    series = [(arm, found.series(arm)) for arm in found.arms]
    if found.field in {"memory", "ttl"}:
        points = points_words(gain)
        rule = f"the smallest from which on no doubling gains {points} of hit ratio"
        missing = _beyond(found, f"{points} of hit ratio")
        # What no run was long enough to show has no place where it stops.
        unseen = bool(never_expired(found))
        return [
            Bend(arm, None if unseen else _of_hits(cells, gain), rule, missing, _wide(cells, gain))
            for arm, cells in series
            if any("hit_ratio" in one.estimates for one in cells)
        ]
    if found.field == "users":
        tenth = "10 % of the highest throughput"
        rule = f"the fewest from which on no doubling gains {tenth}"
        missing = _beyond(found, tenth)
        return [Bend(arm, _of_throughput(cells), rule, missing) for arm, cells in series]
    if found.field == "rate":
        rule = (
            f"the highest up to which p99 stays below {p99:g} ms"
            if p99 is not None
            else f"the highest up to which p99 stays below {BEND:g} times that of the lowest"
        )
        missing = f"none of these values is {rule}"
        return [Bend(arm, _last_held(found, cells, p99), rule, missing) for arm, cells in series]
    return []


def _beyond(found: Sweep, gain: str) -> str:
    if found.values[-1].number < 2 * found.values[0].number:
        return "the values span less than a doubling, so they show no knee"
    return f"a doubling still gains {gain} towards the last of these values, so they show no knee"


def never_expired(found: Sweep) -> tuple[Cell, ...]:
    """Return the cells whose TTL is longer than their run, so that no entry came to its end."""
    if found.field != "ttl":
        return ()
    return tuple(one for one in found.cells if one.value.number >= found.run_seconds)


def _wide(cells: Sequence[Cell], gain: float) -> bool:
    """Say whether a hit ratio's interval reaches further than *gain* to both sides."""
    known = (one.estimates["hit_ratio"].ci95 for one in cells if "hit_ratio" in one.estimates)
    return any(one is not None and one[1] - one[0] > 2 * gain for one in known)


def _of_hits(cells: Sequence[Cell], gain: float) -> Cell | None:
    # A late load generator is late with hits and misses alike.
    return _knee([one for one in cells if not one.errors], "hit_ratio", gain)


def _of_throughput(cells: Sequence[Cell]) -> Cell | None:
    right = [one for one in cells if not one.errors and not one.refused]
    known = [one.estimates["throughput"].value for one in right if "throughput" in one.estimates]
    return _knee(right, "throughput", _LESS_THROUGHPUT * max(known)) if known else None


def _knee(cells: Sequence[Cell], metric: str, gain: float) -> Cell | None:
    points = [
        (one.value.number, one.estimates[metric].value) for one in cells if metric in one.estimates
    ]
    at = knee(points, gain)
    return next((one for one in cells if one.value.number == at), None)


def _last_held(found: Sweep, cells: Sequence[Cell], p99: float | None) -> Cell | None:
    """Return the last cell before a value that was not measured, or does not hold."""
    held = None
    bound = p99
    by_value = {one.value: one for one in cells}
    for value in found.values:
        one = by_value.get(value)
        estimate = None if one is None else one.estimates.get("p99")
        if one is None or estimate is None or one.refused or one.errors:
            break
        if bound is None:
            bound = BEND * estimate.value
        if estimate.value > bound or one.held_back > _HELD_BACK * one.requests:
            break
        held = one
    return held
