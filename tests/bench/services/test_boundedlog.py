"""Logs of children: what comes first and last, and never a full disk."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

import pytest

from valkeyctl.bench.services import boundedlog
from valkeyctl.bench.services.boundedlog import BoundedLog
from valkeyctl.bench.services.children import Child
from valkeyctl.errors import StartError

FOR_EVER = (
    "import os\n"
    "line = b'x' * 98\n"
    "number = 0\n"
    "while True:\n"
    "    os.write(1, b'%8d ' % number + line + b'\\n')\n"
    "    number += 1\n"
)


def _most(monkeypatch: pytest.MonkeyPatch, head: int, tail: int) -> int:
    """Make the bounds smaller; return the most that a file may hold."""
    monkeypatch.setattr(boundedlog, "HEAD", head)
    monkeypatch.setattr(boundedlog, "TAIL", tail)
    return head + 2 * tail + 100


def test_a_child_that_prints_for_ever_has_a_small_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its beginning and its end are there, and how much is not."""
    most = _most(monkeypatch, 10_000, 40_000)
    monkeypatch.setattr(boundedlog, "_LOOK", 0.005)
    log = tmp_path / "log"
    child = Child([sys.executable, "-c", FOR_EVER], log=log, environment=os.environ)
    written = 0
    deadline = time.monotonic() + 30
    while written < 100_000 and time.monotonic() < deadline:
        time.sleep(0.01)  # a foreign process tells nobody how much it has written
        # Its last line may not be whole yet.
        written = int((child.last_lines() or ("0",))[-2:][0].split()[0])

    child.end()

    text = log.read_text()
    assert written >= 100_000
    assert len(text) <= most
    assert text.startswith("       0 x")
    assert " bytes are left out here ...]\n" in text
    assert int(text.splitlines()[-2].split()[0]) >= written


def test_what_is_left_out_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Head, tail and what is missing are the whole, however often it was cut."""
    _most(monkeypatch, 1000, 2000)
    monkeypatch.setattr(boundedlog, "_LOOK", 60.0)
    kept = BoundedLog(tmp_path / "log")
    for number in range(2000):
        os.write(kept.theirs, b"%04d %s\n" % (number, b"y" * 14))
        if number % 100 == 99:
            kept.cut()

    kept.end()
    kept.end()

    head, _, rest = (tmp_path / "log").read_text().partition("\n[... ")
    missing, _, tail = rest.partition(" bytes are left out here ...]\n")
    assert head == "".join(f"{number:04d} {'y' * 14}\n" for number in range(50))
    assert len(head) + int(missing) + len(tail) == 2000 * 20
    assert tail.startswith(f"{2000 - len(tail) // 20:04d} ")
    assert tail.endswith(f"1999 {'y' * 14}\n")


def test_a_line_without_an_end_is_cut_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no beginning of a line to look for."""
    most = _most(monkeypatch, 1000, 2000)
    kept = BoundedLog(tmp_path / "log")
    for _ in range(100):
        os.write(kept.theirs, b"z" * 1000)

    kept.end()

    assert 3000 < (tmp_path / "log").stat().st_size <= most


def test_short_output_is_kept_as_it_is(tmp_path: Path) -> None:
    """To the last byte."""
    child = Child(
        [sys.executable, "-c", "print('a'); print('b', end='')"],
        log=tmp_path / "log",
        environment=os.environ,
    )
    child.wait(20)

    assert child.last_lines() == ("a", "b")
    child.end()
    assert (tmp_path / "log").read_bytes() == b"a\nb"


def test_a_log_that_cannot_be_made_is_an_error_and_leaves_nothing_open(tmp_path: Path) -> None:
    """Neither files nor a thread."""

    def held() -> tuple[int, int]:
        return len([*Path("/dev/fd").iterdir()]), threading.active_count()

    before = held()

    with pytest.raises(StartError, match="cannot start"):
        Child([sys.executable], log=tmp_path / "none" / "log", environment=os.environ)
    with pytest.raises(StartError, match="cannot start no-such-program"):
        Child(["no-such-program"], log=tmp_path / "log", environment=os.environ)

    assert held() == before
