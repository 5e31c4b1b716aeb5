"""``valkeyctl health``: whether a server, or a deployment of several, can take traffic."""

from __future__ import annotations

import time
from dataclasses import replace
from textwrap import fill
from typing import TYPE_CHECKING, Annotated

import typer

from valkeyctl.cli import target
from valkeyctl.cli.boundary import Command, new_app
from valkeyctl.cli.grid import print_grid
from valkeyctl.cli.output import Status, show
from valkeyctl.errors import UnreachableError, UsageError
from valkeyctl.units import format_duration, format_size, parse_duration, parse_size, several

if TYPE_CHECKING:
    from valkeyctl.cli.console import Console
    from valkeyctl.ops.checks import HealthReport, Thresholds
    from valkeyctl.ops.topology.picture import NodeView, TopologyView

app = new_app()
_MARKS = {"ok": "ok  ", "warn": "WARN", "fail": "FAIL"}
_INDENT = " " * 5
_NAME = 12


def print_health(console: Console, report: HealthReport) -> None:
    """Print one line per check, the verdict first; of several servers also a line per node."""
    if report.view is not None:
        _print_topology(console, report, report.view)
        return
    for check in report.checks:
        limit = f"  (limit {check.threshold})" if check.threshold not in {None, ""} else ""
        line = f"{_MARKS[check.verdict]} {check.name:<{_NAME}} {check.value}{limit}"
        if check.detail and check.verdict != "ok":
            line += f"  {check.detail}"
        console.print(line, markup=False, soft_wrap=True)


def _print_topology(console: Console, report: HealthReport, view: TopologyView) -> None:
    def put(text: str, indent: str = _INDENT) -> None:
        # Addresses are what the reader copies from here: none is torn at its hyphens.
        width = max(console.width, 40)
        text = fill(
            text,
            width,
            initial_indent="",
            subsequent_indent=indent,
            break_on_hyphens=False,
            break_long_words=False,
        )
        console.print(text, markup=False, soft_wrap=True)

    name = max(len(check.name) for check in report.checks)
    for check in report.checks:
        put(
            f"{_MARKS[check.verdict]} {check.name:<{name}} {check.value}  (limit {check.threshold})"
        )
        if check.detail and check.verdict != "ok":
            whole = len(_INDENT) + len(check.detail) <= console.width
            for fault in (check.detail,) if whole else check.detail.split("; "):
                put(f"{_INDENT}{fault}", _INDENT + "  ")
    console.print("", markup=False, soft_wrap=True)
    print_grid(
        console,
        ("role", "node", "state"),
        [(node.role, node.address, _state(node)) for node in view.nodes],
    )


def _state(node: NodeView) -> str:
    """Return how a node is, in a few words."""
    if not node.reachable:
        return "does not answer"
    if node.loading:
        return "loads its data"
    if node.sentinel is not None:
        return f"names {node.sentinel.primary}"
    if node.role != "replica":
        return several(len(node.followers), "replica")
    lags = [format_size(node.lag_bytes)] if node.lag_bytes is not None else []
    lags += [format_duration(node.lag_s)] if node.lag_s is not None else []
    behind = f", {' / '.join(lags)} behind" if lags else ""
    return f"of {node.primary}, link {node.link}{behind}"


def _thresholds(lag: str | None, lag_bytes: str | None) -> Thresholds:
    """Return the thresholds, with the limits that the user set.

    Raises:
        UsageError: One of them is no duration or size.
    """
    from valkeyctl.ops.checks import STANDARD

    found = STANDARD
    try:
        if lag is not None:
            found = replace(found, lag_fail_s=parse_duration(lag))
        if lag_bytes is not None:
            found = replace(found, lag_fail_bytes=parse_size(lag_bytes))
    except ValueError as error:
        raise UsageError(str(error), hint="Write --max-lag 10s --max-lag-bytes 64Mi") from error
    return found


@app.command(cls=Command)
def health(
    ctx: typer.Context,
    deadline: Annotated[
        float, typer.Option("--deadline", min=0.05, max=3600, help="Seconds to wait for an answer.")
    ] = 2.0,
    max_lag: Annotated[
        str | None,
        typer.Option("--max-lag", metavar="TIME", help="Fail when a replica is silent for longer."),
    ] = None,
    max_lag_bytes: Annotated[
        str | None,
        typer.Option("--max-lag-bytes", metavar="SIZE", help="Fail when a replica is more behind."),
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Again and again, until Ctrl-C.")] = False,
    every: Annotated[
        float,
        typer.Option(
            "--every", min=0.1, max=86400, help="Seconds between two looks, with --watch."
        ),
    ] = 2.0,
) -> None:
    """Say whether a server can take traffic (status 1 when it cannot)."""
    from functools import partial

    from valkeyctl.ops.health import probe
    from valkeyctl.ops.ownfiles import own_files
    from valkeyctl.ops.trouble import explained

    thresholds = _thresholds(max_lag, max_lag_bytes)
    endpoint = target.endpoint(ctx)
    # Whose state must not be evicted: this application's, where one is known.
    app_name = target.app_filter(ctx) or "valkeyctl"
    ours = () if target.given_url(ctx) else own_files(target.profile(ctx).name, target.state(ctx))
    while True:
        try:
            report = probe(
                endpoint, deadline=deadline, app=app_name, thresholds=thresholds, ours=ours
            )
        except UnreachableError as error:
            if target.given_url(ctx):
                raise
            raise explained(error, target.profile(ctx).name, target.state(ctx)) from error
        human = partial(print_health, report=report)
        names = [check.name for check in report.checks if check.verdict != "ok"]
        show(ctx, _data(report), human=human, status=_status(report), names=names, one_line=watch)
        if not watch:
            raise typer.Exit(0 if report.healthy else 1)
        time.sleep(every)


def _status(report: HealthReport) -> Status:
    if not report.healthy:
        return "fail"
    return "warn" if any(check.verdict == "warn" for check in report.checks) else "ok"


def _data(report: HealthReport) -> dict[str, object]:
    """Return what the envelope carries; of one server nothing of nodes."""
    found: dict[str, object] = {
        "address": report.address,
        "healthy": report.healthy,
        "checks": report.checks,
        "elapsed_ms": report.elapsed_ms,
    }
    if report.view is not None:
        found["topology"] = report.view.topology
        found["nodes"] = report.view.nodes
    return found
