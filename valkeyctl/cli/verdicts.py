"""How a load run looks to a person: one row a figure, one column an arm, 80 wide."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from textwrap import fill
from typing import TYPE_CHECKING

from valkeyctl.bench.figures.conclusion import figure
from valkeyctl.bench.figures.sentence import short_name
from valkeyctl.bench.page.words import count, interval_words, ratio_words, time_words
from valkeyctl.units import several

if TYPE_CHECKING:
    from valkeyctl.bench.figures.arms import ArmFigures
    from valkeyctl.bench.figures.comparison import Comparison
    from valkeyctl.bench.figures.spread import Spread
    from valkeyctl.bench.report import Report
    from valkeyctl.cli.console import Console

_NAME, _ARM = 14, 14
_ARMS_IN_A_ROW = 4
_SIGNS = {"error": "ERROR ", "warning": "warning: "}
_QUANTILES = (
    ("mean", "mean ms"),
    *(("p50", "p50 ms"), ("p90", "p90 ms"), ("p95", "p95 ms")),
    *(("p99", "p99 ms"), ("p999", "p99.9 ms"), ("max", "max ms")),
)


def print_report(console: Console, found: Report) -> None:
    """Print the headline, the conclusion, the figures of each arm, and how they compare."""

    def line(text: str = "") -> None:
        console.print(text.rstrip(), markup=False, soft_wrap=True)

    if found.headline:
        line(_filled(found.headline, console.width))
        line()
    plan = found.plan
    loop = f"closed loop, {plan.who}"
    if plan.load_model == "open":
        rate = "recorded arrivals" if plan.rate is None else f"{plan.rate:g} arrivals/s"
        loop = f"open loop, {rate}"
    origin = found.facts["origin"]
    head = f"{plan.scenario.name}: {loop}, {several(found.rounds, 'round')}, origin: {origin}"
    line(_filled(head, console.width))
    for sentence in found.conclusion:
        text = f"{_SIGNS.get(sentence.kind, '')}{sentence.text}"
        line(_filled(text, console.width, "  "))
    paired = {one.metric: one for one in found.comparisons} if len(found.arms) == 2 else {}
    for begin in range(0, len(found.arms), _ARMS_IN_A_ROW):
        line()
        for text in _table(found.arms[begin : begin + _ARMS_IN_A_ROW], paired):
            line(text)
    if not paired and found.comparisons:
        line()
        for text in _comparisons(found.comparisons):
            line(text)
    line()
    line(f"report  {found.html_path}")


def _filled(text: str, width: int, indent: str = "") -> str:
    """Return *text* in lines, the first one at *indent*; no number is parted from its %."""
    whole = text.replace(" %", "\xa0%")
    lines = fill(whole, width, initial_indent=indent, subsequent_indent=indent * 2)
    return lines.replace("\xa0", " ")


def _table(arms: Sequence[ArmFigures], paired: dict[str, Comparison]) -> Iterator[str]:
    head = "".join(f"{_short(arm.name, _ARM - 1):>{_ARM}}" for arm in arms)
    yield f"{'':<{_NAME}}{head}{'  times better (95 % interval)' if paired else ''}"
    for label, metric, cell in _rows(arms):
        text = f"{label:<{_NAME}}{''.join(f'{cell(arm):>{_ARM}}' for arm in arms)}"
        if one := paired.get(metric):
            text += f"  {figure(one.ratio)}x ({interval_words(one.ci95)}) {one.verdict}"
        yield text


def _rows(arms: Sequence[ArmFigures]) -> Iterator[tuple[str, str, Callable[[ArmFigures], str]]]:
    """Yield label, metric of the comparison, and what an arm has there."""
    yield "requests", "", lambda arm: count(arm.requests)
    yield "errors", "", lambda arm: count(arm.errors)
    yield "hits", "", lambda arm: count(arm.hits)
    yield "collapsed", "", lambda arm: count(arm.collapsed)
    if any(arm.stale for arm in arms):
        yield "stale", "", lambda arm: count(arm.stale)
    yield "misses", "", lambda arm: count(arm.misses)
    if any(arm.bypassed for arm in arms):
        yield "past the cache", "", lambda arm: count(arm.bypassed)
    yield "hit ratio", "", lambda arm: ratio_words(arm.hit_ratio)
    yield "origin calls", "", lambda arm: count(arm.origin_calls)
    yield "answers/s", "throughput", lambda arm: figure(arm.throughput_rps)
    for name, label in _QUANTILES:
        yield label, name, lambda arm, name=name: _time(arm.latency_ms, name)  # type: ignore[misc]
    if any(arm.ttft_ms for arm in arms):
        for name in ("p50", "p99"):
            yield f"ttft {name} ms", "", lambda arm, name=name: _time(arm.ttft_ms, name)  # type: ignore[misc]
    if any(arm.tokens.inter_token_ms for arm in arms):
        yield "token gap ms", "", lambda arm: _time(arm.tokens.inter_token_ms, "p50")
    if any(arm.tokens.output for arm in arms):
        yield "tokens/s", "", lambda arm: figure(arm.tokens.output_per_s)


def _comparisons(comparisons: Sequence[Comparison]) -> Iterator[str]:
    yield f"against {comparisons[0].baseline}"
    for one in comparisons:
        yield (
            f"{_short(one.candidate, 21):<22}{short_name(one.metric):<11}{figure(one.ratio):>9}x  "
            f"{interval_words(one.ci95):<20}{one.verdict}"
        )


def _time(spread: Spread | None, name: str) -> str:
    return time_words(None if spread is None else getattr(spread, name))


def _short(name: str, room: int) -> str:
    """Return *name* with its middle left out where it is too long: ends tell arms apart."""
    if len(name) <= room:
        return name
    return f"{name[: room // 2]}…{name[-(room - room // 2 - 1) :]}"
