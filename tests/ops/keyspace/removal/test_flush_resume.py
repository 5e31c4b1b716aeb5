"""A flush that was stopped goes on where it stopped, and its count adds up."""

from __future__ import annotations

import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.caching.conftest import MortalServer
from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import (
    FolderError,
    LockedError,
    NotFoundError,
    PartialError,
    RefusedError,
)
from valkeyctl.ops.keyspace.lanes import LaneName
from valkeyctl.ops.keyspace.pace import Pace
from valkeyctl.ops.keyspace.removal.flush import FlushProgress, FlushReport, flush
from valkeyctl.ops.keyspace.removal.resume import Progress, left_behind, open_journal
from valkeyctl.ops.keyspace.removal.selection import Selection

FAST = Pace(duty=1.0)
# Of its lanes each has one batch under way; so many keys at most are in one.
STEPS = Pace(largest=500)
SPACE = Selection("a", namespace="n")
KEYS = 20_000
LANES = (LaneName("h:1", "r1", 0, 2), LaneName("h:1", "r1", 1, 2))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the resume files are; not made yet."""
    return tmp_path / "state" / "resume"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MortalServer]:
    """A server of this test's own."""
    mortal = MortalServer(tmp_path)
    mortal.start()
    yield mortal
    mortal.kill()


@pytest.fixture
def limit_of_files() -> Iterator[None]:
    """No file of this process may grow, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def _fill(wire: Wire, count: int = KEYS) -> None:
    wire.pipeline(("SET", f"a:n:{number}", "v") for number in range(count))


def _stopped(endpoint: Endpoint, folder: Path, *, at: float = 0.3) -> PartialError:
    """Flush until a Ctrl-C at this share of the way; return how it ended."""
    with pytest.raises(PartialError, match="interrupted") as caught:
        flush(endpoint, SPACE, pace=STEPS, resume_folder=folder, progress=_ctrl_c(at))
    return caught.value


def _ctrl_c(at: float) -> Callable[[FlushProgress], None]:
    """Return what presses it once."""
    waiting = [at]

    def interrupt(progress: FlushProgress) -> None:
        if waiting and progress.visited > waiting[0]:
            waiting.clear()
            signal.raise_signal(signal.SIGINT)

    return interrupt


def _resumed(endpoint: Endpoint, folder: Path) -> FlushReport:
    return flush(endpoint, SPACE, pace=FAST, resume_folder=folder, resume=True)


@pytest.mark.parametrize("count", [KEYS, 60_000])
def test_after_ctrl_c_the_sum_is_exact(
    endpoint: Endpoint, wire: Wire, folder: Path, count: int
) -> None:
    """What was sent is waited for, so no key is counted twice and none is missed."""
    _fill(wire, count)

    error = _stopped(endpoint, folder)
    left = int(str(wire.call("DBSIZE")))
    report = _resumed(endpoint, folder)

    assert f"and {count - left:,} keys are deleted" in str(error)
    assert "lost" not in str(error)
    assert str(error.hint).endswith("valkeyctl keys flush n --app a --resume --yes")
    assert (report.deleted, report.uncounted, report.resumed) == (count, 0, True)
    assert wire.call("DBSIZE") == 0


def test_it_can_stop_again_and_again(endpoint: Endpoint, wire: Wire, folder: Path) -> None:
    """Each run adds to the count of those before."""
    _fill(wire)
    _stopped(endpoint, folder, at=0.2)

    with pytest.raises(PartialError):
        flush(endpoint, SPACE, pace=STEPS, resume_folder=folder, resume=True, progress=_ctrl_c(0.6))

    assert _resumed(endpoint, folder).deleted == KEYS


def test_what_is_uncounted_stays_so(endpoint: Endpoint, wire: Wire, folder: Path) -> None:
    """It is told by each run that stops, and at the end; and no run's speed is another's."""
    _fill(wire)
    _stopped(endpoint, folder, at=0.2)
    left = left_behind(folder, endpoint, SPACE)
    assert left is not None
    with open_journal(folder, endpoint, SPACE) as journal:
        journal.begin(left.lanes, left.layout, replace(left.progress, uncounted=7))

    with pytest.raises(PartialError, match="up to 7 more whose answers were lost"):
        flush(endpoint, SPACE, pace=STEPS, resume_folder=folder, resume=True, progress=_ctrl_c(0.6))
    rest = int(str(wire.call("DBSIZE")))
    report = _resumed(endpoint, folder)

    assert (report.deleted, report.uncounted) == (KEYS, 7)
    assert round(report.keys_per_s * report.seconds) == rest


def test_it_goes_on_and_not_back(endpoint: Endpoint, wire: Wire, folder: Path) -> None:
    """Keys written behind it are not looked at again, and readers find them valid."""
    _fill(wire)
    _stopped(endpoint, folder, at=0.5)
    wire.call("SET", "a:~version:n", "new")
    shares: list[float] = []

    flush(
        endpoint,
        SPACE,
        pace=STEPS,
        resume_folder=folder,
        resume=True,
        progress=lambda at: shares.append(at.visited),
    )

    assert shares[0] > 0.5
    assert wire.call("GET", "a:~version:n") == b"new"


def test_a_second_ctrl_c_does_not_wait(endpoint: Endpoint, wire: Wire, folder: Path) -> None:
    """It loses the count of what is under way on another lane, and says how much at most."""
    _fill(wire, 60_000)

    def interrupt(progress: FlushProgress) -> None:
        if progress.visited > 0.3:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(PartialError, match="interrupted") as caught:
        flush(endpoint, SPACE, pace=STEPS, resume_folder=folder, progress=interrupt)
    said = re.search(r"up to ([\d,]+) more whose answers were lost", str(caught.value))
    report = _resumed(endpoint, folder)

    assert said is not None
    assert report.uncounted == int(said[1].replace(",", "")) <= 300
    assert report.deleted <= 60_000 <= report.deleted + report.uncounted


@pytest.fixture
def run(endpoint: Endpoint, folder: Path) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Start the command line on the server, so slow that it can be hurt on its way."""
    started: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        words = ("--url", endpoint.url(), "--app", "a", "--state-dir", str(folder.parent))
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "valkeyctl", *words),
                *("keys", "flush", "n", "--yes", "--impact", "low"),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def _until_half_way(wire: Wire) -> None:
    while int(str(wire.call("DBSIZE"))) > KEYS * 0.8:
        time.sleep(0.001)  # nothing announces what another process does


def test_a_killed_process_loses_at_most_what_was_under_way(
    endpoint: Endpoint, wire: Wire, folder: Path, run: Callable[[], subprocess.Popen[str]]
) -> None:
    """SIGKILL at any moment; then the same command goes on, and the sum adds up."""
    _fill(wire)
    process = run()
    _until_half_way(wire)
    process.kill()
    process.wait()

    before = left_behind(folder, endpoint, SPACE)
    report = _resumed(endpoint, folder)

    assert before is not None
    assert 0 < before.progress.deleted <= KEYS
    # Two batches of at most 500 keys, or a bucket more: one is sent while the other is noted.
    assert report.uncounted <= 2 * 600
    assert report.deleted <= KEYS <= report.deleted + report.uncounted
    assert wire.call("DBSIZE") == 0
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_real_signal_ends_with_status_7(
    endpoint: Endpoint,
    wire: Wire,
    folder: Path,
    run: Callable[[], subprocess.Popen[str]],
    number: signal.Signals,
) -> None:
    """And with the command that goes on, by which the sum is exact."""
    _fill(wire)
    process = run()
    _until_half_way(wire)
    process.send_signal(number)
    _, said = process.communicate(timeout=10)

    report = _resumed(endpoint, folder)

    assert process.returncode == 7, said
    assert "keys flush n --app a --resume --yes" in said
    assert "Traceback" not in said
    assert (report.deleted, report.uncounted) == (KEYS, 0)


def test_a_finished_flush_leaves_no_file(endpoint: Endpoint, wire: Wire, folder: Path) -> None:
    """There is nothing to resume."""
    _fill(wire, 100)

    report = flush(endpoint, SPACE, pace=FAST, resume_folder=folder)

    assert (report.deleted, report.resumed) == (100, False)
    assert list(folder.iterdir()) == []
    with pytest.raises(NotFoundError, match="no unfinished flush of a:n"):
        _resumed(endpoint, folder)
    assert list(folder.iterdir()) == []


def test_the_file_is_for_the_user_alone(endpoint: Endpoint, wire: Wire, folder: Path) -> None:
    """It says what keys are called, and where."""
    _fill(wire)
    _stopped(endpoint, folder)

    (file,) = folder.iterdir()

    assert (file.stat().st_mode & 0o777, folder.stat().st_mode & 0o777) == (0o600, 0o700)


def test_a_flush_without_resume_starts_over(endpoint: Endpoint, wire: Wire, folder: Path) -> None:
    """It counts for itself, and what was left is gone."""
    _fill(wire)
    _stopped(endpoint, folder)
    left = int(str(wire.call("DBSIZE")))

    report = flush(endpoint, SPACE, pace=FAST, resume_folder=folder)

    assert (report.deleted, report.resumed) == (left, False)
    assert left_behind(folder, endpoint, SPACE) is None


def test_another_selection_has_another_file(endpoint: Endpoint, wire: Wire, folder: Path) -> None:
    """Resuming one never goes on with the other."""
    _fill(wire)
    _stopped(endpoint, folder)

    for other in (Selection("a", namespace="m"), Selection("a", tag="n")):
        with pytest.raises(NotFoundError):
            flush(endpoint, other, resume_folder=folder, resume=True)

    assert _resumed(endpoint, folder).deleted == KEYS


def test_two_at_a_time_are_refused(endpoint: Endpoint, folder: Path) -> None:
    """They would write over each other's progress; other selections are free."""
    with open_journal(folder, endpoint, SPACE) as journal:
        journal.begin(LANES, 0, Progress((0, 1)))

        with pytest.raises(LockedError, match=r"another valkeyctl \(pid \d+\) flushes a:n"):
            flush(endpoint, SPACE, resume_folder=folder)
        flush(endpoint, Selection("a", namespace="m"), pace=FAST, resume_folder=folder)

    flush(endpoint, SPACE, pace=FAST, resume_folder=folder)


def test_a_restarted_server_is_not_gone_on_with(server: MortalServer, folder: Path) -> None:
    """Its cursors mean something else; it may even hold other keys."""
    with Wire(server.endpoint) as wire:
        _fill(wire)
    _stopped(server.endpoint, folder)
    server.kill()
    server.start()

    with pytest.raises(RefusedError, match="was restarted or replaced since") as caught:
        _resumed(server.endpoint, folder)

    assert str(caught.value.hint).endswith("valkeyctl keys flush n --app a --yes")
    assert left_behind(folder, server.endpoint, SPACE) is not None


def test_a_lost_server_leaves_a_part_that_can_go_on(server: MortalServer, folder: Path) -> None:
    """One that was only silent is the same afterwards."""
    with Wire(server.endpoint) as wire:
        _fill(wire)

    def freeze(progress: FlushProgress) -> None:
        if progress.visited > 0.3:
            server.freeze()

    with pytest.raises(PartialError, match="no answer from"):
        flush(
            server.endpoint,
            SPACE,
            pace=STEPS,
            resume_folder=folder,
            progress=freeze,
            timeout=0.3,
        )
    server.thaw()
    report = _resumed(server.endpoint, folder)

    assert report.deleted <= KEYS <= report.deleted + report.uncounted
    assert report.uncounted <= 2 * 600
    with Wire(server.endpoint) as wire:
        assert wire.call("DBSIZE") == 0


def test_lanes_that_do_not_fit_are_refused(endpoint: Endpoint, folder: Path) -> None:
    """A file of other servers is not for these."""
    with open_journal(folder, endpoint, SPACE) as journal:
        journal.begin(LANES, 0, Progress((0, 1)))

    with pytest.raises(RefusedError, match="its servers are other ones now"):
        _resumed(endpoint, folder)


@pytest.mark.parametrize("text", [b"", b"\x00\xff", b"{}\n", b"null\n", b'{"lanes": [[1]]}\n'])
def test_a_damaged_file_is_said_to_be(endpoint: Endpoint, folder: Path, text: bytes) -> None:
    """By its name; an empty one says that there is nothing."""
    with open_journal(folder, endpoint, SPACE) as journal:
        journal.begin(LANES, 0, Progress((0, 1)))
    (file,) = folder.iterdir()
    file.write_bytes(text)

    with pytest.raises((FolderError, NotFoundError), match=r"is damaged|no unfinished"):
        _resumed(endpoint, folder)
    assert flush(endpoint, SPACE, resume_folder=folder).deleted == 0


def test_a_folder_that_cannot_be_written_is_said_first(endpoint: Endpoint, wire: Wire) -> None:
    """Before anything is deleted."""
    _fill(wire, 10)

    with pytest.raises(FolderError, match="cannot open /dev/null/"):
        flush(endpoint, SPACE, resume_folder=Path("/dev/null/resume"))

    assert wire.call("DBSIZE") == 10


def test_a_disk_without_room_is_said_first(
    endpoint: Endpoint, wire: Wire, folder: Path, limit_of_files: None
) -> None:
    """Before anything is deleted or invalid."""
    _fill(wire, 10)
    wire.call("SET", "a:~version:n", "v")

    with pytest.raises(FolderError, match="cannot write"):
        flush(endpoint, SPACE, resume_folder=folder)

    assert wire.call("DBSIZE") == 11
    assert list(folder.iterdir()) == []
