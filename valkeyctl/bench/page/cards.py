"""The verdicts at the top of the page: a few words and a number each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from valkeyctl.bench.figures.conclusion import METRIC_NAMES, figure
from valkeyctl.bench.figures.savings import money_text
from valkeyctl.bench.page.words import interval_words, ratio_words, share_words
from valkeyctl.bench.statistics.intervals import LEAST_ROUNDS

if TYPE_CHECKING:
    from valkeyctl.bench.figures.arms import ArmFigures
    from valkeyctl.bench.figures.comparison import Comparison
    from valkeyctl.bench.report import Report

Tone = Literal["good", "bad", "even", "open"]

# For who has never met a percentile.
_ABOUT = {
    "p50": "Median latency (half of the answers)",
    "p99": "p99 latency (99 of 100 answers)",
    "throughput": "Throughput",
}
_MOST = 12


@dataclass(frozen=True)
class Card:
    """One verdict.

    Attributes:
        about: What it is of.
        says: The verdict, in a few words.
        rests_on: Interval or numbers that it rests on.
        tone: ``good``, ``bad``, ``even`` (no difference), or ``open`` (nothing can be
            said); never the only thing that tells it.
    """

    about: str
    says: str
    rests_on: str
    tone: Tone


def cards(report: Report) -> tuple[Card, ...]:
    """Return the most important verdicts; all of them are in the tables below too."""
    return (*_compared(report), *_saved(report))[:_MOST]


def _compared(report: Report) -> Iterator[Card]:
    arms = {arm.name: arm for arm in report.plan.arms}
    several = len(report.arms) > 2
    for one in report.comparisons:
        if one.metric in _ABOUT and not arms[one.candidate].same_as(arms[one.baseline]):
            name = METRIC_NAMES[one.metric]
            about = f"{one.candidate}: {name}" if several else _ABOUT[one.metric]
            yield _verdict(report, one, about)


def _verdict(report: Report, one: Comparison, about: str) -> Card:
    interval = f"95 % interval {interval_words(one.ci95)}"
    if not report.clean:
        why = "the run is refused" if report.refused else "there were errors"
        return Card(about, "Nothing is claimed", why, "open")
    if one.verdict == "same":
        return Card(about, "The same within 5 %", interval, "even")
    if one.verdict == "inconclusive":
        few = report.rounds < LEAST_ROUNDS or one.ci95 is None
        return Card(
            about,
            "Nothing can be said" if few else "No difference could be shown",
            "too few samples for an interval" if few else interval,
            "open",
        )
    quantity = "times as many answers a second" if one.metric == "throughput" else "times as fast"
    if one.verdict == "better":
        return Card(about, f"{figure(one.ratio)} {quantity} as {one.baseline}", interval, "good")
    slower = "times as fast" if one.metric != "throughput" else quantity
    return Card(about, f"Worse: {figure(one.ratio)} {slower} as {one.baseline}", interval, "bad")


def _saved(report: Report) -> Iterator[Card]:
    for arm in report.arms:
        if arm.bypasses:
            continue
        name = f"{arm.name}: " if len(report.arms) > 2 else ""
        if arm.hit_ratio is not None:
            yield Card(
                f"{name}Hit ratio",
                ratio_words(arm.hit_ratio),
                f"{arm.from_cache:,} of {arm.requests - arm.errors:,} answers",
                "even",
            )
        if report.clean:
            yield from _worth(arm, name)


def _worth(arm: ArmFigures, name: str) -> Iterator[Card]:
    saved = arm.savings
    if saved is None:
        return
    if saved.origin_calls is not None and saved.origin_share is not None:
        share = share_words(saved.origin_share)
        tone: Tone = "good" if saved.origin_calls else "even"
        yield Card(f"{name}Origin calls avoided", f"{saved.origin_calls:,}", share, tone)
    if saved.money is not None and saved.prices is not None:
        unit = saved.prices.currency
        yield Card(
            f"{name}Saved on tokens",
            money_text(saved.money, unit),
            f"{share_words(saved.money_share)}; at {saved.prices.input:g} and "
            f"{saved.prices.output:g} {unit} a million",
            "good" if saved.money else "even",
        )
