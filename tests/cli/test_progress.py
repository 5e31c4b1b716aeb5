"""Progress is a bar at a terminal, sparse lines elsewhere, and never in the way."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import typer

from valkeyctl.cli.options import Options
from valkeyctl.cli.progress import progress

JOB = """
import sys, time
from types import SimpleNamespace
from valkeyctl.cli.progress import progress
with progress(SimpleNamespace(meta={}), "flushing") as report:
    print("result", flush=True)
    for step in range(1, 1000):
        time.sleep(0.01)
        report(0.2 + step / 2000, f"{step:,} removed", done=step)
"""


def context(*, quiet: bool = False) -> typer.Context:
    """Return a context in which the options were given."""
    return cast("typer.Context", SimpleNamespace(meta={"valkeyctl.options": Options(quiet=quiet)}))


class Clock:
    """A clock that is moved by hand."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_without_a_terminal_there_is_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Share, time left and rate; of a resumed job by what this run has made."""
    clock = Clock()

    with progress(context(), "flushing", clock) as report:
        for step in range(13):
            report(0.5 + step * 0.02, f"{step * 100:,} removed", done=step * 100)
            clock.now += 1

    assert capsys.readouterr().err.splitlines() == [
        "flushing: 60%, about 20 s left  500 removed, 100/s",
        "flushing: 70%, about 15 s left  1,000 removed, 100/s",
    ]


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """Results and errors only."""
    clock = Clock()

    with progress(context(quiet=True), "flushing", clock) as report:
        clock.now += 60
        report(0.5, "half")

    assert capsys.readouterr().err == ""


@pytest.fixture
def job(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A job of ten seconds whose standard error is a terminal of 80 columns."""
    ours, theirs = pty.openpty()
    environ = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"}
    process = subprocess.Popen(
        [sys.executable, "-c", JOB], stdout=subprocess.PIPE, stderr=theirs, env=environ, text=True
    )
    os.close(theirs)
    yield process, ours
    process.kill()
    process.communicate()
    os.close(ours)


def seen(terminal: int, needle: str) -> str:
    """Return what was drawn until *needle* was; it must come within ten seconds."""
    text, ends = "", time.monotonic() + 10
    while needle not in text and time.monotonic() < ends:
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                text += os.read(terminal, 65536).decode()
            except OSError:  # the other side is closed
                break
    return text


def test_a_bar_shows_rate_and_gives_the_cursor_back(
    job: tuple[subprocess.Popen[str], int],
) -> None:
    """Ctrl-C in the middle leaves the terminal as it was; results stay on standard output."""
    process, terminal = job

    drawn = seen(terminal, "/s")
    process.send_signal(signal.SIGINT)
    rest = seen(terminal, "\x1b[?25h")
    out, _ = process.communicate(timeout=10)

    assert "flushing" in drawn
    assert "removed" in drawn
    assert rest.rfind("\x1b[?25h") > rest.rfind("\x1b[?25l")
    assert out == "result\n"
