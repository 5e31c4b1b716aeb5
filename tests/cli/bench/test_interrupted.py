"""Ctrl-C at any moment: nothing left running, and the user knows what there is."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from tests.cli.bench.conftest import EXAMPLES
from tests.cli.bench.test_run import cases
from valkeyctl.cli.bench.outcome import reporting
from valkeyctl.errors import InterruptedRunError


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["start", "warm-up"])
def test_before_the_first_round_there_is_nothing_to_report(
    application: str, tmp_path: Path, moment: str
) -> None:
    """Status 130, one envelope, and a JUnit file that says why no gate was judged."""
    out, junit = tmp_path / "run", tmp_path / "j.xml"
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "valkeyctl", "--state-dir", str(tmp_path / "state"), "bench"),
            *("--target", application, "--scenario", str(EXAMPLES / "articles.yaml")),
            *("--duration", "60s", "--warmup", "30s", "--out", str(out), "--junit", str(junit)),
            *("--gate", "p50_speedup>=2", "-o", "json"),
        ],
        env={**os.environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while not (
        (out / "run.json").exists() if moment == "start" else is_sent_to(application, process.pid)
    ):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)  # another process gets on; nothing tells us when
    children = psutil.Process(process.pid).children(recursive=True)

    process.send_signal(signal.SIGINT)
    printed, err = process.communicate(timeout=60)

    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert json.loads(printed)["error"]["code"] == "interrupted"
    assert set(cases(junit.read_text()).values()) == {"error"}
    _, alive = psutil.wait_procs(children, timeout=10)
    assert alive == []


def is_sent_to(url: str, pid: int) -> bool:
    """Say whether a child of *pid* has connections to *url*, as many as users."""
    port = urlsplit(url).port
    found = 0
    for child in psutil.Process(pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            connections = child.net_connections(kind="tcp")
            found += sum(bool(one.raddr) and one.raddr.port == port for one in connections)
    return found > 1


def test_while_the_report_is_made_the_samples_are_named(tmp_path: Path) -> None:
    """They are whole, and one command makes the report of them."""
    with pytest.raises(InterruptedRunError) as caught, reporting(tmp_path):
        raise KeyboardInterrupt

    assert str(caught.value.hint) == f"Make the report: valkeyctl bench report {tmp_path}"
