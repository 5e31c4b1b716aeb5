"""Progress for people: a bar at a terminal, sparse lines elsewhere, silence with --quiet."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import typer

from valkeyctl.cli.options import options
from valkeyctl.cli.output import say, stderr_console
from valkeyctl.units import format_duration

_LINE_EVERY = 5.0  # seconds between two lines where there is no terminal


class Report(Protocol):
    """Tells how far a job is."""

    def __call__(self, share: float, text: str = "") -> None:
        """Show that *share* (0..1) is done; *text* says what of."""


@contextmanager
def progress(ctx: typer.Context, title: str) -> Iterator[Report]:
    """Show the progress of one job on standard error, with its rate and time left."""
    if options(ctx).quiet:
        yield lambda share, text="": None  # noqa: ARG005 - the protocol names both
        return
    if sys.stderr.isatty():
        with _bar(title) as report:
            yield report
        return
    yield _lines(ctx, title)


def _lines(ctx: typer.Context, title: str) -> Report:
    began = last = time.monotonic()

    def report(share: float, text: str = "") -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < _LINE_EVERY:
            return
        last = now
        left = (now - began) / share * (1 - share) if share > 0 else 0
        eta = f", about {format_duration(left)} left" if share > 0 else ""
        say(ctx, f"{title}: {share:.0%}{eta}{f'  {text}' if text else ''}")

    return report


@contextmanager
def _bar(title: str) -> Iterator[Report]:
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with Progress(*columns, console=stderr_console(), transient=True) as bars:
        task = bars.add_task(title, total=1.0, note="")

        def report(share: float, text: str = "") -> None:
            bars.update(task, completed=min(share, 1.0), note=text)

        yield report
