"""A deployment of several servers as a person reads it: logs, differences, status."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.conftest import free_ports
from valkeyctl.cli.console import Console

pytestmark = pytest.mark.slow

PROFILE = """\
extends: sentinel
name: {name}
publish: 127.0.0.1:{port}
runtime: process
sentinel: {{down_after: {down_after}, quorum: 2}}
tuning: {{databases: {databases}}}
"""


def test_all_units_are_told_of_in_few_lines(
    ctl: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What they differ in alike is one row; each line of a log says whose it is."""
    monkeypatch.setattr(Console, "width", 80)
    name, port = "vkt-units", free_ports(6)
    file = home / "units.yaml"
    file.write_text(PROFILE.format(name=name, port=port, down_after="5s", databases=16))
    assert ctl("deploy", "-p", str(file)).status == 0
    try:
        file.write_text(PROFILE.format(name=name, port=port, down_after="7s", databases=4))

        diff = ctl("deploy", "--diff", "-p", str(file))
        logs = ctl("logs", "-n", "2", "-p", str(file))
        one = ctl("logs", "-n", "2", "--node", "node-2", "-p", str(file))
        other = ctl("logs", "--node", "node-9", "-p", str(file))
        followed = _followed(file)

        rows = [line.split() for line in diff.out.split("\n\n")[0].splitlines()[1:]]
        assert sorted(rows) == [
            ["databases", "16", "4", "restart", "node-1,2,3"],
            ["down-after-milliseconds", "5000", "7000", "live", "sentinel-1,2,3"],
        ]
        assert diff.status == 1
        units = [f"sentinel-{n}" for n in (1, 2, 3)] + [f"node-{n}" for n in (1, 2, 3)]
        assert [line.split(" | ")[0].strip() for line in logs.out.splitlines()] == [
            unit for unit in units for _ in range(2)
        ]
        assert len(one.out.splitlines()) == 2
        assert " | " not in one.out
        assert other.status == 1
        assert "has no unit node-9" in other.err
        assert {line.split(" | ")[0].strip() for line in followed} == set(units)
    finally:
        assert ctl("down", "--purge", "--yes", "-p", str(file)).status == 0


def _followed(file: Path) -> list[str]:
    """Return the first lines of ``logs -f``, ended by Ctrl-C; one of each unit."""
    process = subprocess.Popen(
        [sys.executable, "-m", "valkeyctl", "logs", "-f", "-n", "1", "-p", str(file)],
        env=os.environ.copy(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(6)]
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == 130
    return lines
