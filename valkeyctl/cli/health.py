"""``valkeyctl health``: whether a server can take traffic."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from valkeyctl.cli import target
from valkeyctl.cli.boundary import Command, new_app
from valkeyctl.cli.output import show

if TYPE_CHECKING:
    from valkeyctl.cli.console import Console
    from valkeyctl.ops.health import HealthReport

app = new_app()
_MARKS = {"ok": "ok  ", "warn": "WARN", "fail": "FAIL"}


def print_health(console: Console, report: HealthReport) -> None:
    """Print one line per check, the verdict first."""
    for check in report.checks:
        limit = f"  (limit {check.threshold})" if check.threshold not in {None, ""} else ""
        line = f"{_MARKS[check.verdict]} {check.name:<12} {check.value}{limit}"
        if check.detail and check.verdict != "ok":
            line += f"  {check.detail}"
        console.print(line, markup=False, soft_wrap=True)


@app.command(cls=Command)
def health(
    ctx: typer.Context,
    deadline: Annotated[
        float, typer.Option("--deadline", min=0.05, max=3600, help="Seconds to wait for an answer.")
    ] = 2.0,
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

    endpoint = target.endpoint(ctx)
    # Whose state must not be evicted: this application's, where one is known.
    app_name = target.app_filter(ctx) or "valkeyctl"
    while True:
        report = probe(endpoint, deadline=deadline, app=app_name)
        worst = "warn" if any(check.verdict == "warn" for check in report.checks) else "ok"
        status = worst if report.healthy else "fail"
        human = partial(print_health, report=report)
        names = [check.name for check in report.checks if check.verdict != "ok"]
        data = {
            "address": report.address,
            "healthy": report.healthy,
            "checks": report.checks,
            "elapsed_ms": report.elapsed_ms,
        }
        show(ctx, data, human=human, status=status, names=names, one_line=watch)  # type: ignore[arg-type]  # all three words are statuses
        if not watch:
            raise typer.Exit(0 if report.healthy else 1)
        time.sleep(every)
