"""`valkeyctl drill`: asked before it breaks anything, and laid out for 80 columns."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.ops.drill.reports import report
from valkeyctl.cli.console import Console
from valkeyctl.cli.drill.layout import print_report


@pytest.fixture
def deployed(ctl: Run, profile: Path) -> str:
    """A small server that runs; its profile."""
    assert ctl("deploy", "-p", str(profile)).status == 0
    return str(profile)


def test_a_dry_run_says_what_would_be_done_and_does_nothing(ctl: Run, deployed: str) -> None:
    """For a person as sentences, for a program as fields."""
    done = ctl("drill", "hang", "-p", deployed, "--for", "3s", "--dry-run")
    told = ctl("drill", "hang", "-p", deployed, "--for", "3s", "--dry-run", "-o", "json")

    assert done.status == 0
    assert "pauses t" in done.out
    assert "for 3 s" in done.out
    assert told.envelope["kind"] == "drill.hang"
    assert (told.data["hold_s"], told.data["role"]) == (3.0, "primary")


def test_without_a_terminal_nothing_is_broken_without_a_yes(ctl: Run, deployed: str) -> None:
    """The plan is shown all the same."""
    done = ctl("drill", "kill", "-p", deployed)

    assert done.status == 4
    assert "ends the process of" in done.err
    assert "--yes" in done.err


def test_production_is_never_asked_about_but_needs_a_yes(
    ctl: Run, deployed: str, profile: Path
) -> None:
    """An answer given in haste is not enough there, terminal or not."""
    profile.write_text(f"{profile.read_text()}security:\n  production: true\n")

    done = ctl("drill", "kill", "-p", deployed, "-o", "json")

    assert done.status == 4
    assert "labelled as production" in done.error["message"]


@pytest.mark.slow
def test_a_drill_is_done_and_told(ctl: Run, deployed: str) -> None:
    """One envelope on standard output, what happens meanwhile on standard error."""
    done = ctl("drill", "kill", "-p", deployed, "--yes", "--rate", "100", "-o", "json")

    assert done.status == 0
    assert done.envelope["kind"] == "drill.kill"
    assert done.data["recovered"] is True
    assert "killed" in done.err


@pytest.mark.slow
def test_a_broken_gate_is_status_8(ctl: Run, deployed: str) -> None:
    """The report is printed first."""
    done = ctl(
        *("drill", "hang", "-p", deployed, "--yes", "--for", "500ms"),
        *("--gate", "write_gap_s<=0.01", "-o", "json"),
    )

    assert done.status == 8
    assert done.envelope["status"] in {"ok", "warn"}
    assert "the gate write_gap_s<=0.01 is broken" in done.err


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (("failover",), 2, "nobody could take over"),
        (("partition",), 5, "nothing to cut"),
        (("hang", "--for", "soon"), 2, "--for: 'soon' is not a duration"),
        (("hang", "--for", "0s"), 2, "a hang for 0 s is none"),
        (("hang", "--for", "5s", "--timeout", "5s"), 2, "gives up 5 s after"),
        (("kill", "--gate", "gap<1"), 2, "cannot be read"),
        (("kill", "--gate", "lost_confirmed<=0"), 2, "replicas confirm"),
        (("kill", "--confirm-replicas", "1"), 2, "no replicas that could confirm"),
        (("kill", "--node", "node-9"), 1, "has no node node-9"),
    ],
)
def test_what_makes_no_sense_is_refused(
    ctl: Run, deployed: str, words: tuple[str, ...], status: int, message: str
) -> None:
    """Before anything is broken, each with its own status."""
    done = ctl("drill", *words, "-p", deployed, "--yes", "-o", "json")

    assert done.status == status
    assert message in done.error["message"]


def test_there_is_nothing_to_undo(ctl: Run, deployed: str) -> None:
    """Undoing is safe at any time."""
    done = ctl("drill", "undo", "-p", deployed)

    assert done.status == 0
    assert "no drill has left anything" in done.out


def test_a_report_fits_into_80_columns() -> None:
    """With the long addresses and figures of a real one."""
    stream = io.StringIO()

    print_report(Console(stream), report())

    lines = stream.getvalue().splitlines()
    assert max(map(len, lines)) < 80
    assert "    +6.20 s   prod-node-2 takes the writes of prod-node-1" in lines
    assert "primary now      10.150.12.12:6379; before it was prod-node-1" in lines
    assert "acknowledged     2,400 writes, 1,200 of them confirmed by replicas" in lines
    assert lines[-2:] == ["PASSED", "  recovered in 19.5 s; 6.25 s without an accepted write"]
