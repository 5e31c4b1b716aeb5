"""How a load run looks to a person: one row a figure, one column an arm, 80 wide."""

from __future__ import annotations

from textwrap import fill
from typing import TYPE_CHECKING

from valkeyctl.bench.conclusion import figure
from valkeyctl.bench.report import count, interval_words

if TYPE_CHECKING:
    from valkeyctl.bench.arms import ArmFigures
    from valkeyctl.bench.compare import RunComparison
    from valkeyctl.bench.report import Report
    from valkeyctl.cli.console import Console

_NAME, _ARM = 14, 14
_TIMES = (
    ("p50", "p50 ms"),
    ("p90", "p90 ms"),
    ("p95", "p95 ms"),
    ("p99", "p99 ms"),
    ("p999", "p99.9 ms"),
    ("max", "max ms"),
)


def print_report(console: Console, found: Report) -> None:
    """Print the conclusion, the figures of each arm, and how they compare."""

    def line(text: str) -> None:
        console.print(text.rstrip(), markup=False, soft_wrap=True)

    plan = found.plan
    loop = "open loop" if plan.load_model == "open" else f"closed loop, {plan.users} users"
    origin = found.facts["origin"]
    head = f"{plan.scenario.name}: {loop}, {found.rounds} rounds, origin: {origin}"
    line(fill(head, console.width))
    for sentence in found.conclusion:
        line(fill(sentence.text, console.width, initial_indent="  ", subsequent_indent="  "))
    line("")
    paired = found.comparisons if len(found.arms) == 2 else ()
    by_metric = {one.metric: one for one in paired}
    head = "".join(f"{arm.name[: _ARM - 1]:>{_ARM}}" for arm in found.arms)
    title = "  times better (95 % interval)" if paired else ""
    line(f"{'':<{_NAME}}{head}{title}")
    for label, cells in _counts(found.arms):
        line(f"{label:<{_NAME}}{''.join(f'{cell:>{_ARM}}' for cell in cells)}")
    for metric, label in (("throughput", "answers/s"), *_TIMES):
        cells = [_cell(arm, metric) for arm in found.arms]
        text = f"{label:<{_NAME}}{''.join(f'{cell:>{_ARM}}' for cell in cells)}"
        if metric in by_metric:
            one = by_metric[metric]
            text += f"  {figure(one.ratio)}x ({interval_words(one.ci95)}) {one.verdict}"
        line(text)
    if not paired and found.comparisons:
        line("")
        for one in found.comparisons:
            line(
                f"{one.candidate} against {one.baseline}, {one.metric}: {figure(one.ratio)}x "
                f"({interval_words(one.ci95)}) {one.verdict}"
            )
    line("")
    line(f"report  {found.html_path}")


def print_comparison(console: Console, found: RunComparison) -> None:
    """Print how a second run stands to a first, and what no interval covers."""
    head, *rows = found.rows()
    for cells in (head, *rows):
        arm, metric, ratio, interval, verdict = cells
        text = f"{arm:<14}{metric:<18}{ratio:>14}  {interval:<18}{verdict}"
        console.print(text.rstrip(), markup=False, soft_wrap=True)
    for text in (*(f"differs: {line}" for line in found.differences), found.caveat):
        console.print(fill(text, console.width), markup=False, soft_wrap=True)


def _counts(arms: tuple[ArmFigures, ...]) -> list[tuple[str, list[str]]]:
    return [
        ("requests", [count(arm.requests) for arm in arms]),
        ("errors", [count(arm.errors) for arm in arms]),
        ("hits", [count(arm.hits) for arm in arms]),
        ("collapsed", [count(arm.collapsed) for arm in arms]),
        ("misses", [count(arm.misses) for arm in arms]),
        ("hit ratio", ["-" if arm.hit_ratio is None else f"{arm.hit_ratio:.2%}" for arm in arms]),
        ("origin calls", [count(arm.origin_calls) for arm in arms]),
    ]


def _cell(arm: ArmFigures, metric: str) -> str:
    if metric == "throughput":
        return figure(arm.throughput_rps)
    return "-" if arm.latency_ms is None else figure(getattr(arm.latency_ms, metric))
