"""Child processes that never outlive us, and signals that never come between."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from tests.bench.conftest import gone
from valkeyctl.bench.children import Child, Interruptions
from valkeyctl.bench.environment import command_line

PARENT = (
    "import subprocess, sys, time; "
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); "
    "print(child.pid, flush=True); time.sleep(60)"
)
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    "print('ready', flush=True); time.sleep(60)"
)


def child(code: str, log: Path) -> Child:
    started = Child([sys.executable, "-c", code], log=log, environment=os.environ)
    deadline = time.monotonic() + 10
    while not started.last_lines() and time.monotonic() < deadline:
        time.sleep(0.01)  # the only way to learn that a foreign process has begun
    return started


def test_what_a_child_has_started_ends_with_it(tmp_path: Path) -> None:
    """The whole group goes, not only its leader."""
    parent = child(PARENT, tmp_path / "log")
    grandchild = int(parent.last_lines()[0])

    parent.end()

    assert parent.status is not None
    assert gone(grandchild)


def test_a_child_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    """After the grace, not before."""
    stubborn = child(STUBBORN, tmp_path / "log")

    stubborn.end(grace=0.1)
    stubborn.end()

    assert stubborn.status == -signal.SIGKILL


@pytest.mark.parametrize(
    ("number", "name"), [(signal.SIGINT, "Ctrl-C"), (signal.SIGTERM, "SIGTERM")]
)
def test_both_signals_interrupt_and_are_told_apart(number: signal.Signals, name: str) -> None:
    """SIGTERM would otherwise end us and leave the children; handlers are put back."""
    before = signal.getsignal(number)

    with Interruptions() as interruptions, pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), number)

    assert interruptions.reason == name
    assert signal.getsignal(number) is before


def test_a_shield_holds_a_signal_back_until_its_end() -> None:
    """A child that was just started is noted before the interruption takes effect."""
    noted = []

    with Interruptions() as interruptions, pytest.raises(KeyboardInterrupt):
        with interruptions.shield():
            os.kill(os.getpid(), signal.SIGINT)
            noted.append("child")
        noted.append("never")

    assert noted == ["child"]


def test_while_everything_is_being_ended_signals_wait() -> None:
    """A second Ctrl-C does not leave half of the children running."""
    with Interruptions() as interruptions:
        interruptions.ignore()
        os.kill(os.getpid(), signal.SIGINT)

    assert interruptions.reason == "Ctrl-C"


def test_the_command_line_is_shown_without_its_secrets() -> None:
    """URLs lose user and password, arms lose what their secret headers hold."""
    arguments = ["/x/valkeyctl", "bench", "--url", "redis://u:hunter2@h:1/0", "--arm"]
    arguments += ["a=header:Authorization:Bearer hunter2", "--arm=b=env:API_KEY=hunter2"]
    arguments += ["--arm", "c=header:X-Mode:fast"]

    shown = command_line(arguments)

    assert "hunter2" not in shown
    assert shown.startswith("valkeyctl bench --url 'redis://***@h:1/0'")
    assert "c=header:X-Mode:fast" in shown
