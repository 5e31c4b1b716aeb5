"""A sweep as a reader sees it: where it bends, in words, tables, JSON and a page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from valkeyctl.bench.arm import Node
from valkeyctl.bench.environment import capture
from valkeyctl.bench.figures.conclusion import Sentence, figure
from valkeyctl.bench.page.axes import Axis
from valkeyctl.bench.page.plots import Line, Mark
from valkeyctl.bench.page.plots import curve as plot
from valkeyctl.bench.statistics.intervals import Estimate
from valkeyctl.bench.sweep.field import LABELS
from valkeyctl.bench.sweep.files import write_report
from valkeyctl.bench.sweep.knee import DEFAULT_GAIN, knee, points_words
from valkeyctl.bench.sweep.page import Figure, Page, Table
from valkeyctl.bench.sweep.sweep import Cell, Sweep

HTML_FILE, JSON_FILE = "sweep.html", "sweep.json"

BEND = 2.0
"""So many times the p99 of the lowest rate is where latency is said to bend."""
_HELD_BACK = 0.01
_LESS_THROUGHPUT = 0.10
_MIB = 2**20


@dataclass(frozen=True)
class Bend:
    """Where a series of a sweep stops paying, or stops holding.

    Attributes:
        arm: Whose series; empty where the values were arms.
        cell: There; None when no value shows it.
        rule: What was looked for, in words.
    """

    arm: str
    cell: Cell | None
    rule: str


def bends(found: Sweep, *, p99: float | None = None, gain: float = DEFAULT_GAIN) -> list[Bend]:
    """Return the knee of each series; none for a sweep of value sizes, which has no rule.

    Args:
        found: The sweep.
        p99: Milliseconds that the p99 of a rate may take; None looks for the bend.
        gain: Share of the requests that a doubling of memory or TTL has to add.
    """
    series = [(arm, found.series(arm)) for arm in found.arms]
    if found.field in {"memory", "ttl"}:
        rule = f"the smallest from which on no doubling gains {points_words(gain)} of hit ratio"
        return [Bend(arm, _knee(cells, "hit_ratio", gain), rule) for arm, cells in series]
    if found.field == "users":
        rule = "the fewest from which on no doubling gains 10 % of the highest throughput"
        return [Bend(arm, _knee(cells, "throughput", None), rule) for arm, cells in series]
    if found.field == "rate":
        rule = (
            f"the highest up to which p99 stays below {p99:g} ms"
            if p99 is not None
            else f"the highest up to which p99 stays below {BEND:g} times that of the lowest"
        )
        return [Bend(arm, _last_held(cells, p99), rule) for arm, cells in series]
    return []


def _knee(cells: Sequence[Cell], metric: str, gain: float | None) -> Cell | None:
    points = [
        (one.value.number, one.estimates[metric].value)
        for one in cells
        if metric in one.estimates and not one.errors
    ]
    if not points:
        return None
    if gain is None:
        gain = _LESS_THROUGHPUT * max(ratio for _, ratio in points)
    at = knee(points, gain)
    return next((one for one in cells if one.value.number == at), None)


def _last_held(cells: Sequence[Cell], p99: float | None) -> Cell | None:
    """Return the last cell before one that does not hold what was asked."""
    held = None
    bound = p99
    for one in cells:
        estimate = one.estimates.get("p99")
        if estimate is None or one.refused or one.errors:
            break
        if bound is None:
            bound = BEND * estimate.value
        if estimate.value > bound or one.held_back > _HELD_BACK * one.requests:
            break
        held = one
    return held


def conclusion(found: Sweep, knees: Sequence[Bend]) -> tuple[Sentence, ...]:
    """Return what may be said, most important first."""
    return (*_faults(found), *_knees(found, knees), *_notes(found))


def _faults(found: Sweep) -> Iterator[Sentence]:
    if found.incomplete:
        reached = len({one.value for one in found.cells})
        yield Sentence(
            "warning",
            f"The sweep is incomplete ({found.incomplete}): {reached} of {len(found.values)} "
            "values were measured.",
        )
    refused: dict[str, list[str]] = {}
    for one in found.cells:
        where = f"{LABELS[found.field]} {one.value.text}" + (
            "" if found.one_run else f", arm {one.arm}"
        )
        if one.errors:
            yield Sentence(
                "error",
                f"{one.errors:,} of {one.requests:,} requests had no right answer at {where}.",
            )
        if one.refused:
            refused.setdefault(one.refused, []).append(one.value.text)
    # A refusal is of a whole run, so of all its arms and values.
    for why, texts in refused.items():
        at = ", ".join(dict.fromkeys(texts))
        yield Sentence("error", f"Latencies at {LABELS[found.field]} {at} show nothing: {why}.")


def _knees(found: Sweep, knees: Sequence[Bend]) -> Iterator[Sentence]:
    label = LABELS[found.field]
    for bend in knees:
        of_arm = f"Arm {bend.arm}: " if bend.arm else ""
        if bend.cell is None:
            yield Sentence("result", f"{of_arm}{label}: none of these values is {bend.rule}.")
            continue
        text = f"{of_arm}{label} {bend.cell.value.text} is {bend.rule}"
        ratio, p99 = bend.cell.estimates.get("hit_ratio"), bend.cell.estimates.get("p99")
        if found.field in {"memory", "ttl"} and ratio is not None:
            best = max(
                one.estimates["hit_ratio"].value
                for one in found.series(bend.arm)
                if "hit_ratio" in one.estimates
            )
            text += f": {ratio.value:.1%} of the {best:.1%} that this sweep reached"
        elif p99 is not None:
            text += f"; p99 there is {figure(p99.value)} ms"
        yield Sentence("result", f"{text}.")


def _notes(found: Sweep) -> Iterator[Sentence]:
    if found.one_run:
        yield Sentence(
            "note", "The values were arms of one run, in interleaved rounds of the same requests."
        )
    else:
        yield Sentence(
            "note",
            "Each value had one run of its own, upwards; with more --passes drift would show."
            if found.passes == 1
            else f"Each value had {found.passes} runs of its own, upwards and downwards in turn. "
            "An interval holds those of all its runs.",
        )
    if found.field == "memory":
        yield Sentence(
            "note",
            "Every server began empty. What a longer run would reach, valkeyctl bench curve says.",
        )


def head(found: Sweep) -> tuple[str, ...]:
    """Return the names of the columns of `rows`."""
    arm = () if found.one_run else ("arm",)
    return (LABELS[found.field], *arm, "hit ratio", "p50 ms", "p99 ms", "answers/s", "errors")


def rows(found: Sweep, knees: Sequence[Bend]) -> tuple[tuple[str, ...], ...]:
    """Return a row for each cell; the knee's value has a star."""
    starred = [bend.cell for bend in knees]
    return tuple(
        (
            one.value.text + (" *" if one in starred else ""),
            *(() if found.one_run else (one.arm,)),
            _share(one.estimates.get("hit_ratio")),
            _number(one.estimates.get("p50")),
            _number(one.estimates.get("p99")),
            _number(one.estimates.get("throughput")),
            f"{one.errors:,}",
        )
        for one in found.cells
    )


def _share(estimate: Estimate | None) -> str:
    return "-" if estimate is None else f"{estimate.value:.1%}"


def _number(estimate: Estimate | None) -> str:
    return "-" if estimate is None else figure(estimate.value)


def document(found: Sweep, knees: Sequence[Bend]) -> dict[str, Node]:
    """Return the data of the ``bench.sweep`` envelope, and of ``sweep.json``."""
    return {
        "field": found.field,
        "scenario": found.scenario,
        "values": [one.number for one in found.values],
        "one_run": found.one_run,
        "passes": found.passes,
        "incomplete": bool(found.incomplete),
        "incomplete_reason": found.incomplete or None,
        "points": [_point(one) for one in found.cells],
        "knees": [
            {
                "arm": bend.arm or None,
                "value": None if bend.cell is None else bend.cell.value.number,
                "rule": bend.rule,
            }
            for bend in knees
        ],
        "conclusion": [{"kind": one.kind, "text": one.text} for one in conclusion(found, knees)],
        "runs": [str(one) for one in found.runs],
        "sweep_html": str(found.folder / HTML_FILE),
        "sweep_json": str(found.folder / JSON_FILE),
    }


def _point(one: Cell) -> dict[str, Node]:
    names = {"p50": "p50_ms", "p99": "p99_ms", "throughput": "throughput_rps"}
    figures: dict[str, Node] = {}
    for metric in ("hit_ratio", *names):
        estimate = one.estimates.get(metric)
        name = names.get(metric, metric)
        figures[name] = None if estimate is None else estimate.value
        interval = None if estimate is None else estimate.ci95
        figures[f"{name}_ci95"] = None if interval is None else list(interval)
    return {
        "value": one.value.number,
        "text": one.value.text,
        "arm": one.arm,
        "requests": one.requests,
        "errors": one.errors,
        "held_back": one.held_back,
        "refused": one.refused or None,
        **figures,
    }


def write(found: Sweep, knees: Sequence[Bend]) -> Path:
    """Write ``sweep.json`` and ``sweep.html`` into the sweep's folder; return the page's path.

    Raises:
        FolderError: They cannot be written.
    """
    write_report(found.folder, JSON_FILE, document(found, knees), HTML_FILE, page(found, knees))
    return found.folder / HTML_FILE


def page(found: Sweep, knees: Sequence[Bend]) -> Page:
    """Return the sweep as a page."""
    label = LABELS[found.field]
    environment = capture()
    return Page(
        title=f"Sweep of {label}",
        about=f"Scenario {found.scenario}, {label} {found.values[0].text} to "
        f"{found.values[-1].text}",
        conclusion=conclusion(found, knees),
        figures=tuple(_figures(found, knees)),
        tables=(Table("By value; a knee has a star.", head(found), rows(found, knees)),),
        facts=(
            ("Runs", ", ".join(one.name for one in found.runs)),
            ("Command", str(environment["command"])),
            ("Machine", f"{environment['cpu']}, {environment['platform']}"),
        ),
    )


def _figures(found: Sweep, knees: Sequence[Bend]) -> Iterator[Figure]:
    scale = _MIB if found.field == "memory" else 1
    unit = {"memory": " (MiB)", "ttl": " (s)", "size": " (bytes)"}.get(found.field, "")
    x = Axis(f"{LABELS[found.field]}{unit}", log=True)
    marks = [
        Mark(bend.cell.value.number / scale, f"knee {bend.arm}".strip())
        for bend in knees
        if bend.cell is not None
    ]
    for metric, title, y in (
        ("hit_ratio", "Hit ratio", Axis("hit ratio", low=0.0, percent=True)),
        ("p50", "Median latency", Axis("p50 (ms)", log=True)),
        ("p99", "p99 latency", Axis("p99 (ms)", log=True)),
        ("throughput", "Throughput", Axis("answers/s", low=0.0)),
    ):
        lines = [_line(arm, found.series(arm), metric, scale) for arm in found.arms]
        drawn = [line for line in lines if line.points]
        if drawn:
            svg = plot(drawn, f"sweep-{metric}", title=title, x=x, y=y, marks=marks)
            about = f"By {LABELS[found.field]}, with 95 % intervals."
            yield Figure(title, about, svg)


def _line(arm: str, cells: Sequence[Cell], metric: str, scale: int) -> Line:
    known = [one for one in cells if metric in one.estimates]
    return Line(
        arm or "measured",
        [(one.value.number / scale, one.estimates[metric].value) for one in known],
        ranges=[one.estimates[metric].ci95 for one in known],
    )
