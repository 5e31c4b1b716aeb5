"""The benchmark of key operations end to end, on few keys."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from benchmarks.keyspace.__main__ import plan_of
from benchmarks.keyspace.processes import KILLED, Processes
from benchmarks.keyspace.rows import ROWS
from benchmarks.keyspace.run import run
from valkeyctl.endpoint import Endpoint

_REPOSITORY = Path(__file__).parents[2]


def processes(folder: Path) -> Processes:
    """Return what starts commands, with no server to ask."""
    return Processes("redis://127.0.0.1:1/0", 1, frozenset(), folder)


def test_a_process_is_timed_to_its_end(tmp_path: Path) -> None:
    """Its output, its words and its status are kept."""
    outcome = processes(tmp_path).run(["sh", "-c", "echo out; echo words >&2; exit 3"])

    assert (outcome.status, outcome.out.read_text(), outcome.words) == (3, "out\n", "words")
    assert outcome.seconds > 0
    assert outcome.rss_bytes > 0


def test_a_pipeline_is_killed_as_a_whole(tmp_path: Path) -> None:
    """Nothing that it started lives longer."""
    outcome = processes(tmp_path).run(
        ["sh", "-c", "sleep 600 & echo $!; sleep 600"], ends_after=0.2
    )

    assert outcome.status == KILLED
    assert outcome.seconds < 60
    child = int(outcome.out.read_text())
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == "zombie"


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    """A row can tell a command that is not there from one that fails."""
    started = processes(tmp_path)

    assert started.lacks("ls") == ""
    assert started.lacks("ls", "--no-such-option") == "no --no-such-option at `keys ls` yet"
    assert started.lacks("no-such-verb") == "no command `keys no-such-verb` yet"


@pytest.mark.slow
def test_every_row_can_be_run(tmp_path: Path) -> None:
    """No command of ours that a row needs is missing, and all counts are right."""
    words = ["--keys", "2000", "--rounds", "1", "--no-pin", "--server", "embedded"]

    results = run(plan_of([*words, "--out", str(tmp_path)]), ROWS)

    (rows,) = results.sections.values()
    notes = [note for sections in rows.values() for section in sections for note in section.notes]
    assert list(rows) == list(ROWS)
    assert [note for note in notes if "FAILED" in note or " yet" in note] == []
    if shutil.which("valkey-cli"):
        kept = json.loads((tmp_path / "keyspace.json").read_text())
        figures = [
            figure
            for name, sections in kept.items()
            # So few keys are deleted before anybody could be killed.
            if name != "circumstances" and not name.endswith("resume")
            for section in sections
            for figure in section["figures"]
        ]
        assert [figure["name"] for figure in figures if not figure["values"]] == []
    assert "| keys flush --impact max |" in (tmp_path / "keyspace.md").read_text()


def test_sigterm_leaves_nothing_running() -> None:
    """The server and what is timed on it end with the run that started them."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "benchmarks.keyspace", "--keys", "1000"),
            *("--server", "embedded", "--rounds", "1000", "--only", "warm"),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        cwd=_REPOSITORY,
    )
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if "writing" in line:
                break
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGTERM)
        _, words = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()

    assert children
    assert process.returncode == 130
    assert words.endswith("ended early\n")
    assert [child for child in children if child.is_running()] == []


def test_the_client_beside_asks_on_time(endpoint: Endpoint) -> None:
    """Each request is due a period after the one before it, and is never sent early."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.keyspace.getter", str(endpoint.port), "key", "2000"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=_REPOSITORY,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        out, _ = process.communicate(timeout=30)

    asked = json.loads(out)
    assert len(asked) >= 64
    assert all(due <= sent < answered for due, sent, answered in asked)
    assert asked[1][0] - asked[0][0] == pytest.approx(1 / 2000)
