"""Child processes that never outlive us, and signals that never come between."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from tests.bench.conftest import gone
from valkeyctl.bench.environment import command_line
from valkeyctl.bench.services.children import Child, Interruptions, end_all
from valkeyctl.errors import StartError

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


def test_many_that_ignore_sigterm_have_one_grace_together(tmp_path: Path) -> None:
    """Not each its own: a hundred workers would take minutes to end."""
    many = [child(STUBBORN, tmp_path / f"log-{number}") for number in range(3)]
    begin = time.monotonic()

    end_all(many, grace=1.0)

    assert [one.status for one in many] == [-signal.SIGKILL] * 3
    assert 1.0 <= time.monotonic() - begin < 2.5


def test_one_that_has_ended_keeps_its_number_until_it_is_ended(tmp_path: Path) -> None:
    """Else `end` could kill a group of somebody else's that was given the number since."""
    ended = Child(
        [sys.executable, "-c", "raise SystemExit(7)"], log=tmp_path / "log", environment=os.environ
    )

    assert ended.wait(20) == 7
    assert psutil.Process(ended.process.pid).status() == psutil.STATUS_ZOMBIE
    ended.end()
    assert ended.status == 7


def test_without_waitid_an_ended_child_leaves_no_log_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There its status is asked away before it is ended."""
    monkeypatch.delattr(os, "waitid")
    log = tmp_path / "asked-away"
    ended = Child([sys.executable, "-c", ""], log=log, environment=os.environ)

    assert ended.wait(20) == 0
    ended.end()

    assert f"log-{log.stem}" not in {thread.name for thread in threading.enumerate()}


def test_a_paused_child_ends_in_its_grace(tmp_path: Path) -> None:
    """SIGTERM alone would reach it when nobody waits any more."""
    paused = child("import time; print('ready', flush=True); time.sleep(60)", tmp_path / "log")
    os.kill(paused.process.pid, signal.SIGSTOP)

    paused.end(grace=20)

    assert paused.status == -signal.SIGTERM


def test_a_program_that_is_not_there_is_an_error_of_ours(tmp_path: Path) -> None:
    """Not a traceback."""
    with pytest.raises(StartError, match="cannot start /no/such: no such file"):
        Child(["/no/such"], log=tmp_path / "log", environment={})


def test_a_second_signal_does_not_overtake_the_first() -> None:
    """Between the first and `ignore` it would leave everything running."""
    ended = []

    with Interruptions() as interruptions:
        try:
            os.kill(os.getpid(), signal.SIGINT)
        except KeyboardInterrupt:
            os.kill(os.getpid(), signal.SIGINT)
            ended.append("children")
        finally:
            interruptions.ignore()

    assert ended == ["children"]


@pytest.mark.parametrize(
    ("number", "name"),
    [(signal.SIGINT, "Ctrl-C"), (signal.SIGTERM, "SIGTERM"), (signal.SIGHUP, "SIGHUP")],
)
def test_signals_interrupt_and_are_told_apart(number: signal.Signals, name: str) -> None:
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
