"""`bench sweep`, as it is typed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Run


@pytest.mark.slow
def test_a_sweep_of_memory_finds_what_a_larger_server_buys(ctl: Run, home: Path) -> None:
    """Two real servers, thrown away afterwards."""
    done = ctl(
        *("bench", "sweep", "memory", "2Mi", "16Mi", "--duration", "4s", "--rounds", "5"),
        *("-o", "json", "--out", str(home / "found")),
    )

    assert (done.status, done.envelope["kind"]) == (0, "bench.sweep")
    points = done.data["points"]
    assert isinstance(points, list)
    assert [one["text"] for one in points] == ["2Mi", "16Mi"]
    assert points[0]["hit_ratio"] <= points[1]["hit_ratio"]
    assert done.data["one_run"] is True
    assert (home / "found/sweep.html").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("memory", "8Mi"), "a sweep of 1 values"),
        (("memory", "8Mi", "4Mi"), "do not ascend"),
        (("memory", "8Mx", "9Mi"), "is not a size"),
        (("rate", "fast", "9"), "rate fast"),
        (("users", "1", "2", "--rate", "5"), "sets that itself"),
        (("rate", "1", "2", "--users", "5"), "sets that itself"),
        (("memory", "8Mi", "9Mi", "--arm", "a"), "sets that itself"),
        (("ttl", "1s", "2s", "--p99", "5ms"), "is of a sweep of rates"),
        (("rate", "1", "2", "--passes", "0"), "passes is 0"),
        (("rate", "1", "2", "--gain", "0"), "gain is 0"),
        (("size", "1Ki", "2Ki", "--scenario", "llm-chat"), "no one size"),
        (("size", "1Ki", "2Ki", "--users", "2", "--rate", "2"), "no users"),
        (("ttl", "1s", "2s", "--target", "http://127.0.0.1:1"), "cannot be set"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    ctl: Run, home: Path, words: tuple[str, ...], message: str
) -> None:
    """Before anything starts."""
    done = ctl("bench", "sweep", *words, "-o", "json")

    assert (done.status, done.error["code"]) == (2, "usage")
    assert message in done.error["message"]
    assert not (home.parent / "state/reports").exists()
