"""A command line to try: its own state folder, its own profiles, nothing left running."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.conftest import free_port
from valkeyctl.cli.boundary import run

Run = Callable[..., "Done"]


@dataclass(frozen=True)
class Done:
    """What one command line gave."""

    status: int
    out: str
    err: str

    @property
    def envelope(self) -> dict[str, object]:
        """The one object on standard output."""
        found = json.loads(self.out)
        assert isinstance(found, dict)
        return found

    @property
    def data(self) -> dict[str, object]:
        """What the envelope carries."""
        found = self.envelope["data"]
        assert isinstance(found, dict)
        return found

    @property
    def error(self) -> dict[str, str]:
        """What the envelope says that went wrong."""
        found = self.envelope["error"]
        assert isinstance(found, dict)
        return found


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, with state of its own and nothing in the environment."""
    for name in ("VALKEYCTL_URL", "CACHE_URL", "VALKEYCTL_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("VALKEYCTL_STATE_DIR", str(tmp_path / "state"))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return work


@pytest.fixture
def ctl(home: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run one command line in this process; never a traceback."""

    def call(*argv: str) -> Done:
        capsys.readouterr()
        status = run(argv)
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return Done(status, captured.out, captured.err)

    return call


@pytest.fixture
def profile(home: Path) -> Iterator[Path]:
    """A small profile on a free port, whose server is gone when the test ends."""
    path = home / "t.yaml"
    path.write_text(
        f"extends: ci\nname: t{free_port()}\napp: shop\nruntime: process\n"
        f"publish: 127.0.0.1:{free_port()}\n"
    )
    yield path
    run(["down", "--purge", "--yes", "--profile", str(path)])
    assert not servers(home.parent), "a server was left running"


def servers(folder: Path) -> list[int]:
    """Return the pids of processes that were started from files in *folder*."""
    processes = psutil.process_iter(["cmdline"])
    return [one.pid for one in processes if str(folder) in " ".join(one.info["cmdline"] or ())]
