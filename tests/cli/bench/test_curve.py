"""`bench curve`, as it is typed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.conftest import mooncake
from tests.cli.conftest import Run


def test_the_envelope_holds_the_curve(ctl: Run, home: Path) -> None:
    """By size, with the knee, and where the page is."""
    trace = mooncake(home / "t.jsonl", [n % 50 for n in range(500)])

    done = ctl("bench", "curve", "2Mi", "4Mi", "8Mi", "--trace", str(trace), "-o", "json")

    assert (done.status, done.envelope["kind"]) == (0, "bench.curve")
    points = done.data["points"]
    assert isinstance(points, list)
    assert [one["maxmemory_bytes"] for one in points] == [2 << 20, 4 << 20, 8 << 20]
    assert points[0]["hit_ratio"] == pytest.approx(0.9)
    assert Path(str(done.data["curve_html"])).read_text().startswith("<!doctype html>")


def test_a_person_sees_one_sentence_and_a_table(ctl: Run, home: Path) -> None:
    """In 80 columns, with the knee starred."""
    done = ctl("bench", "curve", "--scenario", "api", "--requests", "3000", "--out", "found")

    assert done.status == 0
    assert max(len(line) for line in done.out.splitlines()) <= 80
    assert " MiB *" in done.out
    assert "that are possible" in " ".join(done.out.split())
    assert (home / "found/curve.json").exists()


def test_a_scenario_brings_its_own_sizes(ctl: Run) -> None:
    """Of its items and keys, to the byte; nothing is assumed of them."""
    done = ctl("bench", "curve", "4Mi", "--scenario", "api", "--requests", "2000", "-o", "json")

    memory = done.data["memory"]
    assert isinstance(memory, dict)
    assert done.data["assumed"] is None
    assert memory["key_bytes"] == len("bench-1a2b3c4d-1:items:999")
    # A median of 2 KiB, log-normal, so a mean of 3.4 KiB and some rounding.
    assert 3000 < memory["mean_entry_bytes"] < 5000


def test_memory_for_less_than_an_entry_answers_almost_nothing(ctl: Run) -> None:
    """Beside what the server itself takes; the sizes may be as many as one likes."""
    sizes = ("1021Ki", *(f"{number}Mi" for number in range(2, 51)))

    done = ctl("bench", "curve", *sizes, "--scenario", "api", "--requests", "1000", "-o", "json")

    points = done.data["points"]
    assert isinstance(points, list)
    assert (done.status, len(points)) == (0, 50)
    assert points[0]["hit_ratio"] < 0.1 < points[1]["hit_ratio"]


def test_an_empty_trace_is_said(ctl: Run, home: Path) -> None:
    """A header alone is no request."""
    (home / "t.csv").write_text("key,size\n")

    done = ctl("bench", "curve", "--trace", "t.csv", "-o", "json")

    assert (done.status, done.error["code"]) == (2, "usage")
    assert "holds no request" in done.error["message"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("8Mi", "4Mi"), "the sizes do not ascend"),
        (("8Mx",), "SIZE: '8Mx' is not a size"),
        (("100Ki",), "less than the server takes"),
        (("--ttl", "10s"), "when the accesses happen"),
        (("--ttl", "10s", "--no-expiry"), "have no TTL"),
        (("--ttl", "x"), "--ttl: 'x' is not a duration"),
        (("--value-size", "0"), "--value-size is 0"),
        (("--key-size", "0"), "key-size is 0"),
        (("--requests", "0"), "requests is 0"),
        (("--rate", "0"), "rate is 0"),
        (("--gain", "0"), "the gain is 0"),
        (("--samples", "0"), "samples is 0"),
        (("--view", "blocks"), "are of a trace"),
        (("--trace", "t.csv", "--scenario", "api"), "from a trace or from a scenario"),
        (("--trace", "t.csv", "--rate", "5", "--speedup", "2"), "replaces the trace's times"),
        (("--trace", "t.csv"), "does not say what was asked for"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    ctl: Run, home: Path, words: tuple[str, ...], message: str
) -> None:
    """With status 2, and what to give instead."""
    (home / "t.csv").write_text(
        "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.9799600,4808,10\n"
    )

    done = ctl("bench", "curve", *words, "-o", "json")

    assert (done.status, done.error["code"]) == (2, "usage")
    assert message in done.error["message"]
    assert done.error["hint"]
