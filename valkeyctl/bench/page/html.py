"""The report as one HTML file that needs nothing else: no network, no script."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from valkeyctl.bench.figures.conclusion import METRIC_NAMES, figure
from valkeyctl.bench.figures.savings import money_text
from valkeyctl.bench.figures.sentence import short_name
from valkeyctl.bench.page import plots
from valkeyctl.bench.page.axes import Axis
from valkeyctl.bench.page.cards import cards
from valkeyctl.bench.page.surroundings import method, servers, surroundings
from valkeyctl.bench.page.words import (
    count,
    interval_words,
    ratio_words,
    share_words,
    time_words,
)
from valkeyctl.units import several

if TYPE_CHECKING:
    from valkeyctl.bench.figures.arms import ArmFigures
    from valkeyctl.bench.report import Report

_HEADLINES = ("p99", "p50", "throughput")
_MOST_WHISKERS, _MOST_DRAWN = 32, 12
# Times the usual step between moments: arms that take short turns stay whole lines.
_PAUSE = 5.0
_SHARES = (0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 0.9999, 1.0)


def render(report: Report) -> str:
    """Return the page; every value from outside is escaped."""
    environment = Environment(
        loader=PackageLoader("valkeyctl.bench"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        figure=figure,
        count=count,
        interval=interval_words,
        money=money_text,
        ratio=ratio_words,
        share=share_words,
        several=several,
        time=time_words,
    )
    page = environment.get_template("report.html.j2")
    return page.render(
        report=report,
        plan=report.plan,
        arms=report.arms,
        drawn=report.arms[:_MOST_DRAWN],
        metrics=METRIC_NAMES,
        cards=cards(report),
        bypassed=any(arm.bypasses for arm in report.arms),
        several=len({one.candidate for one in report.comparisons}) > 1,
        streams=any(arm.ttft_ms for arm in report.arms),
        tokens=any(arm.tokens.input or arm.tokens.output for arm in report.arms),
        stale=any(arm.stale for arm in report.arms),
        kinds=len(report.plan.scenario.requests) > 1,
        saving=[arm for arm in report.arms if arm.savings is not None and not arm.bypasses],
        cold=any(arm.cold for arm in report.arms),
        shares=[(share, f"{share * 100:.6g} %") for share in _SHARES],
        plots=_plots(report),
        method=tuple(method(report)),
        surroundings=tuple(surroundings(report.facts)),
        servers=tuple(servers(report.facts)),
    )


def _plots(report: Report) -> dict[str, Markup]:
    arms = report.arms[:_MOST_DRAWN]
    latencies = [plots.Line(arm.name, arm.curve) for arm in arms]
    drawn = {
        "latency": plots.latency_by_share(latencies, "latency"),
        "outcomes": plots.outcomes([_bar(arm) for arm in arms], "outcomes"),
        **_over_time(report),
    }
    if report.comparisons:
        drawn["intervals"] = plots.intervals(_whiskers(report), "intervals")
    # Our own SVG, in which every name is escaped already.
    return {name: Markup(svg) for name, svg in drawn.items()}  # noqa: S704


def _over_time(report: Report) -> dict[str, str]:
    marks = tuple(_marks(report))
    seconds = Axis("seconds since the first round began", low=0.0)

    def drawn(name: str, title: str, y: Axis, lines: list[plots.Line]) -> str:
        return plots.curve(lines, name, title=title, x=seconds, y=y, marks=marks)

    def lines(value: str, second: str = "") -> list[plots.Line]:
        return [
            plots.Line(
                arm.name,
                _course(arm, value),
                _course(arm, second) if second else (),
                series=number,
            )
            for number, arm in enumerate(report.arms[:_MOST_DRAWN])
            # An arm past the cache has no hits to show.
            if value != "hit_ratio" or (arm.hit_ratio is not None and not arm.bypasses)
        ]

    found = {
        "latency_time": drawn(
            "latency-time",
            "Latency over time",
            Axis("latency (ms)", log=True),
            lines("p50_ms", "p99_ms"),
        ),
        "throughput_time": drawn(
            "throughput-time",
            "Right answers a second over time",
            Axis("answers a second", low=0.0),
            lines("throughput_rps"),
        ),
    }
    if told := lines("hit_ratio"):
        axis = Axis("hit ratio", low=0.0, high=1.0, percent=True)
        found["hits_time"] = drawn("hits-time", "Hit ratio over time", axis, told)
    if any(one.errors for arm in report.arms[:_MOST_DRAWN] for one in arm.moments):
        found["errors_time"] = drawn(
            "errors-time", "Errors over time", Axis("errors", low=0.0), lines("errors")
        )
    return found


def _course(arm: ArmFigures, value: str) -> list[tuple[float, float | None]]:
    """Return *value* over time, with a hole where the arm had not its turn for long.

    A line through that time would show what nobody has measured.
    """
    points: list[tuple[float, float | None]] = []
    pause = _longest_step(arm)
    for one in arm.moments:
        if points and one.at - points[-1][0] > pause:
            points.append(((points[-1][0] + one.at) / 2, None))
        points.append((one.at, getattr(one, value)))
    return points


def _longest_step(arm: ArmFigures) -> float:
    """Return how far apart two moments may lie that are joined by a line."""
    steps = sorted(later.at - one.at for one, later in pairwise(arm.moments))
    return _PAUSE * steps[len(steps) // 2] if steps else math.inf


def _marks(report: Report) -> Iterator[plots.Mark]:
    """Yield where the cold start ends, and the faults that were made on purpose."""
    ends = [arm.cold.ends for arm in report.arms if arm.cold is not None]
    if ends:
        yield plots.Mark(0.0, "cold start", until=max(ends) - report.began)
    disturbances = report.facts.get("disturbances")
    for one in disturbances if isinstance(disturbances, list) else []:
        if isinstance(one, dict) and isinstance(one.get("at_s"), (int, float)):
            undone = one.get("undone_s")
            yield plots.Mark(
                float(str(one["at_s"])) - report.began,
                f"{one.get('kind', 'fault')}: {one.get('arm', '')}",
                until=float(str(undone)) - report.began if undone is not None else None,
            )


def _whiskers(report: Report) -> list[plots.Whisker]:
    names = [arm.name for arm in report.arms]
    several = len(report.arms) > 2
    compared = report.comparisons
    for fewer in (_HEADLINES, _HEADLINES[:1]):
        # All of them are in the table; a plot of a hundred rows shows nothing.
        if len(compared) > _MOST_WHISKERS:
            compared = tuple(one for one in compared if one.metric in fewer)
    return [
        plots.Whisker(
            f"{one.candidate}: {short_name(one.metric)}" if several else METRIC_NAMES[one.metric],
            one.ratio,
            one.ci95,
            names.index(one.candidate),
        )
        for one in compared[:_MOST_WHISKERS]
    ]


def _bar(arm: ArmFigures) -> plots.Bar:
    return plots.Bar(
        arm.name,
        (
            ("hit", "hits", arm.hits or 0),
            ("collapsed", "collapsed", arm.collapsed or 0),
            ("stale", "stale", arm.stale or 0),
            ("miss", "misses", arm.misses or 0),
            ("bypass", "past the cache", arm.bypassed or 0),
            ("unknown", "unknown", arm.requests - arm.errors - arm.outcomes.known),
            ("fault", "errors", arm.errors),
        ),
    )
