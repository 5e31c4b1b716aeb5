"""Plots as SVG text: pure functions, no library, nothing loaded from anywhere.

Every plot has a title and a description for those who do not see it. Series differ in
dash and marker as well as in colour; colours come from the page's style, so that they
follow dark mode and print.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape

WIDTH = 520
_HEIGHT = 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 14, 34, 44
_NINES = ((0.5, "50 %"), (0.9, "90 %"), (0.99, "99 %"), (0.999, "99.9 %"))
_MORE_NINES = ((0.9999, "99.99 %"), (0.99999, "99.999 %"))
_MARKERS: tuple[Callable[[float, float], str], ...] = (
    lambda x, y: f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>',
    lambda x, y: f'<rect x="{x - 3.2:.1f}" y="{y - 3.2:.1f}" width="6.4" height="6.4"/>',
    lambda x, y: f'<path d="M{x:.1f} {y - 4.2:.1f}l4 7.4h-8z"/>',
    lambda x, y: f'<path d="M{x:.1f} {y - 4.6:.1f}l4.6 4.6l-4.6 4.6l-4.6 -4.6z"/>',
)
SERIES = 4


@dataclass(frozen=True)
class Line:
    """A named series of points, x ascending."""

    name: str
    points: Sequence[tuple[float, float]]


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


def latency_by_share(lines: Sequence[Line], name: str) -> str:
    """Return latency (log axis) over the share of requests that it was enough for.

    Args:
        lines: Points (share in (0, 1], milliseconds); an arm each.
        name: Unique in the page, for the ids.
    """
    most = max(
        (_nines(share) for line in lines for share, _ in line.points if share < 1), default=1
    )
    reach = max(1.0, most) + 0.25
    low, high = _span(value for line in lines for _, value in line.points)
    across = _scale(0, reach, _LEFT, WIDTH - _RIGHT)
    up = _log_scale(low, high, _HEIGHT - _BOTTOM, _TOP)
    marks = [
        (across(_nines(share)), text)
        for share, text in (*_NINES, *_MORE_NINES)
        if _nines(share) <= reach
    ]
    body = [_frame(marks, _log_marks(low, high, up), "share of requests", "latency (ms)")]
    for index, line in enumerate(lines):
        spots = [(across(min(_nines(share), reach)), up(value)) for share, value in line.points]
        body.append(f'<path class="line s{index % SERIES}" d="{_steps(spots)}"/>')
    body.append(_legend([line.name for line in lines]))
    text = "; ".join(f"{line.name}: {_describe(line)}" for line in lines)
    return _svg(name, _HEIGHT, "Latency by share of requests", text, body)


def medians_by_round(lines: Sequence[Line], name: str) -> str:
    """Return each arm's median latency (log axis) over the rounds, as dots joined by lines."""
    xs = [x for line in lines for x, _ in line.points]
    low, high = _span(value for line in lines for _, value in line.points)
    first, last = min(xs, default=1), max(xs, default=1)
    across = _scale(first - 0.5, last + 0.5, _LEFT, WIDTH - _RIGHT)
    up = _log_scale(low, high, _HEIGHT - _BOTTOM, _TOP)
    step = max(1, math.ceil((last - first + 1) / 12))
    marks = [(across(x), str(x)) for x in range(int(first), int(last) + 1, step)]
    body = [_frame(marks, _log_marks(low, high, up), "round", "median latency (ms)")]
    for index, line in enumerate(lines):
        spots = [(across(x), up(value)) for x, value in line.points]
        path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in spots) if spots else ""
        dots = "".join(_MARKERS[index % SERIES](x, y) for x, y in spots) if len(spots) <= 60 else ""
        body.append(f'<path class="line s{index % SERIES}" d="{path}"/>')
        body.append(f'<g class="dot f{index % SERIES}">{dots}</g>')
    body.append(_legend([line.name for line in lines], markers=True))
    text = "; ".join(
        f"{line.name}: from {_number(min(v for _, v in line.points))} to "
        f"{_number(max(v for _, v in line.points))} ms"
        for line in lines
        if line.points
    )
    return _svg(name, _HEIGHT, "Median latency of each round", text, body)


def outcomes(bars: Sequence[Bar], name: str) -> str:
    """Return one stacked bar for each arm: how its requests were answered, as shares."""
    row = 46
    height = _TOP + row * len(bars) + 6
    body = [_keys([(kind, label) for kind, label in _kinds(bars)])]
    for index, bar in enumerate(bars):
        top = _TOP + index * row
        total = sum(size for *_, size in bar.parts) or 1
        body.append(f'<text x="0" y="{top + 12}" class="strong">{escape(bar.name)}</text>')
        left = 0.0
        for kind, _, size in bar.parts:
            width = WIDTH * size / total
            body.append(
                f'<rect class="{kind}" x="{left:.2f}" y="{top + 18}" '
                f'width="{width:.2f}" height="20"/>'
            )
            label = f"{size:,}"
            if width > 9 * len(label):
                body.append(
                    f'<text class="on-{kind}" x="{left + width / 2:.1f}" y="{top + 33}" '
                    f'text-anchor="middle">{label}</text>'
                )
            left += width
    text = "; ".join(
        f"{bar.name}: " + ", ".join(f"{size:,} {label}" for _, label, size in bar.parts if size)
        for bar in bars
    )
    return _svg(name, height, "How requests were answered", text, body)


def intervals(whiskers: Sequence[Whisker], name: str) -> str:
    """Return how many times better each figure is (log axis), with its 95 % interval."""
    row, top, bottom, left = 26, 12, 40, 150
    height = top + row * len(whiskers) + bottom
    bounds = [bound for one in whiskers for bound in (one.value, *(one.ci95 or ()))]
    low, high = _span([*bounds, 0.9, 1.1])
    across = _log_scale(low, high, left, WIDTH - _RIGHT - 6)
    floor = height - bottom
    body = [
        f'<rect class="band" x="{across(0.95):.1f}" y="{top}" '
        f'width="{across(1.05) - across(0.95):.1f}" height="{floor - top}"/>'
    ]
    for x, text in _log_marks(low, high, across):
        body.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{floor}"/>')
        body.append(f'<text x="{x:.1f}" y="{floor + 16}" text-anchor="middle">{text}</text>')
    one_x = across(1)
    body.append(f'<line class="one" x1="{one_x:.1f}" x2="{one_x:.1f}" y1="{top}" y2="{floor}"/>')
    for index, one in enumerate(whiskers):
        y = top + row * (index + 0.5)
        body.append(f'<text x="0" y="{y + 4:.1f}">{escape(one.name)}</text>')
        if one.ci95:
            ends = f'x1="{across(one.ci95[0]):.1f}" x2="{across(one.ci95[1]):.1f}"'
            body.append(f'<line class="whisker" {ends} y1="{y:.1f}" y2="{y:.1f}"/>')
        body.append(
            f'<g class="dot f{one.series % SERIES}">'
            f"{_MARKERS[one.series % SERIES](across(one.value), y)}</g>"
        )
    middle = (left + WIDTH - _RIGHT) / 2
    body.append(
        f'<text x="{middle:.0f}" y="{height - 6}" text-anchor="middle">'
        "times better than the baseline (1 = no difference)</text>"
    )
    text = "; ".join(
        f"{one.name}: {_number(one.value)}"
        + (f", interval {_number(one.ci95[0])} to {_number(one.ci95[1])}" if one.ci95 else "")
        for one in whiskers
    )
    return _svg(name, height, "Times better than the baseline, with 95 % intervals", text, body)


def _svg(name: str, height: float, title: str, text: str, body: Iterable[str]) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" '
        f'aria-labelledby="{name}-title {name}-text">'
        f'<title id="{name}-title">{escape(title)}</title>'
        f'<desc id="{name}-text">{escape(text)}</desc>{"".join(body)}</svg>'
    )


def _frame(
    across: Sequence[tuple[float, str]], up: Sequence[tuple[float, str]], x_name: str, y_name: str
) -> str:
    floor, right = _HEIGHT - _BOTTOM, WIDTH - _RIGHT
    parts = []
    for y, text in up:
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{text}</text>')
    for x, text in across:
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{floor}"/>')
        parts.append(f'<text x="{x:.1f}" y="{floor + 16}" text-anchor="middle">{text}</text>')
    parts.append(f'<path class="axis" d="M{_LEFT} {_TOP}V{floor}H{right}"/>')
    parts.append(
        f'<text x="{(_LEFT + right) / 2:.0f}" y="{_HEIGHT - 8}" text-anchor="middle">'
        f"{x_name}</text>"
    )
    middle = (_TOP + floor) / 2
    parts.append(
        f'<text transform="translate(12 {middle:.0f}) rotate(-90)" text-anchor="middle">'
        f"{y_name}</text>"
    )
    return "".join(parts)


def _legend(names: Sequence[str], *, markers: bool = False) -> str:
    parts, x = [], float(_LEFT)
    for index, name in enumerate(names):
        series = index % SERIES
        parts.append(f'<path class="line s{series}" d="M{x:.0f} 14h26"/>')
        if markers:
            parts.append(f'<g class="dot f{series}">{_MARKERS[series](x + 13, 14)}</g>')
        parts.append(f'<text x="{x + 32:.0f}" y="18">{escape(name)}</text>')
        x += 32 + 7.5 * len(name) + 22
    return "".join(parts)


def _keys(kinds: Sequence[tuple[str, str]]) -> str:
    parts, x = [], 0.0
    for kind, label in kinds:
        parts.append(f'<rect class="{kind}" x="{x:.0f}" y="6" width="14" height="14"/>')
        parts.append(f'<text x="{x + 20:.0f}" y="18">{escape(label)}</text>')
        x += 20 + 7.5 * len(label) + 18
    return "".join(parts)


def _kinds(bars: Sequence[Bar]) -> list[tuple[str, str]]:
    seen = {(kind, label): None for bar in bars for kind, label, size in bar.parts if size}
    return list(seen)


def _describe(line: Line) -> str:
    if not line.points:
        return "no right answer"
    wanted = ((0.5, "50 %"), (0.9, "90 %"), (0.99, "99 %"))
    found = []
    for share, text in wanted:
        value = next((value for at, value in line.points if at >= share), line.points[-1][1])
        found.append(f"{text} within {_number(value)} ms")
    return ", ".join(found)


def _nines(share: float) -> float:
    """Return 0 for 0, 1 for 90 %, 2 for 99 %: equal room for every nine."""
    return math.inf if share >= 1 else -math.log10(1 - share)


def _steps(spots: Sequence[tuple[float, float]]) -> str:
    if not spots:
        return ""
    path = f"M{spots[0][0]:.1f} {spots[0][1]:.1f}"
    return path + "".join(f"H{x:.1f}V{y:.1f}" for x, y in spots[1:])


def _scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    return lambda value: start + (value - low) / (high - low) * (end - start)


def _log_scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    linear = _scale(math.log10(low), math.log10(high), start, end)
    return lambda value: linear(math.log10(min(max(value, low), high)))


def _span(values: Iterable[float]) -> tuple[float, float]:
    """Return bounds for a log axis: all positive *values* with a little room around them."""
    positive = [value for value in values if value > 0 and math.isfinite(value)]
    if not positive:
        return 0.1, 10.0
    low, high = min(positive), max(positive)
    room = max(1.1, (high / low) ** 0.05)
    return low / room, high * room


def _log_marks(low: float, high: float, place: Callable[[float], float]) -> list[tuple[float, str]]:
    """Return 1-2-5 marks within the axis, thinned to whole decades where there are many."""
    coarse = math.log10(high / low) > 2.2
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for digits in ([1],) if coarse else ([1, 2, 5], list(range(1, 10))):
        values = [digit * 10.0**power for power in range(first, last + 1) for digit in digits]
        inside = [value for value in values if low <= value <= high]
        if len(inside) > 2:
            break
    if len(inside) < 2:
        inside = [low, math.sqrt(low * high), high]
    return [(place(value), _number(value)) for value in inside]


def _number(value: float) -> str:
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"
