"""What every plot is made of: scales, marks, markers, legends, and words for it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 440, 280
LEFT, RIGHT, BOTTOM = 60, 12, 44
SERIES = 6
_LETTER, _LEGEND_LINE = 7.0, 20
# With a gap beside it, and in the larger letters of a narrow screen.
_DIGIT = 10.0
_ROUND = {"1": 0, "2": 1, "5": 1}
_MARKERS: tuple[Callable[[float, float], str], ...] = (
    lambda x, y: f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.2"/>',
    lambda x, y: f'<rect x="{x - 3:.1f}" y="{y - 3:.1f}" width="6" height="6"/>',
    lambda x, y: f'<path d="M{x:.1f} {y - 4:.1f}l3.8 7h-7.6z"/>',
    lambda x, y: f'<path d="M{x:.1f} {y - 4.2:.1f}l4.2 4.2l-4.2 4.2l-4.2 -4.2z"/>',
    lambda x, y: f'<path d="M{x:.1f} {y + 4:.1f}l3.8 -7h-7.6z"/>',
    lambda x, y: f'<path d="M{x - 4:.1f} {y - 1.4:.1f}h8v2.8h-8z"/>',
)
Scale = Callable[[float], float]
Ticks = Sequence[tuple[float, str]]


@dataclass(frozen=True)
class Axis:
    """How one axis is drawn.

    Attributes:
        label: What it measures, with the unit.
        log: Equal room for equal multiples; else for equal differences.
        low: Where it begins; None follows from the points.
        high: Where it ends; None follows from the points.
        percent: Whether its numbers, 0 to 1, are shown as shares.
        marks: Values that have a mark, and what stands there, ascending; those without room
            have none. Empty chooses round numbers.
    """

    label: str
    log: bool = False
    low: float | None = None
    high: float | None = None
    percent: bool = False
    marks: Sequence[tuple[float, str]] = ()

    def scale(self, values: Iterable[float], start: float, end: float) -> tuple[Scale, Ticks]:
        """Return the map from values to places between *start* and *end*, and its marks."""
        if self.log:
            low, high = span(value for value in values if math.isfinite(value))
            place = log_scale(low, high, start, end)
            return place, _apart(self.marks, place) or log_marks(low, high, place)
        found = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
        low = min(found) if self.low is None else self.low
        high = max(found) if self.high is None else self.high
        if high <= low:
            high = low + 1
        place = linear(low, high, start, end)
        even = [(place(value), self.word(value)) for value in even_marks(low, high)]
        return place, _apart(self.marks, place) or even

    def word(self, value: float) -> str:
        """Return *value* as this axis shows it."""
        if named := dict(self.marks).get(value):
            return named
        return number(value) if not self.percent else f"{value * 100:.3g} %"


def _apart(marks: Sequence[tuple[float, str]], place: Scale) -> list[tuple[float, str]]:
    """Return the places of those *marks* whose texts do not touch."""
    found: list[tuple[float, str]] = []
    for value, text in marks:
        at = place(value)
        if not found or at - found[-1][0] > _LETTER * (len(text) + len(found[-1][1])) / 2 + 6:
            found.append((at, text))
    return found


def marker(series: int, x: float, y: float) -> str:
    """Return the marker of a series at a place: its shape tells it without its colour."""
    number = series % SERIES
    return f'<g class="f{number}">{_MARKERS[number](x, y)}</g>'


def markers(series: int, spots: Iterable[tuple[float, float]]) -> str:
    """Return the markers of a series."""
    number = series % SERIES
    return f'<g class="f{number}">{"".join(_MARKERS[number](x, y) for x, y in spots)}</g>'


def svg(name: str, height: float, title: str, text: str, body: Iterable[str]) -> str:
    """Return a whole plot with a title and a description; *name* makes their ids."""
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" '
        f'aria-labelledby="{name}-title {name}-text">'
        f'<title id="{name}-title">{escape(title)}</title>'
        f'<desc id="{name}-text">{escape(text)}</desc>{"".join(body)}</svg>'
    )


def frame(top: float, bottom: float, across: Ticks, up: Ticks, labels: tuple[str, str]) -> str:
    """Return grid, axes, numbers and labels of a plot between *top* and *bottom*."""
    right, parts = WIDTH - RIGHT, []
    for y, text in up:
        parts.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{right}"/>')
        parts.append(f'<text x="{LEFT - 5}" y="{y + 4:.1f}" text-anchor="end">{text}</text>')
    for x, text in across:
        parts.append(f'<path class="grid" d="M{x:.1f} {top:.0f}V{bottom:.0f}"/>')
        # The outermost number must not leave the plot.
        at = min(x, WIDTH - 3.5 * len(text))
        parts.append(
            f'<text x="{at:.1f}" y="{bottom + 16:.0f}" text-anchor="middle">{escape(text)}</text>'
        )
    parts.append(f'<path class="axis" d="M{LEFT} {top:.0f}V{bottom:.0f}H{right}"/>')
    parts.append(
        f'<text x="{(LEFT + right) / 2:.0f}" y="{bottom + 36:.0f}" text-anchor="middle">'
        f"{escape(labels[0])}</text>"
        f'<text transform="translate(12 {(top + bottom) / 2:.0f}) rotate(-90)" '
        f'text-anchor="middle">{escape(labels[1])}</text>'
    )
    return "".join(parts)


def legend(names: Sequence[tuple[int, str]], *, dots: bool) -> tuple[str, float]:
    """Return dash, marker and name of each series in lines, and the room that they take."""
    parts, x, y = [], 4.0, 14.0
    for index, name in names:
        width = 32 + _LETTER * len(name) + 14
        if x > 4 and x + width > WIDTH:
            x, y = 4.0, y + _LEGEND_LINE
        parts.append(f'<path class="line s{index % SERIES}" d="M{x:.0f} {y:.0f}h24"/>')
        if dots:
            parts.append(marker(index, x + 12, y))
        parts.append(f'<text x="{x + 29:.0f}" y="{y + 4:.0f}">{escape(name)}</text>')
        x += width
    return "".join(parts), y + 16


def keys(kinds: Sequence[tuple[str, str]]) -> tuple[str, float]:
    """Return a filled box and the label of each kind in lines, and the room that they take."""
    parts, x, y = [], 0.0, 6.0
    for kind, label in kinds:
        width = 20 + _LETTER * len(label) + 14
        if x and x + width > WIDTH:
            x, y = 0.0, y + _LEGEND_LINE
        parts.append(f'<rect class="{kind}" x="{x:.0f}" y="{y:.0f}" width="14" height="14"/>')
        parts.append(f'<text x="{x + 19:.0f}" y="{y + 11:.0f}">{escape(label)}</text>')
        x += width
    return "".join(parts), y + 24


def path(spots: Sequence[tuple[float, float]]) -> str:
    """Return straight lines from spot to spot."""
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in spots) if spots else ""


def steps(spots: Sequence[tuple[float, float]]) -> str:
    """Return lines from spot to spot that go across first, as a distribution does."""
    if not spots:
        return ""
    begin = f"M{spots[0][0]:.1f} {spots[0][1]:.1f}"
    return begin + "".join(f"H{x:.1f}V{y:.1f}" for x, y in spots[1:])


def linear(low: float, high: float, start: float, end: float) -> Scale:
    """Return the map of low..high to start..end; what lies outside is put on the edge."""
    return lambda value: start + (min(max(value, low), high) - low) / (high - low) * (end - start)


def log_scale(low: float, high: float, start: float, end: float) -> Scale:
    """Return the same for logarithms; 0 and less are put on the edge."""
    inner = linear(math.log10(low), math.log10(high), start, end)
    return lambda value: inner(math.log10(min(max(value, low), high)))


def span(values: Iterable[float]) -> tuple[float, float]:
    """Return bounds for a log axis: all positive *values* with a little room around them."""
    positive = [value for value in values if value > 0 and math.isfinite(value)]
    if not positive:
        return 0.1, 10.0
    low, high = min(positive), max(positive)
    room = max(1.1, (high / low) ** 0.05)
    return low / room, high * room


def log_marks(low: float, high: float, place: Scale) -> Ticks:
    """Return 1-2-5 marks within the axis, thinned to whole decades where there are many."""
    decades = math.log10(high / low)
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    step = max(1, math.ceil(decades / 7))
    for digits in ([1],) if decades > 2.2 else ([1, 2, 5], list(range(1, 10))):
        powers = range(first, last + 1, step)
        values = [digit * 10.0**power for power in powers for digit in digits]
        inside = [value for value in values if low <= value <= high]
        if len(inside) > 2:
            break
    if len(inside) < 2:
        inside = [low, math.sqrt(low * high), high]
    return [(place(value), number(value)) for value in inside]


def apart(marks: Ticks) -> Ticks:
    """Return *marks* of an axis across without those that would run into a rounder one."""
    kept: list[tuple[float, str]] = []
    for place, text in sorted(marks, key=lambda mark: _ROUND.get(mark[1].strip("0.,"), 9)):
        if all(abs(place - other) > _DIGIT * (len(text) + len(said)) / 2 for other, said in kept):
            kept.append((place, text))
    return sorted(kept)


def even_marks(low: float, high: float) -> list[float]:
    """Return about five round values from *low* to *high*."""
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(digit * power for digit in (1, 2, 5, 10) if digit * power >= rough * 0.7)
    first = math.ceil(low / step - 1e-9)
    return [step * k for k in range(first, math.floor(high / step + 1e-9) + 1)]


def number(value: float) -> str:
    """Return *value* in three digits, without an exponent."""
    if value >= 1000:
        return f"{value:,.0f}"
    if 0 < value < 0.001:
        return f"{value:.6f}".rstrip("0").rstrip(".") or "0"
    return f"{value:.3g}"
