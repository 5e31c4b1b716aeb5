"""Plots as SVG text: pure functions, no library, nothing loaded from anywhere.

Every plot has a title and a description for those who do not see it. Series differ in
dash and marker as well as in colour; colours come from the page's style, so that they
follow dark mode and print.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from valkeyctl.bench.page.axes import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    SERIES,
    WIDTH,
    Axis,
    Scale,
    apart,
    frame,
    keys,
    legend,
    linear,
    log_marks,
    log_scale,
    marker,
    markers,
    number,
    path,
    span,
    steps,
    svg,
)

_NINES = ((0.5, "50 %"), (0.9, "90 %"), (0.99, "99 %"), (0.999, "99.9 %"))
_MORE_NINES = ((0.9999, "99.99 %"), (0.99999, "99.999 %"))
_MOST_DOTS = 24


@dataclass(frozen=True)
class Line:
    """A named series of points, x ascending.

    Attributes:
        name: In the legend.
        points: (x, y); a y that is None breaks the line.
        second: A further line of the same series, drawn thin: (x, y) likewise.
        ranges: Interval of each point; None draws the point alone.
        series: Decides dash, marker and colour; None is its place among the lines.
    """

    name: str
    points: Sequence[tuple[float, float | None]]
    second: Sequence[tuple[float, float | None]] = ()
    ranges: Sequence[tuple[float, float] | None] = ()
    series: int | None = None


@dataclass(frozen=True)
class Mark:
    """Something that happened: a vertical line, or a band from *at* until *until*."""

    at: float
    label: str
    until: float | None = None


@dataclass(frozen=True)
class Bar:
    """A named bar, made of the parts (CSS class, label, size) from left to right."""

    name: str
    parts: Sequence[tuple[str, str, int]]


@dataclass(frozen=True)
class Whisker:
    """A named figure with its interval; None draws the figure alone."""

    name: str
    value: float
    ci95: tuple[float, float] | None
    series: int


def curve(
    lines: Sequence[Line],
    name: str,
    *,
    title: str,
    x: Axis,
    y: Axis,
    marks: Sequence[Mark] = (),
    dots: bool = True,
) -> str:
    """Return lines over an axis: a sweep, or figures over time.

    Args:
        lines: A series each.
        name: Unique in the page, for the ids.
        title: What a reader who does not see it is told first.
        x: The axis across.
        y: The axis up.
        marks: What happened, or a knee, at places of the axis across.
        dots: Whether points have markers; of many close together, some have.
    """
    numbered = _numbered(lines)
    body, top = legend([(series, line.name) for series, line in numbered], dots=dots)
    floor, right = top + HEIGHT - BOTTOM - 34, WIDTH - RIGHT
    xs = [at for line in lines for at, _ in (*line.points, *line.second)]
    xs += [bound for mark in marks for bound in (mark.at, mark.until) if bound is not None]
    across, below = x.scale(xs, LEFT + 4, right - 4)
    up, beside = y.scale(_heights(lines), floor - 4, top + 4)
    parts = [body, *_bands(marks, across, top, floor)]
    parts.append(frame(top, floor, below, beside, (x.label, y.label)))
    parts.extend(_strokes(marks, across, top, floor))
    for index, line in numbered:
        parts.append(_drawn(line.second, across, up, index, "thin"))
        for (at, _), bounds in zip(line.points, line.ranges, strict=False):
            if bounds is not None:
                ends = f"M{across(at):.1f} {up(bounds[0]):.1f}V{up(bounds[1]):.1f}"
                parts.append(f'<path class="range s{index % SERIES}" d="{ends}"/>')
        parts.append(_drawn(line.points, across, up, index, "line"))
        spots = [(across(at), up(value)) for at, value in line.points if value is not None]
        if dots and spots:
            # So many that dashes between them are still seen.
            parts.append(markers(index, spots[:: math.ceil(len(spots) / _MOST_DOTS)]))
    text = "; ".join([_course(line, y) for line in lines] + [_happened(mark, x) for mark in marks])
    return svg(name, floor + BOTTOM, title, text, parts)


def latency_by_share(lines: Sequence[Line], name: str) -> str:
    """Return latency (log axis) over the share of requests that it was enough for.

    Args:
        lines: Points (share in (0, 1], milliseconds); an arm each.
        name: Unique in the page, for the ids.
    """
    points = [(share, value) for line in lines for share, value in line.points if value is not None]
    most = max((_nines(share) for share, _ in points if share < 1), default=1.0)
    reach = max(1.0, most) + 0.25
    low, high = span(value for _, value in points)
    numbered = _numbered(lines)
    body, top = legend([(series, line.name) for series, line in numbered], dots=False)
    floor = top + HEIGHT - BOTTOM - 34
    across = linear(0, reach, LEFT, WIDTH - RIGHT)
    up = log_scale(low, high, floor, top)
    below = [
        (across(_nines(share)), text)
        for share, text in (*_NINES, *_MORE_NINES)
        if _nines(share) <= reach
    ]
    # Where there are many nines, their names would touch.
    below = [
        (x, text if index % 2 or len(below) < 6 else "") for index, (x, text) in enumerate(below)
    ]
    labels = ("share of requests", "latency (ms)")
    parts = [body, frame(top, floor, below, log_marks(low, high, up), labels)]
    for index, line in numbered:
        spots = [
            (across(min(_nines(share), reach)), up(value))
            for share, value in line.points
            if value is not None
        ]
        parts.append(f'<path class="line s{index % SERIES}" d="{steps(spots)}"/>')
    text = "; ".join(f"{line.name}: {_shares(line)}" for line in lines)
    return svg(name, floor + BOTTOM, "Latency by share of requests", text, parts)


def outcomes(bars: Sequence[Bar], name: str) -> str:
    """Return one stacked bar for each arm: how its requests were answered, as shares."""
    row = 46
    kinds = {(kind, label): None for bar in bars for kind, label, size in bar.parts if size}
    body, top = keys(list(kinds))
    parts = [body]
    for index, bar in enumerate(bars):
        y = top + index * row
        total = sum(size for *_, size in bar.parts) or 1
        parts.append(f'<text x="0" y="{y + 12:.0f}" class="strong">{escape(bar.name)}</text>')
        left = 0.0
        for kind, _, size in bar.parts:
            width = WIDTH * size / total
            if size:
                parts.append(
                    f'<rect class="{kind} part" x="{left:.2f}" y="{y + 18:.0f}" '
                    f'width="{width:.2f}" height="20"/>'
                )
            label = f"{size:,}"
            if width > 9 * len(label):
                parts.append(
                    f'<text class="on-{kind}" x="{left + width / 2:.1f}" y="{y + 32:.0f}" '
                    f'text-anchor="middle">{label}</text>'
                )
            left += width
    text = "; ".join(
        f"{bar.name}: " + ", ".join(f"{size:,} {label}" for _, label, size in bar.parts if size)
        for bar in bars
    )
    return svg(name, top + row * len(bars) + 2, "How requests were answered", text, parts)


def intervals(whiskers: Sequence[Whisker], name: str) -> str:
    """Return how many times better each figure is (log axis), with its 95 % interval."""
    row, top, bottom, left = 26, 10, 42, 150
    height = top + row * len(whiskers) + bottom
    reach = [bound for one in whiskers for bound in (one.value, *(one.ci95 or ()))]
    low, high = span([*reach, 0.9, 1.1])
    across = log_scale(low, high, left, WIDTH - RIGHT - 6)
    floor = height - bottom
    parts = [
        f'<rect class="band" x="{across(0.95):.1f}" y="{top}" '
        f'width="{across(1.05) - across(0.95):.1f}" height="{floor - top}"/>'
    ]
    for x, text in apart(log_marks(low, high, across)):
        parts.append(f'<path class="grid" d="M{x:.1f} {top}V{floor}"/>')
        parts.append(f'<text x="{x:.1f}" y="{floor + 16}" text-anchor="middle">{text}</text>')
    parts.append(f'<path class="one" d="M{across(1):.1f} {top}V{floor}"/>')
    for index, one in enumerate(whiskers):
        y = top + row * (index + 0.5)
        shown = one.name if len(one.name) <= 22 else f"{one.name[:21]}…"
        parts.append(f'<text x="0" y="{y + 4:.1f}">{escape(shown)}</text>')
        if one.ci95:
            ends = f"M{across(one.ci95[0]):.1f} {y:.1f}H{across(one.ci95[1]):.1f}"
            parts.append(f'<path class="whisker" d="{ends}"/>')
        parts.append(marker(one.series, across(one.value), y))
    middle = (left + WIDTH - RIGHT) / 2
    parts.append(
        f'<text x="{middle:.0f}" y="{height - 8}" text-anchor="middle">'
        "times better than the baseline</text>"
    )
    text = "; ".join(
        f"{one.name}: {number(one.value)}"
        + (f", interval {number(one.ci95[0])} to {number(one.ci95[1])}" if one.ci95 else "")
        for one in whiskers
    )
    return svg(name, height, "Times better than the baseline, with 95 % intervals", text, parts)


def _numbered(lines: Sequence[Line]) -> list[tuple[int, Line]]:
    return [(n if line.series is None else line.series, line) for n, line in enumerate(lines)]


def _heights(lines: Sequence[Line]) -> list[float]:
    found = [v for line in lines for _, v in (*line.points, *line.second) if v is not None]
    return found + [b for line in lines for one in line.ranges if one is not None for b in one]


def _drawn(
    points: Sequence[tuple[float, float | None]], across: Scale, up: Scale, series: int, kind: str
) -> str:
    """Return the line through *points*, in pieces where a point is missing."""
    pieces: list[list[tuple[float, float]]] = [[]]
    for at, value in points:
        if value is None:
            pieces.append([])
        else:
            pieces[-1].append((across(at), up(value)))
    drawn = "".join(path(piece) for piece in pieces)
    return f'<path class="{kind} s{series % SERIES}" d="{drawn}"/>' if drawn else ""


def _bands(marks: Sequence[Mark], across: Scale, top: float, floor: float) -> Iterable[str]:
    for mark in marks:
        if mark.until is not None:
            x, width = across(mark.at), across(mark.until) - across(mark.at)
            yield (
                f'<rect class="band" x="{x:.1f}" y="{top:.0f}" width="{max(width, 1.5):.1f}" '
                f'height="{floor - top:.0f}"/>'
            )


def _strokes(marks: Sequence[Mark], across: Scale, top: float, floor: float) -> Iterable[str]:
    for index, mark in enumerate(marks):
        x = across(mark.at)
        if mark.until is None or across(mark.until) - x < 4:
            yield f'<path class="mark" d="M{x:.1f} {top:.0f}V{floor:.0f}"/>'
        # On the side that has room, one below the other so that names do not meet.
        end = x > WIDTH * 0.6
        at, anchor = (x - 4, "end") if end else (x + 4, "start")
        y = top + 12 + 14 * (index % 4)
        yield (
            f'<text class="said" x="{at:.1f}" y="{y:.0f}" text-anchor="{anchor}">'
            f"{escape(mark.label)}</text>"
        )


def _course(line: Line, y: Axis) -> str:
    values = [value for _, value in line.points if value is not None]
    if not values:
        return f"{line.name}: nothing"
    low, high = y.word(min(values)), y.word(max(values))
    last = y.word(values[-1])
    return f"{line.name}: from {low} to {high}, {last} at the end"


def _happened(mark: Mark, x: Axis) -> str:
    until = "" if mark.until is None else f" to {x.word(mark.until)}"
    return f"{mark.label} at {x.word(mark.at)}{until}"


def _shares(line: Line) -> str:
    known = [(share, value) for share, value in line.points if value is not None]
    if not known:
        return "no right answer"
    found = []
    for share, text in _NINES[:3]:
        value = next((value for at, value in known if at >= share), known[-1][1])
        found.append(f"{text} within {number(value)} ms")
    return ", ".join(found)


def _nines(share: float) -> float:
    """Return 0 for 0, 1 for 90 %, 2 for 99 %: equal room for every nine."""
    return math.inf if share >= 1 else -math.log10(1 - share)
