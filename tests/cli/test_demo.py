"""The demo, as a person sees it: the first thing that a new user runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_the_demo_goes_through_every_step(tmp_path: Path) -> None:
    """From the deployment to the report, with the keys by namespace in between."""
    words = ("--state-dir", str(tmp_path / "state"), "demo", "--duration", "4s")

    done = subprocess.run(
        [sys.executable, "-m", "valkeyctl", *words, "--out", str(tmp_path / "report")],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )

    assert done.returncode == 0, done.stderr[-2000:]
    assert "NAMESPACE" in done.stdout
    assert "method: exact" in done.stdout
    assert "nothing is left running" in done.stdout
    assert (tmp_path / "report" / "report.html").is_file()
