"""Plots: every value is where it belongs, and nothing depends on colour."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from valkeyctl.bench.page.axes import WIDTH, Axis, apart, even_marks, legend, log_marks, number
from valkeyctl.bench.page.plots import Line, Mark, curve, latency_by_share, outcomes

MEMORY = Axis("memory (MiB)", log=True)
RATIO = Axis("hit ratio", low=0.0, high=1.0, percent=True)


def drawn(*lines: Line, marks: tuple[Mark, ...] = ()) -> ElementTree.Element:
    text = curve(lines, "sweep", title="Hit ratio by memory", x=MEMORY, y=RATIO, marks=marks)
    return ElementTree.fromstring(text)  # noqa: S314 - our own


def test_a_curve_is_well_formed_and_described() -> None:
    """Title and description say what is seen."""
    line = Line("measured", [(16, 0.2), (64, 0.5), (256, 0.7)], ranges=[(0.1, 0.3), None, None])

    svg = drawn(line, marks=(Mark(64, "knee"),))

    assert svg.findtext("title") == "Hit ratio by memory"
    assert svg.findtext("desc") == "measured: from 20 % to 70 %, 70 % at the end; knee at 64"
    assert svg.attrib["aria-labelledby"].split() == ["sweep-title", "sweep-text"]
    assert any(text.text == "knee" for text in svg.iter("text"))
    assert len([one for one in svg.iter("path") if one.get("class", "").startswith("range")]) == 1


def test_series_differ_in_dash_and_marker() -> None:
    """In black and white they are still told apart."""
    svg = drawn(*(Line(f"arm {n}", [(1, 0.1 * n), (10, 0.2 * n)]) for n in range(1, 5)))

    classes = [one.get("class") for one in svg.iter("path")]
    shapes = {(one.tag, one.get("d", "")[-12:]) for group in svg.iter("g") for one in group}
    assert {f"line s{n}" for n in range(4)} <= set(classes)
    assert len(shapes) >= 4


def test_a_gap_breaks_the_line() -> None:
    """What was not measured is not drawn."""
    svg = drawn(Line("a", [(1, 0.1), (2, 0.2), (4, None), (8, 0.3), (9, 0.4)]))

    line = next(
        one for one in svg.iter("path") if one.get("class") == "line s0" and "L" in one.attrib["d"]
    )
    assert line.attrib["d"].count("M") == 2


def test_nothing_to_draw_is_no_crash() -> None:
    """An arm without a right answer has no line."""
    assert "a: nothing" in (drawn(Line("a", [])).findtext("desc") or "")
    assert "no right answer" in latency_by_share([Line("a", [])], "x")
    assert "<svg" in outcomes([], "x")


def test_names_from_outside_are_escaped() -> None:
    """In the legend, the description and the marks."""
    text = curve([Line("<b>", [(1, 1)])], "n", title="t", x=MEMORY, y=RATIO, marks=[Mark(1, "<i>")])

    assert "<b>" not in text
    assert "<i>" not in text


def test_a_legend_never_leaves_the_plot() -> None:
    """Long names go on the next line."""
    text, room = legend([(n, "a-name-of-thirty-characters-ab") for n in range(4)], dots=True)

    starts = [float(x) for x in re.findall(r'<text x="(\d+)"', text)]
    assert all(x + 7 * 30 <= WIDTH for x in starts)
    assert room > 60


@pytest.mark.parametrize(
    ("low", "high", "marks"),
    [(0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]), (0, 55, [0, 10, 20, 30, 40, 50]), (0, 2200, 5)],
)
def test_marks_are_round_numbers(low: float, high: float, marks: list[float] | int) -> None:
    """About five, and none outside of the axis."""
    found = even_marks(low, high)

    if isinstance(marks, int):
        assert len(found) == marks
    else:
        assert found == pytest.approx(marks)


def test_a_log_axis_has_marks_however_wide_or_narrow() -> None:
    """Ten decades, and two per cent."""
    for low, high in ((1e-3, 1e7), (1.0, 1.02), (0.3, 4)):
        marks = log_marks(low, high, lambda value: value)
        assert 2 <= len(marks) <= 12
        assert all(low <= place <= high for place, _ in marks)


def test_numbers_have_no_exponent() -> None:
    """Readers of reports need none."""
    assert [number(v) for v in (0, 0.00001, 0.5, 12.34, 1234567)] == [
        *("0", "0.00001", "0.5", "12.3", "1,234,567")
    ]


def test_marks_that_would_run_into_each_other_are_left_out() -> None:
    """The rounder one stays; 1, where nothing differs, above all."""
    marks = [(10.0, "0.8"), (25.0, "0.9"), (38.0, "1"), (120.0, "2"), (200.0, "3"), (215.0, "4")]

    assert apart(marks) == [(10.0, "0.8"), (38.0, "1"), (120.0, "2"), (200.0, "3"), (215.0, "4")]
