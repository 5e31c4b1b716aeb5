"""Progress for people: a bar at a terminal, sparse lines elsewhere, silence with --quiet."""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import typer

from valkeyctl.cli.options import options
from valkeyctl.cli.output import say
from valkeyctl.units import format_duration

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_LINE_EVERY = 5.0  # seconds between two lines where there is no terminal
_DRAW_EVERY = 0.1  # seconds between two looks of the bar
# A job that is done by then shows no bar: Rich's import alone takes 70 ms.
_PATIENCE = 0.4
_RATE_OVER = 5.0  # seconds that a rate is taken over
_WHOLE = 1_000_000  # parts of a bar

Clock = Callable[[], float]


class Report(Protocol):
    """Tells how far a job is."""

    def __call__(self, share: float | None, text: str = "", *, done: int | None = None) -> None:
        """Show that *share* (0..1) is done.

        Args:
            share: True part of the work; a resumed job begins above 0. None where nobody
                knows how much there is: then only the counts are shown.
            text: What of, such as ``1,000 removed``.
            done: How many of them since the job began; the rate is shown with it.
        """


@contextmanager
def progress(ctx: typer.Context, title: str, clock: Clock = time.monotonic) -> Iterator[Report]:
    """Show the progress of one job on standard error, with its rate and time left."""
    if options(ctx).quiet:
        yield lambda share, text="", *, done=None: None  # noqa: ARG005 - the protocol names them
        return
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield _Lines(title, lambda line: say(ctx, line), clock)
        return
    bar = _Bar(title, clock)
    try:
        yield bar
    finally:
        bar.stop()


class _Rate:
    """How many are done in a second, of late."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque()

    def note(self, text: str, done: int | None, now: float) -> str:
        """Return *text*, and the rate where *done* says how many there are."""
        if done is None:
            return text
        self._samples.append((now, done))
        while len(self._samples) > 2 and now - self._samples[0][0] > _RATE_OVER:
            self._samples.popleft()
        then, before = self._samples[0]
        if now <= then:
            return text
        rate = f"{(done - before) / (now - then):,.0f}/s"
        return f"{text}, {rate}" if text else rate


class _Lines:
    """A line now and then, for a log."""

    def __init__(self, title: str, write: Callable[[str], None], clock: Clock) -> None:
        self._title = title
        self._write = write
        self._clock = clock
        self._began = self._last = clock()
        self._from: float | None = None
        self._rate = _Rate()

    def __call__(self, share: float | None, text: str = "", *, done: int | None = None) -> None:
        now = self._clock()
        if self._from is None:
            self._rate.note(text, done, now)
            if share is not None:
                # What went on before anybody knew how much there is says nothing of the rest.
                self._from, self._began = share, now
        if now - self._last < _LINE_EVERY:
            return
        self._last = now
        if share is None or self._from is None:
            self._write(f"{self._title}: {self._rate.note(text, done, now)}")
            return
        made = share - self._from
        left = (now - self._began) / made * (1 - share) if made > 0 else None
        # Whole seconds: nobody knows the time left to a hundredth.
        eta = (
            f", about {format_duration(float(max(1, round(left))))} left"
            if left is not None
            else ""
        )
        note = self._rate.note(text, done, now)
        self._write(f"{self._title}: {share:.0%}{eta}{f'  {note}' if note else ''}")


class _Bar:
    """One line at a terminal that is drawn again and again, and gone when the job is done."""

    def __init__(self, title: str, clock: Clock) -> None:
        self._title = title
        self._clock = clock
        self._began = self._last = clock()
        self._bars: Progress | None = None
        self._task: TaskID | None = None
        self._sized = False
        self._rate = _Rate()

    def __call__(self, share: float | None, text: str = "", *, done: int | None = None) -> None:
        now = self._clock()
        if now - self._began < _PATIENCE or now - self._last < _DRAW_EVERY:
            return
        self._last = now
        note = self._rate.note(text, done, now)
        total, share = (None, 0.0) if share is None else (_WHOLE, min(share, 1.0))
        if self._bars is None or self._task is None or self._sized != (total is not None):
            self.stop()
            self._sized = total is not None
            self._bars = _bars(sized=self._sized)
            # Begins where the job is: a resumed one must not look as if it had just made half.
            self._task = self._bars.add_task(
                self._title, total=total, completed=round(share * _WHOLE), note=note
            )
            self._bars.start()
        self._bars.update(self._task, completed=share * _WHOLE, note=note)
        self._bars.refresh()

    def stop(self) -> None:
        """Clear the line, and give the cursor back."""
        if self._bars is not None:
            self._bars.stop()


def _bars(*, sized: bool) -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.table import Column

    whole = Column(no_wrap=True)
    parts = (
        TextColumn("{task.percentage:>3.0f}%", table_column=whole),
        TimeRemainingColumn(compact=True, table_column=whole),
    )
    return Progress(
        TextColumn("{task.description}", markup=False, table_column=whole),
        BarColumn(bar_width=20),
        *(parts if sized else ()),
        TextColumn(
            "{task.fields[note]}",
            markup=False,
            table_column=Column(no_wrap=True, overflow="ellipsis"),
        ),
        console=Console(stderr=True, highlight=False),
        transient=True,
        auto_refresh=False,
        # Results that are printed meanwhile go to standard output, not into the bar.
        redirect_stdout=False,
    )
