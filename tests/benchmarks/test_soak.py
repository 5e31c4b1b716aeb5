"""A deploy that is killed at a random moment leaves nothing that the next one does not mend."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.soak import Fault, Outcome, Soak, print_outcome
from tests.conftest import require_podman


@pytest.mark.slow
def test_on_a_process(tmp_path: Path) -> None:
    """Five kills here, fifty in `make soak`."""
    outcome = Soak("process", tmp_path, seed=1).run(5, print)

    assert outcome.faults == []
    assert outcome.kills.total() == 5


@pytest.mark.slow
@pytest.mark.podman
@pytest.mark.parametrize(("command", "kills"), [("podman", 3), ("podman5", 2)])
def test_on_podman(command: str, kills: int, tmp_path: Path) -> None:
    """Five kills on two Podmans: a deploy takes ten times longer there."""
    require_podman(command)

    outcome = Soak("podman", tmp_path, seed=1, podman=command).run(kills, print)

    assert outcome.faults == []


def test_what_is_printed_names_each_fault(capsys: pytest.CaptureFixture[str]) -> None:
    """With its kill, so that the seed finds it again."""
    outcome = Outcome("process", {"live": 0.5, "restart": 0.6, "recreate": 0.7})
    outcome.kills["live"] += 1
    outcome.actions["updated"] += 1
    outcome.faults.append(Fault(1, "live", 0.25, "2 servers: 1, 2"))

    print_outcome(outcome)

    assert "kill 1 (live, after 0.25 s): 2 servers: 1, 2" in capsys.readouterr().out
