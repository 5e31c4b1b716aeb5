"""The folder of a throwaway server, and the end of those that a killed valkeyctl has left.

A command that is killed cannot clean up: its throwaway server would run for ever, on
copies of the secret files. So the folder's name says whose it is, and whoever makes the
next one ends what belongs to nobody any more.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil

_NAME = re.compile(r"valkeyctl-trial-(?P<owner>\d+)-\w+")
# A Unix socket's path may have 104 bytes on macOS, and temporary folders there are deep.
_LONGEST_FOLDER = 70


@contextlib.contextmanager
def trial_folder() -> Iterator[Path]:
    """Yield a new folder that only this user can enter; it is gone afterwards."""
    temporary = tempfile.gettempdir()
    base = temporary if len(temporary) < _LONGEST_FOLDER else "/tmp"  # noqa: S108
    end_abandoned(Path(base))
    # What cannot be removed goes with the next one: no measurement is lost for it.
    with tempfile.TemporaryDirectory(
        prefix=f"valkeyctl-trial-{os.getpid()}-", dir=base, ignore_cleanup_errors=True
    ) as name:
        yield Path(name)


def end_abandoned(base: Path) -> None:
    """End the servers, and remove the folders below *base*, whose valkeyctl is gone."""
    for folder in base.glob("valkeyctl-trial-*"):
        named = _NAME.fullmatch(folder.name)
        if named is None or psutil.pid_exists(int(named["owner"])) or not _ours(folder):
            continue
        for process in psutil.process_iter(["cmdline"]):
            if any(str(folder) in word for word in process.info["cmdline"] or ()):
                with contextlib.suppress(psutil.Error, OSError):
                    # An editor that has a file of it open leads no session of its own.
                    if os.getsid(process.pid) == process.pid:
                        process.kill()
                        process.wait(timeout=5)
        shutil.rmtree(folder, ignore_errors=True)


def _ours(folder: Path) -> bool:
    """Say whether this user has made *folder*: others' servers are not ours to end."""
    try:
        return folder.stat().st_uid == os.geteuid()
    except OSError:
        return False
