"""The file of a flush: whole wherever a write was cut off, and one writer's at a time."""

from __future__ import annotations

import fcntl
import threading
from pathlib import Path

import pytest

from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import LockedError
from valkeyctl.ops.keyspace.cursors import DONE
from valkeyctl.ops.keyspace.lanes import LaneName
from valkeyctl.ops.keyspace.removal.resume import Progress, left_behind, open_journal
from valkeyctl.ops.keyspace.removal.selection import Selection

SPACE = Selection("a", namespace="n")
LANES = (LaneName("h:1", "r1", 0, 2), LaneName("h:1", "r1", 1, 2))


@pytest.fixture
def endpoint() -> Endpoint:
    """Where nobody is asked."""
    return Endpoint()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the resume files are; not made yet."""
    return tmp_path / "state" / "resume"


def test_other_places_have_other_files(folder: Path) -> None:
    """A database, a server and a selection each: what is left of one is not the other's."""
    with open_journal(folder, Endpoint(), SPACE) as journal:
        journal.begin(LANES, 0, Progress((4, 5)))

    assert left_behind(folder, Endpoint(), SPACE) is not None
    for other in (Endpoint(db=3), Endpoint(port=1)):
        assert left_behind(folder, other, SPACE) is None
    assert left_behind(folder, Endpoint(), Selection("a", tag="n")) is None


def test_a_longer_file_leaves_no_tail(folder: Path, endpoint: Endpoint) -> None:
    """A flush of fewer lanes in place of one of more."""
    for lanes in (LANES * 3, LANES):
        with open_journal(folder, endpoint, SPACE) as journal:
            journal.begin(lanes, 0, Progress(tuple(range(len(lanes))), 7))
    (file,) = folder.iterdir()

    assert len(file.read_bytes().splitlines()) == 3


def test_a_file_that_goes_before_its_lock_comes_is_another(
    folder: Path, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its holder has removed it; a lock on it would keep nobody out."""
    lock = fcntl.flock
    removed: list[Path] = []

    def late(handle: int, how: int) -> None:
        if not removed:
            removed.extend(folder.iterdir())
            removed[0].unlink()
        lock(handle, how)

    monkeypatch.setattr(fcntl, "flock", late)

    with open_journal(folder, endpoint, SPACE):
        assert list(folder.iterdir()) == removed
        with pytest.raises(LockedError), open_journal(folder, endpoint, SPACE):
            pass


def test_a_lock_does_not_outlive_the_file_it_is_on(endpoint: Endpoint, folder: Path) -> None:
    """Of many who come at the same time, each has the file for itself, and none is left over."""
    inside: list[int] = []
    most: list[int] = []

    def enter() -> None:
        for _ in range(50):
            try:
                with open_journal(folder, endpoint, SPACE) as journal:
                    inside.append(1)
                    most.append(len(inside))
                    inside.pop()
                    journal.forget()
            except LockedError:
                pass

    threads = [threading.Thread(target=enter) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert max(most) == 1
    assert list(folder.iterdir()) == []


def test_one_torn_write_leaves_the_step_before(endpoint: Endpoint, folder: Path) -> None:
    """Wherever the last write was cut off."""
    steps = [Progress((number, number), number * 10) for number in range(1, 6)]
    with open_journal(folder, endpoint, SPACE) as journal:
        journal.begin(LANES, 3, Progress((0, 1)))
        for step in steps[:-1]:
            journal.note(step)
    (file,) = folder.iterdir()
    before = file.read_bytes()
    with open_journal(folder, endpoint, SPACE) as journal:
        journal.begin(LANES, 3, Progress((0, 1)))
        for step in steps:
            journal.note(step)
    after = file.read_bytes()

    seen = set()
    for cut in range(len(after) + 1):
        file.write_bytes(after[:cut] + before[cut:])
        left = left_behind(folder, endpoint, SPACE)
        assert left is not None
        assert (left.lanes, left.layout) == (LANES, 3)
        seen.add(left.progress)

    assert seen == {steps[3], steps[4]}


def test_what_was_pending_is_uncounted(endpoint: Endpoint, folder: Path) -> None:
    """Of all the runs before, and a lane that was done stays done."""
    with open_journal(folder, endpoint, SPACE) as journal:
        journal.begin(LANES, 0, Progress((0, 1)))
        journal.note(Progress((DONE, 2**63 + 1), 7, pending=300, uncounted=20, visited=0.25))

    left = left_behind(folder, endpoint, SPACE)

    assert left is not None
    assert left.progress == Progress((DONE, 2**63 + 1), 7, 0, 320, 0.25)


def test_room_is_made_beside_what_was_left(endpoint: Endpoint, folder: Path) -> None:
    """A flush that ends before it begins takes nothing from the one before."""
    with open_journal(folder, endpoint, SPACE) as journal:
        journal.begin(LANES, 3, Progress((4, 5), 6))
    before = left_behind(folder, endpoint, SPACE)
    for _ in range(2):
        with open_journal(folder, endpoint, SPACE) as journal:
            journal.reserve(LANES * 3)

    assert before is not None
    assert left_behind(folder, endpoint, SPACE) == before
