"""The report as a short text for a pull request: Markdown, and no HTML in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from valkeyctl.bench.figures.conclusion import METRIC_NAMES, figure
from valkeyctl.bench.page.words import count, interval_words, ratio_words
from valkeyctl.units import several

if TYPE_CHECKING:
    from valkeyctl.bench.figures.arms import ArmFigures
    from valkeyctl.bench.report import Report

_SIGNS = {"error": "**Error:** ", "warning": "**Warning:** "}
_HEADLINES = ("p50", "p99", "throughput")
_MOST_LINES, _MOST_SENTENCES, _MOST_ARMS = 58, 24, 12
# Of Markdown, in text from outside: arm names, error texts.
_SPECIAL = str.maketrans({sign: f"\\{sign}" for sign in "\\`*_[]<>|#~"})


def summary(report: Report) -> str:
    """Return what a run found, in under 60 lines."""
    plan = report.plan
    loop = "open loop" if plan.load_model == "open" else f"closed loop, {plan.who}"
    name = plan.scenario.name if plan.trace is None else f"{plan.scenario.name}, {plan.trace.name}"
    # Notes explain how to read the figures; the page has them.
    said = [one for one in report.conclusion if one.kind != "note"]
    lines = [
        f"## Benchmark: {_text(name)}",
        "",
        *((f"**{_text(report.headline)}**", "") if report.headline else ()),
        f"{loop}, {several(report.rounds, 'round')}, seed {plan.seed}, {report.samples:,} samples; "
        f"origin: {_text(str(report.facts.get('origin', '')))}",
        "",
        *(f"- {_SIGNS.get(one.kind, '')}{_text(one.text)}" for one in said[:_MOST_SENTENCES]),
    ]
    if len(said) > _MOST_SENTENCES:
        lines.append(f"- {len(said) - _MOST_SENTENCES} more sentences are in report.html.")
    lines += ["", *_table(_arms(report.arms[:_MOST_ARMS]))]
    if len(report.arms) > _MOST_ARMS:
        lines += ["", f"{len(report.arms) - _MOST_ARMS} more arms are in report.html."]
    compared = list(_comparisons(report))
    if len(compared) > 1:
        fits = len(lines) + len(compared) + 2 <= _MOST_LINES
        told = "How the arms compare, metric by metric, is in report.html."
        lines += ["", *(_table(compared) if fits else (told,))]
    return "\n".join(lines) + "\n"


def _arms(arms: Sequence[ArmFigures]) -> Iterator[tuple[str, ...]]:
    yield (
        *("arm", "requests", "errors", "hit ratio", "origin calls"),
        *("answers/s", "p50 ms", "p99 ms", "n"),
    )
    for arm in arms:
        spread = arm.latency_ms
        yield (
            _text(arm.name),
            count(arm.requests),
            count(arm.errors),
            ratio_words(arm.hit_ratio),
            count(arm.origin_calls),
            figure(arm.throughput_rps),
            figure(spread.p50) if spread else "-",
            figure(spread.p99) if spread else "-",
            count(spread.n) if spread else "0",
        )


def _comparisons(report: Report) -> Iterator[tuple[str, ...]]:
    yield ("arm", "against", "metric", "times better", "95 % interval", "verdict")
    for one in report.comparisons:
        if one.metric in _HEADLINES:
            yield (
                _text(one.candidate),
                _text(one.baseline),
                METRIC_NAMES[one.metric],
                figure(one.ratio),
                interval_words(one.ci95),
                one.verdict,
            )


def _table(rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    for index, row in enumerate(rows):
        yield f"| {' | '.join(row)} |"
        if index == 0:
            yield f"|{' --- |' * len(row)}"


def _text(text: str) -> str:
    """Return *text* as Markdown shows it, on one line."""
    return " ".join(text.split()).translate(_SPECIAL)
