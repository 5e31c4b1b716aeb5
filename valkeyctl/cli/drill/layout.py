"""How a drill looks to a person: what it will do, a timeline, figures and a verdict, 80 wide."""

from __future__ import annotations

from textwrap import wrap
from typing import TYPE_CHECKING

from valkeyctl.units import format_duration, format_size, several

if TYPE_CHECKING:
    from collections.abc import Iterable

    from valkeyctl.cli.console import Console
    from valkeyctl.ops.drill import DrillPlan, DrillReport
    from valkeyctl.ops.drill.report import Losses
    from valkeyctl.ops.drill.tally import ErrorCount

_WIDTH = 79
_LABEL = 17
_FIGURE = 14
_VERDICTS = {"ok": "PASSED", "warn": "PASSED, with a warning", "fail": "FAILED"}


def print_plan(console: Console, plan: DrillPlan) -> None:
    """Print what a drill would do."""
    label = ", production" if plan.production else ""
    console.print(f"drill {plan.drill} of {plan.name} ({plan.topology}, {plan.runtime}{label})")
    confirm = (
        f"; each write is to be confirmed by {plan.confirm_replicas}"
        if plan.confirm_replicas
        else ""
    )
    rows = [
        ("hits", _whom(plan)),
        ("does", plan.does),
        ("undoes", plan.undoes),
        (
            "load",
            f"{plan.rate:g} writes and as many reads a second, each by a direct probe and by "
            f"ValkeyClient{confirm}",
        ),
        ("keys", f"{plan.keys}, removed afterwards; they would expire in 30 minutes"),
        ("ends", f"{format_duration(plan.timeout_s)} after the fault at the latest"),
    ]
    for name, text in rows:
        _print_row(console, f"  {name}", text, 10)


def print_report(console: Console, report: DrillReport) -> None:
    """Print what a drill has shown."""
    head = f"drill {report.drill} of {report.name} ({report.topology}, {report.runtime})"
    console.print(head)
    console.print(f"  hit: {_whom(report)}")
    console.print("")
    for event in report.timeline:
        _print_row(console, f"  {event.at_s:+7.2f} s", event.text, 14)
    console.print("")
    for name, left, right in _figures(report):
        console.print(f"{name:<{_LABEL}}{left:>{_FIGURE}}{right:>{_FIGURE}}".rstrip())
    console.print("")
    for name, text in _facts(report):
        _print_row(console, name, text, _LABEL)
    _print_errors(console, report)
    console.print("")
    console.print(_VERDICTS[report.status])
    for text in report.verdict:
        _print_row(console, "  ", text, 2)
    for text in report.troubles[1:]:
        _print_row(console, "  ", f"also: {text}", 2)
    if not report.recovered:
        console.print("next: valkeyctl status; deploy starts anew what does not run, or hangs")


def _whom(found: DrillPlan | DrillReport) -> str:
    if found.role == "deployment":
        return f"every server of {found.name}"
    return f"{found.node}, the {found.role} at {found.address}"


def _figures(report: DrillReport) -> list[tuple[str, str, str]]:
    direct, client = report.direct, report.client

    def times(name: str, left: float, right: float) -> tuple[str, str, str]:
        return name, format_duration(left), format_duration(right)

    def counts(name: str, left: int, right: int) -> tuple[str, str, str]:
        return name, f"{left:,}", f"{right:,}"

    return [
        ("", "DIRECT", "VALKEYCLIENT"),
        times("write gap", direct.write_gap_s, client.write_gap_s),
        times("read gap", direct.read_gap_s, client.read_gap_s),
        counts("writes accepted", direct.writes, client.writes),
        counts("writes failed", direct.write_errors, client.write_errors),
        counts("reads answered", direct.reads, client.reads),
        counts("reads failed", direct.read_errors, client.read_errors),
    ]


def _facts(report: DrillReport) -> Iterable[tuple[str, str]]:
    healthy = report.time_to_healthy_s
    took = "not in time" if healthy is None else f"{format_duration(healthy)} after the fault"
    yield "healthy again", f"{took}; the fault lasted {format_duration(report.held_s)}"
    if report.primary_after:
        before = f"; before it was {report.node}" if report.role == "primary" else ""
        yield "primary now", f"{report.primary_after}{before}"
    yield "acknowledged", _acknowledged(report.losses)
    yield "lost", _lost(report.losses)
    if report.stale_reads:
        yield "stale reads", f"{report.stale_reads:,} did not see a write acknowledged before them"
    if report.filled_bytes is not None:
        yield "filled", format_size(report.filled_bytes)
    if report.evicted_keys:
        yield "evicted", f"{several(report.evicted_keys, 'key')}, of whomever"


def _acknowledged(losses: Losses) -> str:
    if losses.confirmed is None:
        return f"{losses.acknowledged:,} writes"
    return f"{losses.acknowledged:,} writes, {losses.confirmed:,} of them confirmed by replicas"


def _lost(losses: Losses) -> str:
    if losses.lost is None:
        return "unknown: they could not be read back"
    if losses.lost_confirmed is None:
        return f"{losses.lost:,}"
    return f"{losses.lost:,}, {losses.lost_confirmed:,} of them confirmed"


def _print_errors(console: Console, report: DrillReport) -> None:
    rows = [(who, error) for who, errors in _by_probe(report) for error in errors]
    if not rows:
        return
    console.print("")
    for who, error in rows:
        _print_row(console, f"{who:<8}{error.count:>7,}", f"{error.kind}: {error.example}", _LABEL)


def _by_probe(report: DrillReport) -> Iterable[tuple[str, Iterable[ErrorCount]]]:
    yield "direct", report.direct.errors
    yield "client", report.client.errors


def _print_row(console: Console, name: str, text: str, indent: int) -> None:
    """Print *text* beside *name*, further lines below its beginning."""
    first, *more = wrap(text, _WIDTH - indent) or [""]
    console.print(f"{name:<{indent}}{first}")
    for line in more:
        console.print(f"{'':<{indent}}{line}")
