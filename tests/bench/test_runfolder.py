"""The folder of a run: whose it is, and what becomes of a run when it is full."""

from __future__ import annotations

from pathlib import Path

import pytest

from valkeyctl.bench.load.parent import unwritten
from valkeyctl.bench.load.record import RECORD, Recorder
from valkeyctl.bench.runfile import claimed
from valkeyctl.errors import FolderError


def test_two_runs_do_not_write_into_one_folder(tmp_path: Path) -> None:
    """Their samples would be mixed; a run that is over has let go of it."""
    folder = tmp_path / "new" / "run"
    with (
        claimed(folder),
        pytest.raises(FolderError, match="another run writes into it"),
        claimed(folder),
    ):
        raise AssertionError("the second run has the folder too")

    with claimed(folder):
        assert not list(folder.iterdir())


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """With what to do about it."""
    (tmp_path / "file").write_text("")

    with (
        pytest.raises(FolderError, match="file/run: cannot be written"),
        claimed(tmp_path / "file" / "run"),
    ):
        raise AssertionError("a file is no folder")


def test_a_full_disk_is_said_once_and_closing_goes_on(tmp_path: Path) -> None:
    """Whoever flushes hears of it; at the end nothing may keep Locust from ending."""
    (tmp_path / "samples.bin").symlink_to("/dev/full")
    recorder = Recorder(tmp_path)
    recorder.keep(bytes(RECORD.size))

    with pytest.raises(OSError, match="No space left") as raised:
        recorder.flush()
    recorder.close()
    recorder.close()

    said = str(unwritten(tmp_path, raised.value))
    assert said.endswith("samples cannot be written: No space left on device")
