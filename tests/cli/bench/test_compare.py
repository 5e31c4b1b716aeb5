"""``bench compare``: status, files and words; the figures are in tests/bench/test_compare.py."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.cli.bench.conftest import Copy
from tests.cli.bench.test_run import cases
from tests.cli.conftest import Run
from valkeyctl.bench.samples import DTYPE


@pytest.mark.parametrize(
    ("gate", "status"),
    [("p50_speedup>=0.01", 0), ("uncached.p50_speedup>=100", 8), ("p50_ms<=0.0001", 8)],
)
def test_a_change_is_gated_like_a_run(
    ctl: Run, copy: Copy, home: Path, gate: str, status: int
) -> None:
    """The same expressions, the same statuses, the same file for CI."""
    runs = (str(copy("a")), str(copy("b")))

    done = ctl("bench", "compare", *runs, "--gate", gate, "--junit", "j.xml", "-o", "json")

    assert done.status == status, done.err
    assert done.envelope["kind"] == "bench.compare"
    assert done.data["gates"]
    wanted = {0: "passed", 8: "failure"}[status]
    assert cases((home / "j.xml").read_text()) == {
        "the comparison": "passed",
        f"gate {gate}": wanted,
    }


def test_wrong_answers_end_a_comparison_as_they_end_a_run(ctl: Run, copy: Copy, home: Path) -> None:
    """With 1, and a failed case, unless a gate says how many are right."""
    first, broken = str(copy("a")), copy("b")
    rows = np.fromfile(broken / "samples.bin", DTYPE)
    rows["error"][np.flatnonzero((rows["round"] >= 0) & (rows["arm"] == 0))[-1]] = 1
    rows.tofile(broken / "samples.bin")
    (broken / "errors.jsonl").write_text('"HTTP 500"\n')

    done = ctl("bench", "compare", first, str(broken), "--junit", "j.xml", "-o", "json")

    assert (done.status, done.data["failed"]) == (1, {"cached": 1})
    assert cases((home / "j.xml").read_text())["answers of arm cached"] == "failure"
    bounded = ctl("bench", "compare", first, str(broken), "--gate", "errors<=1")
    assert bounded.status == 0, bounded.err


def test_what_may_be_said_comes_first(ctl: Run, copy: Copy) -> None:
    """Then the table, then what was not the same; all of it within 80 columns."""
    facts = {"server": {"maxmemory": "1gb"}, "environment": {}, "gateways": []}
    done = ctl("bench", "compare", str(copy("a")), str(copy("b", facts=facts)))

    lines = done.out.splitlines()
    assert done.status == 0
    assert lines[0] == "No difference could be shown."
    assert "server maxmemory: none against 1gb" in done.out
    table = lines[lines.index("") + 1 :]
    assert table[0].split() == [
        *("arm", "metric", "times", "better", "95", "%", "interval", "noise", "verdict")
    ]
    assert all(len(line) <= 80 for line in table)


def test_repetitions_tell_the_noise(ctl: Run, copy: Copy) -> None:
    """Given as further runs, or as further baselines."""
    a, b, c = (str(copy(name)) for name in "abc")

    by_floor = ctl("bench", "compare", a, c, "--floor", b, "-o", "json").data["noise_floor"]
    by_baseline = ctl("bench", "compare", a, b, c, "-o", "json").data["noise_floor"]

    assert isinstance(by_floor, dict)
    assert by_floor["runs"] == 2
    assert by_baseline == by_floor


def test_a_run_is_not_compared_with_itself(ctl: Run, copy: Copy) -> None:
    """That would show no difference, and no noise either."""
    folder = str(copy("a"))

    done = ctl("bench", "compare", folder, f"{folder}/../a", "-o", "json")

    assert done.status == 2
    assert "given twice" in done.error["message"]


def test_what_cannot_be_compared_leaves_a_junit_file(ctl: Run, copy: Copy, home: Path) -> None:
    """A run of an older version, with the gate that was not judged."""
    runs = (str(copy("a", version=1)), str(copy("b")))

    done = ctl("bench", "compare", *runs, "--gate", "p50_speedup>=1", "--junit", "j.xml")

    assert done.status == 5
    assert "version 1" in done.err
    assert set(cases((home / "j.xml").read_text()).values()) == {"error"}


def test_the_comparison_is_a_text_for_a_pull_request(ctl: Run, copy: Copy, home: Path) -> None:
    """In a file, or as all of standard output."""
    runs = (str(copy("a")), str(copy("b")))

    alone = ctl("bench", "compare", *runs, "--markdown", "-")
    beside = ctl("bench", "compare", *runs, "--markdown", "c.md")

    assert alone.out == (home / "c.md").read_text()
    assert alone.out.startswith("### Benchmark")
    assert "times better" in beside.out
