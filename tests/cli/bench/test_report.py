"""``bench report``: a finished run judged and rendered again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.cli.bench.conftest import Copy, Recorded
from tests.cli.bench.test_run import cases
from tests.cli.conftest import Run
from valkeyctl.bench.samples import DTYPE


def test_a_run_is_rendered_again(ctl: Run, copy: Copy) -> None:
    """Every file, from the samples alone."""
    folder = copy("run")
    for name in ("report.html", "report.json", "report.md"):
        (folder / name).unlink()

    done = ctl("bench", "report", str(folder))

    assert done.status == 0, done.err
    assert "articles: closed loop, 4 users" in done.out
    for name in ("report.html", "report.json", "report.md"):
        assert (folder / name).stat().st_size


@pytest.mark.parametrize(
    ("gates", "status"),
    [
        (("hits>=1", "errors<=0"), 0),
        (("p50_speedup>=1000",), 8),
        (("ttft_p50_ms<=5",), 9),
        (("ttft_p50_ms<=5", "p50_speedup>=1000", "errors<=0"), 8),
    ],
)
def test_gates_are_judged_anew_and_the_worst_one_counts(
    ctl: Run, recorded: Recorded, gates: tuple[str, ...], status: int
) -> None:
    """One that failed outweighs one that could not be decided."""
    words = [word for gate in gates for word in ("--gate", gate)]

    done = ctl("bench", "report", str(recorded.folder), *words, "-o", "json")

    assert done.status == status, done.err
    assert done.envelope["status"] == ("ok" if status == 0 else "fail")


def test_the_markdown_can_be_all_of_standard_output(ctl: Run, recorded: Recorded) -> None:
    """For a pipe into a pull request."""
    done = ctl("bench", "report", str(recorded.folder), "--markdown", "-", "-q")

    assert done.out == (recorded.folder / "report.md").read_text()


def test_an_incomplete_run_decides_no_gate(ctl: Run, copy: Copy, home: Path) -> None:
    """It is shown, marked as such; and CI sees the case of the run itself as an error."""
    folder = copy("cut", incomplete=True, interrupted="Ctrl-C")

    done = ctl(
        *("bench", "report", str(folder), "--gate", "p50_speedup>=1.2", "--junit", "j.xml"),
        *("-o", "json"),
    )

    assert done.status == 9
    assert done.data["incomplete"] is True
    assert "stopped by Ctrl-C" in done.err
    found = cases((home / "j.xml").read_text())
    assert found["the run"] == found["gate p50_speedup>=1.2"] == "error"


def test_wrong_answers_fail_the_run(ctl: Run, copy: Copy, home: Path) -> None:
    """Said first; with a bound for errors the bound decides."""
    folder = copy("wrong")
    rows = np.fromfile(folder / "samples.bin", DTYPE)
    place = np.flatnonzero((rows["round"] >= 0) & (rows["arm"] == 0))[-1]
    rows["error"][place] = 1
    rows.tofile(folder / "samples.bin")
    (folder / "errors.jsonl").write_text('"HTTP 500"\n')

    bare = ctl("bench", "report", str(folder), "--junit", "j.xml")

    assert bare.status == 1
    first = bare.out.splitlines()[1]
    assert "had no right answer" in first
    assert "times as fast" not in bare.out
    assert cases((home / "j.xml").read_text())["answers of arm cached"] == "failure"
    assert ctl("bench", "report", str(folder), "--gate", "errors<=1").status == 0
    assert ctl("bench", "report", str(folder), "--gate", "errors<=0").status == 8
    assert ctl("bench", "report", str(folder), "--gate", "p50_speedup>=1.2").status == 9


def test_a_run_of_another_version_is_refused_with_a_sentence(ctl: Run, copy: Copy) -> None:
    """Neither guessed at nor a traceback."""
    folder = copy("old", version=1)

    done = ctl("bench", "report", str(folder), "-o", "json")

    assert done.status == 5
    assert "version" in done.error["message"]
    assert done.error["hint"]


def test_a_gate_that_the_run_cannot_decide_is_refused(ctl: Run, recorded: Recorded) -> None:
    """As before a run, and with what the run has."""
    done = ctl("bench", "report", str(recorded.folder), "--gate", "x.p99_ms<=5", "-o", "json")

    assert done.status == 2
    assert "uncached-again" in done.error["hint"]


def test_a_folder_without_a_run_is_one_sentence(ctl: Run, home: Path) -> None:
    """As everywhere."""
    done = ctl("bench", "report", str(home), "-o", "json")

    assert (done.status, done.error["code"]) == (1, "not_found")
    assert json.loads(done.out)["kind"] == "error"


def test_every_sample_is_written_for_other_tools(ctl: Run, recorded: Recorded, home: Path) -> None:
    """One line each, warm-up included, below a line of headings."""
    done = ctl("bench", "report", str(recorded.folder), "--csv", "samples.csv", "-o", "json")

    lines = (home / "samples.csv").read_text().splitlines()
    assert done.status == 0, done.err
    assert lines[0].startswith("arm,round,index")
    assert len(lines) == 1 + (recorded.folder / "samples.bin").stat().st_size // DTYPE.itemsize
