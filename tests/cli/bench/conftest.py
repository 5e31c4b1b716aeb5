"""One real run for all: the example application of the docs, measured by the command line."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import free_port
from valkeyctl.endpoint import Endpoint

EXAMPLES = Path(__file__).parents[3] / "docs" / "examples"
GATES = ("errors<=0", "hits>=1", "p50_speedup>=1000")
Copy = Callable[..., Path]


@dataclass(frozen=True)
class Recorded:
    """A run, with what its command line left.

    Attributes:
        folder: Its report and samples.
        done: How the command ended.
        junit: The file of ``--junit``.
        markdown: The file of ``--markdown``.
    """

    folder: Path
    done: subprocess.CompletedProcess[str]
    junit: str
    markdown: str


@pytest.fixture(scope="session")
def application(valkey_server: Endpoint) -> Iterator[str]:
    """The application of docs/how-to/benchmark.md, as the page starts it; gives its URL."""
    port = free_port()
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "uvicorn", "--app-dir", str(EXAMPLES), "bench_app:app"),
            *("--port", str(port), "--no-access-log", "--ws", "none"),
        ],
        env={**os.environ, "CACHE_URL": valkey_server.url(), "CACHE_APP": "articles"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(1000):
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert process.poll() is None, "uvicorn ended"
                time.sleep(0.02)  # another process comes up; nothing tells us when
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=15)


@pytest.fixture(scope="session")
def recorded(application: str, tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """A run of a few seconds with the baseline played twice; read it, change only copies."""
    folder = tmp_path_factory.mktemp("recorded")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "valkeyctl", "--state-dir", str(folder / "state"), "bench"),
            *("--target", application, "--scenario", str(EXAMPLES / "articles.yaml"), "--aa"),
            *("--requests", "160", "--rounds", "8", "--warmup", "0.2s", "--users", "4"),
            *("--out", str(folder / "run"), "--junit", str(folder / "junit.xml")),
            *("--markdown", str(folder / "pr.md"), "-o", "json"),
            *(word for gate in GATES for word in ("--gate", gate)),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (folder / "junit.xml").exists(), done.stderr
    return Recorded(
        folder / "run",
        done,
        (folder / "junit.xml").read_text(),
        (folder / "pr.md").read_text(),
    )


@pytest.fixture
def copy(recorded: Recorded, tmp_path: Path) -> Copy:
    """Return copies of the recorded run, with other words in its run file."""

    def make(name: str, **changed: object) -> Path:
        folder = tmp_path / name
        shutil.copytree(recorded.folder, folder)
        run = json.loads((folder / "run.json").read_text())
        run.update(changed)
        (folder / "run.json").write_text(json.dumps(run))
        return folder

    return make
