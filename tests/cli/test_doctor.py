"""`valkeyctl doctor`: for a person, for a program, and its status."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Run
from tests.ops.doctor.machines import FakeMachine


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> FakeMachine:
    """The machine that the command finds itself on: in good order but for its clock."""
    found = FakeMachine()
    monkeypatch.setattr("valkeyctl.ops.doctor.ThisMachine", lambda: found)
    monkeypatch.delenv("VALKEYCTL_PODMAN", raising=False)
    return found


def test_a_machine_in_good_order_is_status_0(ctl: Run, machine: FakeMachine) -> None:
    """One line a thing, in areas, and a count at the end."""
    done = ctl("doctor")

    assert done.status == 0
    assert done.out.startswith("kernel\n  ok   vm.overcommit_memory: 1\n")
    assert "\nprofile" not in done.out
    assert done.out.rstrip().endswith("0 warnings, 0 failures")


def test_a_failure_is_status_1_and_says_what_to_do(ctl: Run, machine: FakeMachine) -> None:
    """Within 80 columns: what was expected, why, and the way out."""
    machine.may_write = False
    machine.bits = None

    done = ctl("doctor")

    assert done.status == 1
    assert "  FAIL state folder:" in done.out
    assert "fix: Name another folder: --state-dir DIR" in done.out
    assert "1 failure" in done.out
    assert max(len(line) for line in done.out.splitlines() if "/" not in line) <= 80


def test_a_program_reads_every_finding(ctl: Run, machine: FakeMachine) -> None:
    """The envelope carries value, expectation, verdict, reason and fix of each."""
    machine.bits = 0o755

    done = ctl("doctor", "-o", "json")

    envelope = done.envelope
    assert (done.status, envelope["kind"], envelope["status"]) == (0, "doctor", "warn")
    findings = done.data["findings"]
    assert isinstance(findings, list)
    keys = {"area", "name", "value", "expected", "verdict", "why", "fix"}
    assert all(set(finding) == keys for finding in findings)
    assert [one["name"] for one in findings if one["verdict"] != "ok"] == ["state folder"]


def test_with_a_profile_its_port_and_image_are_looked_at(ctl: Run, machine: FakeMachine) -> None:
    """-p adds what only that profile needs."""
    machine.taken = {6380: "port 6380 on 127.0.0.1 is taken by nginx (pid 7)"}

    done = ctl("doctor", "-p", "dev", "-o", "name")

    assert done.status == 1
    assert done.out.split("\n")[0] == "port 6380"
