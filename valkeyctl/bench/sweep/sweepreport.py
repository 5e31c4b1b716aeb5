"""A sweep as a reader sees it: tables, JSON and a page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from valkeyctl.bench.arm import Node
from valkeyctl.bench.environment import capture
from valkeyctl.bench.figures.conclusion import figure
from valkeyctl.bench.page.axes import Axis
from valkeyctl.bench.page.plots import Line, Mark
from valkeyctl.bench.page.plots import curve as plot
from valkeyctl.bench.statistics.intervals import Estimate
from valkeyctl.bench.sweep.bends import Bend, never_expired
from valkeyctl.bench.sweep.field import LABELS, Value
from valkeyctl.bench.sweep.files import write_report
from valkeyctl.bench.sweep.page import Figure, Page, Table
from valkeyctl.bench.sweep.sweep import Cell, Sweep
from valkeyctl.bench.sweep.sweepwords import conclusion
from valkeyctl.units import format_duration

HTML_FILE, JSON_FILE = "sweep.html", "sweep.json"

_NAMES = {"p50": "p50_ms", "p99": "p99_ms", "throughput": "throughput_rps"}


def head(found: Sweep, *, whole: bool = False) -> tuple[str, ...]:
    """Return the names of the columns of `rows`."""
    arm = ("arm",) if found.compares else ()
    note = ("note",) if _noted(found) else ()
    requests = ("requests",) if whole else ()
    figures = (*requests, "hit ratio", "p50 ms", "p99 ms", "answers/s", "errors")
    return (LABELS[found.field], *arm, *figures, *note)


def rows(
    found: Sweep, knees: Sequence[Bend], *, whole: bool = False
) -> tuple[tuple[str, ...], ...]:
    """Return a row for each value and arm; the knee's value has a star.

    Where one shows nothing, or not all, a last cell says why in a word or two.

    Args:
        found: The sweep.
        knees: Of `bends`.
        whole: Whether 95 % intervals stand beside the figures, and how many requests
            they are of, for which a terminal has no room.
    """
    starred = [bend.cell for bend in knees]
    noted = _noted(found)
    made: list[tuple[str, ...]] = []
    for value in found.values:
        cells = [one for one in found.cells if one.value == value]
        if not cells:
            arm = ("-",) if found.compares else ()
            blank = "-" * (6 if whole else 5)
            made.append((value.text, *arm, *blank, _why_not(found, value)))
        for one in cells:
            estimates = [one.estimates.get(name) for name in ("p50", "p99", "throughput")]
            made.append(
                (
                    value.text + (" *" if one in starred else ""),
                    *((one.arm,) if found.compares else ()),
                    *((f"{one.requests:,}",) if whole else ()),
                    _share(one.estimates.get("hit_ratio"), interval=whole),
                    *(_number(estimate, interval=whole) for estimate in estimates),
                    f"{one.errors:,}",
                    *((_mark(found, one),) if noted else ()),
                )
            )
    return tuple(made)


def _noted(found: Sweep) -> bool:
    return bool(found.refused or found.unmeasured or never_expired(found))


def _why_not(found: Sweep, value: Value) -> str:
    failed = any(failure.value == value for failure in found.failures)
    return "failed" if failed else "not reached"


def _mark(found: Sweep, one: Cell) -> str:
    if one.refused:
        return "late"
    return "no expiry" if one in never_expired(found) else ""


def _share(estimate: Estimate | None, *, interval: bool) -> str:
    if estimate is None:
        return "-"
    if not interval or estimate.ci95 is None:
        return f"{estimate.value:.1%}"
    low, high = estimate.ci95
    return f"{estimate.value:.1%} ({100 * low:.1f} to {100 * high:.1f})"


def _number(estimate: Estimate | None, *, interval: bool) -> str:
    if estimate is None:
        return "-"
    if not interval or estimate.ci95 is None:
        return figure(estimate.value)
    low, high = estimate.ci95
    return f"{figure(estimate.value)} ({figure(low)} to {figure(high)})"


def document(found: Sweep, knees: Sequence[Bend]) -> dict[str, Node]:
    """Return the data of the ``bench.sweep`` envelope, and of ``sweep.json``."""
    return {
        "field": found.field,
        "scenario": found.scenario,
        "values": [one.number for one in found.values],
        "one_run": found.one_run,
        "passes": found.passes,
        "run_seconds": found.run_seconds,
        "incomplete": bool(found.incomplete),
        "incomplete_reason": found.incomplete or None,
        "refused": found.refused,
        "points": [_point(found, one) for one in found.cells],
        "failures": [
            {
                "run": one.run,
                "value": None if one.value is None else one.value.number,
                "code": one.code,
                "message": one.message,
            }
            for one in found.failures
        ],
        "drift": [
            {
                "arm": one.arm,
                "metric": _NAMES.get(one.metric, one.metric),
                "first": one.first.value,
                "last": one.last.value,
                "change": one.change,
            }
            for one in found.drifts
        ],
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


def _point(found: Sweep, one: Cell) -> dict[str, Node]:
    figures: dict[str, Node] = {}
    for metric in ("hit_ratio", *_NAMES):
        estimate = one.estimates.get(metric)
        name = _NAMES.get(metric, metric)
        figures[name] = None if estimate is None else estimate.value
        interval = None if estimate is None else estimate.ci95
        figures[f"{name}_ci95"] = None if interval is None else list(interval)
    return {
        "value": one.value.number,
        "text": one.value.text,
        "arm": one.arm,
        "runs": one.runs,
        "requests": one.requests,
        "errors": one.errors,
        "held_back": one.held_back,
        "refused": one.refused or None,
        "refused_runs": one.refused_runs,
        "expires": one not in never_expired(found) if found.field == "ttl" else None,
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
        tables=(
            Table(
                "By value, with 95 % intervals; a knee has a star.",
                head(found, whole=True),
                rows(found, knees, whole=True),
            ),
        ),
        facts=(
            ("Runs", ", ".join(one.name for one in found.runs)),
            ("Load of a run", format_duration(round(found.run_seconds, 1))),
            ("Command", str(environment["command"])),
            ("Machine", f"{environment['cpu']}, {environment['platform']}"),
        ),
    )


def _figures(found: Sweep, knees: Sequence[Bend]) -> Iterator[Figure]:
    x = Axis(
        LABELS[found.field],
        log=True,
        marks=[(one.number, one.text) for one in found.values],
    )
    marks = [
        Mark(bend.cell.value.number, f"knee {bend.arm}" if found.compares else "knee")
        for bend in knees
        if bend.cell is not None
    ]
    for metric, title, y in (
        ("hit_ratio", "Hit ratio", Axis("hit ratio", low=0.0, percent=True)),
        ("p50", "Median latency", Axis("p50 (ms)", log=True)),
        ("p99", "p99 latency", Axis("p99 (ms)", log=True)),
        ("throughput", "Throughput", Axis("answers/s", low=0.0)),
    ):
        lines = [_line(arm, found.series(arm), metric) for arm in found.arms]
        drawn = [line for line in lines if any(value is not None for _, value in line.points)]
        if drawn:
            svg = plot(drawn, f"sweep-{metric}", title=title, x=x, y=y, marks=marks)
            about = f"By {LABELS[found.field]}, with 95 % intervals."
            yield Figure(title, about, svg)


def _line(arm: str, cells: Sequence[Cell], metric: str) -> Line:
    known = [one for one in cells if metric in one.estimates]
    # A late load generator shows its own times; the line has a gap there.
    shown = [
        None if one.refused and metric != "hit_ratio" else one.estimates[metric] for one in known
    ]
    return Line(
        arm or "measured",
        [
            (one.value.number, None if estimate is None else estimate.value)
            for one, estimate in zip(known, shown, strict=True)
        ],
        ranges=[None if estimate is None else estimate.ci95 for estimate in shown],
    )
