"""What may be said of a sweep, in sentences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from valkeyctl.bench.figures.conclusion import Sentence, figure
from valkeyctl.bench.sweep.bends import Bend, never_expired
from valkeyctl.bench.sweep.field import LABELS, Value
from valkeyctl.bench.sweep.sweep import Cell, Drift, Sweep
from valkeyctl.units import format_duration, several

# Of hit ratio, and as a share of a time: less is not worth a sentence.
_SMALL_RATIO, _SMALL_TIME = 0.005, 0.05
# Of which p99 is one of the ten slowest.
_FEW_REQUESTS = 1000


def conclusion(found: Sweep, knees: Sequence[Bend]) -> tuple[Sentence, ...]:
    """Return what may be said, most important first."""
    return (
        *_faults(found),
        *_unseen(found),
        *_knees(found, knees),
        *_side_by_side(found),
        *_notes(found, knees),
    )


def _faults(found: Sweep) -> Iterator[Sentence]:
    reached = len(found.values) - len(found.unmeasured)
    if found.incomplete:
        yield Sentence(
            "warning",
            f"The sweep is incomplete ({found.incomplete}): {reached} of {len(found.values)} "
            f"values {'was' if reached == 1 else 'were'} measured.",
        )
    for failure in found.failures:
        if failure.text != found.incomplete:
            yield Sentence("error", f"A run failed: {failure.text}.")
    refused: dict[str, list[Value]] = {}
    for one in found.cells:
        if one.errors:
            where = f"{LABELS[found.field]} {one.value.text}" + (
                f", arm {one.arm}" if found.compares else ""
            )
            yield Sentence(
                "error",
                f"{one.errors:,} of {one.sent:,} requests had no right answer at {where}.",
            )
        if one.refused:
            refused.setdefault(one.refused, []).append(one.value)
    # A refusal is of a whole run, so of all its arms and values.
    for why, values in refused.items():
        at = _listed(values)
        yield Sentence("error", f"Latencies at {LABELS[found.field]} {at} show nothing: {why}.")


def _unseen(found: Sweep) -> Iterator[Sentence]:
    cells = never_expired(found)
    if not cells:
        return
    run = format_duration(round(found.run_seconds, 1))
    yield Sentence(
        "warning",
        f"In a run of {run} no entry with TTL {_listed(one.value for one in cells)} comes to its "
        "end: these figures are those of entries that live for ever, and no knee is named. Give "
        "a longer --duration, or compute the hit ratio: valkeyctl bench curve --scenario "
        f"{found.scenario} --ttl {cells[0].value.text}.",
    )


def _knees(found: Sweep, knees: Sequence[Bend]) -> Iterator[Sentence]:
    label = LABELS[found.field]
    if never_expired(found):
        return
    for bend in knees:
        of_arm = f"Arm {bend.arm}: " if found.compares else ""
        if bend.cell is None:
            yield Sentence("result", f"{of_arm}{label}: {bend.missing}.")
            continue
        cell = bend.cell
        text = f"{of_arm}{label} {cell.value.text} is {bend.rule}"
        ratio, p99 = cell.estimates.get("hit_ratio"), cell.estimates.get("p99")
        if found.field in {"memory", "ttl"} and ratio is not None:
            best = max(
                one.estimates["hit_ratio"].value
                for one in found.series(bend.arm)
                if "hit_ratio" in one.estimates
            )
            text += f": {ratio.value:.1%} of the {best:.1%} that this sweep reached"
        elif p99 is not None:
            text += f"; p99 there is {figure(p99.value)} ms"
        yield Sentence("result", f"{text}.{_beyond(found, cell, bend.arm)}")


def _beyond(found: Sweep, cell: Cell, arm: str) -> str:
    """Return what is not known because the sweep ends there, or has a gap; else nothing."""
    place = found.values.index(cell.value)
    if found.field != "rate":
        return " Smaller ones were not measured." if place == 0 else ""
    if place == len(found.values) - 1:
        return " Higher ones were not measured."
    after = found.values[place + 1]
    following = next((one for one in found.series(arm) if one.value == after), None)
    if following is None:
        return f" {after.text} was not measured."
    if following.refused:
        return f" At {after.text} the load generator was late, so it may be more."
    return ""


def _side_by_side(found: Sweep) -> Iterator[Sentence]:
    if found.one_run:
        yield Sentence(
            "note", "The values were arms of one run, in interleaved rounds of the same requests."
        )
        return
    runs = (
        "a run of its own, upwards, and the first another one at the end."
        if found.passes == 1
        else f"{found.passes} runs of its own, upwards and downwards in turn, and an interval "
        "holds those of all its runs."
    )
    text = f"The values were not measured side by side: each had {runs}"
    if not found.drifts:
        yield Sentence(
            "note", f"{text} The first and the last, of the same value, cannot be compared."
        )
        return
    moved = _most_moved(found.drifts)
    if not moved:
        yield Sentence(
            "note",
            f"{text} The first value gave the same in the first run and the last, to within "
            f"{_SMALL_TIME:.0%} of a time and {100 * _SMALL_RATIO:g} points of hit ratio.",
        )
        return
    said = "; ".join(_moved(found, one) for one in moved)
    yield Sentence(
        # Apart from chance, too: the machine is not what it was at the beginning.
        "warning" if any(_apart(one) for one in found.drifts) else "note",
        f"{text} {LABELS[found.field]} {found.values[0].text}, played first and last, gave "
        f"{said}: differences of that size between values show nothing.",
    )


def _most_moved(drifts: Sequence[Drift]) -> list[Drift]:
    """Return of each metric the arm that moved most, where that is worth a word."""
    found: dict[str, Drift] = {}
    for one in drifts:
        known = found.get(one.metric)
        if known is None or _distance(one) > _distance(known):
            found[one.metric] = one
    small = {"hit_ratio": _SMALL_RATIO}
    return [one for one in found.values() if _distance(one) > small.get(one.metric, _SMALL_TIME)]


def _distance(one: Drift) -> float:
    if one.metric == "hit_ratio":
        return abs(one.last.value - one.first.value)
    return abs(one.change)


def _apart(one: Drift) -> bool:
    first, last = one.first.ci95, one.last.ci95
    return first is not None and last is not None and (first[1] < last[0] or last[1] < first[0])


def _moved(found: Sweep, one: Drift) -> str:
    arm = f"{one.arm} " if found.compares else ""
    if one.metric == "hit_ratio":
        return f"{arm}hit ratio {one.first.value:.1%}, then {one.last.value:.1%}"
    name = {"throughput": "answers/s"}.get(one.metric, one.metric)
    unit = "" if one.metric == "throughput" else " ms"
    return (
        f"{arm}{name} {figure(one.first.value)}, then {figure(one.last.value)}{unit} "
        f"({one.change:+.0%})"
    )


def _notes(found: Sweep, knees: Sequence[Bend]) -> Iterator[Sentence]:
    few = [one for one in found.cells if one.requests < _FEW_REQUESTS and "p99" in one.estimates]
    if few:
        least = min(few, key=lambda one: one.requests)
        yield Sentence(
            "note",
            f"p99 at {_listed(one.value for one in few)} rests on few requests "
            f"({least.requests:,} at {least.value.text}); a longer --duration makes it steadier.",
        )
    if any(one.unsure and one.cell is not None for one in knees):
        yield Sentence(
            "note",
            "Intervals of the hit ratio are wider than the gain that is asked for, so the knee "
            "may lie a value off; a longer --duration makes them narrower.",
        )
    part = [one for one in found.cells if 0 < one.refused_runs < one.runs]
    for value in dict.fromkeys(one.value for one in part):
        cell = next(one for one in part if one.value == value)
        yield Sentence(
            "note",
            f"{several(cell.refused_runs, 'run')} of {cell.runs} at {value.text} shows the load "
            "generator and is left out.",
        )
    if found.field == "ttl" and found.compares:
        arms = len(found.arms)
        yield Sentence(
            "warning",
            f"Entries age while the other arms play, so that each of the {arms} arms has the hit "
            f"ratio of 1/{arms} of its rate.",
        )
    if found.field == "memory":
        yield Sentence(
            "note",
            "Every server began empty. What a longer run would reach, valkeyctl bench curve says.",
        )


def _listed(values: Iterable[Value]) -> str:
    return ", ".join(dict.fromkeys(one.text for one in values))
