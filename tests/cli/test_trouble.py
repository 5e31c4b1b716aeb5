"""`health` and `logs` of a server that has ended: the runtime knows why nobody answers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from tests.cli.conftest import Run, servers
from valkeyctl.ops.status import status


def test_health_and_logs_say_that_the_server_has_ended(
    ctl: Run, profile: Path, tmp_path: Path
) -> None:
    """In one sentence beside the failure, and below the log; by its URL nothing is known."""
    deployed = ctl("deploy", "-p", str(profile), "--runtime", "process", "-o", "json")
    (pid,) = servers(tmp_path)
    server = psutil.Process(pid)
    server.kill()
    server.wait(timeout=5)

    health = ctl("health", "-p", str(profile), "-o", "json")
    logs = ctl("logs", "-p", str(profile))
    by_url = ctl("health", "--url", str(deployed.data["url"]), "-o", "json")

    assert health.status == 3
    assert f"has ended (it was pid {pid})" in health.error["message"]
    assert logs.status == 0
    assert f"has ended (it was pid {pid})" in logs.err
    assert by_url.status == 3
    assert "pid" not in by_url.error["message"]


def test_the_next_step_of_status_is_for_the_deployment_that_was_asked_about(
    ctl: Run, profile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else who copies it restarts the default one."""
    assert ctl("deploy", "-p", str(profile)).status == 0
    hints = ("Renew the port: valkeyctl restart",)
    monkeypatch.setattr(
        "valkeyctl.ops.status.status", lambda *asked: replace(status(*asked), hints=hints)
    )

    done = ctl("status", "-p", str(profile))

    assert f"next: Renew the port: valkeyctl restart --profile {profile}" in done.out
