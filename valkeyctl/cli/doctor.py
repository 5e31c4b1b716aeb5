"""``valkeyctl doctor``: what this machine lacks."""

from __future__ import annotations

import os
from textwrap import fill
from typing import TYPE_CHECKING

import typer

from valkeyctl.cli import target
from valkeyctl.cli.boundary import Command, new_app
from valkeyctl.cli.options import options
from valkeyctl.cli.output import show
from valkeyctl.units import several

if TYPE_CHECKING:
    from valkeyctl.cli.console import Console
    from valkeyctl.ops.doctor import Diagnosis

app = new_app()
_MARKS = {"ok": "ok  ", "warn": "WARN", "fail": "FAIL"}
_WIDTH = 80
_INDENT = " " * 7


def print_diagnosis(console: Console, found: Diagnosis) -> None:
    """Print one line per thing that is in order, and why and what to do about the others."""

    def put(text: str, later: str = _INDENT) -> None:
        wrapped = fill(
            text,
            min(max(console.width, 40), _WIDTH),
            subsequent_indent=later,
            break_on_hyphens=False,
            break_long_words=False,
        )
        console.print(wrapped, markup=False, soft_wrap=True)

    area = ""
    for finding in found.findings:
        if finding.area != area:
            area = finding.area
            console.print(area if finding is found.findings[0] else f"\n{area}", markup=False)
        mark = _MARKS[finding.verdict]
        if finding.verdict == "ok":
            put(f"  {mark} {finding.name}: {finding.value}")
            continue
        put(f"  {mark} {finding.name}: {finding.value} (expected {finding.expected})")
        for line in (finding.why, f"fix: {finding.fix}" if finding.fix else ""):
            if line:
                put(f"{_INDENT}{line}")
    counts = {
        verdict: sum(finding.verdict == verdict for finding in found.findings) for verdict in _MARKS
    }
    told = (
        f"{counts['ok']} in order",
        several(counts["warn"], "warning"),
        several(counts["fail"], "failure"),
    )
    console.print(f"\n{', '.join(told)}", markup=False)


@app.command(cls=Command)
def doctor(ctx: typer.Context) -> None:
    """Say what this machine lacks for a server one can trust (status 1 at a failure).

    Looks and changes nothing: kernel settings, Podman and its known traps, servers,
    memory, disk, files and clock; with -p also whether that profile finds its ports,
    image and room.
    """
    from functools import partial

    from valkeyctl.ops.doctor import ThisMachine, examine
    from valkeyctl.runtime.select import PODMAN_VARIABLE

    named = options(ctx).profile or os.environ.get("VALKEYCTL_PROFILE")
    found = examine(
        ThisMachine(),
        target.state(ctx),
        podman=os.environ.get(PODMAN_VARIABLE) or "podman",
        profile=target.deployment(ctx) if named else None,
    )
    names = [finding.name for finding in found.findings if finding.verdict != "ok"]
    show(ctx, found, human=partial(print_diagnosis, found=found), status=found.verdict, names=names)
    raise typer.Exit(1 if found.verdict == "fail" else 0)
