"""What a sweep makes of its runs: figures by value, knees, words, files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bench.conftest import made_up
from valkeyctl.bench.load.generator import Progress
from valkeyctl.bench.plan import Plan
from valkeyctl.bench.report import Report, report
from valkeyctl.bench.sweep.field import Field, Step, parse_values, steps
from valkeyctl.bench.sweep.sweep import Sweep, sweep
from valkeyctl.bench.sweep.sweepreport import (
    JSON_FILE,
    bends,
    conclusion,
    document,
    page,
    rows,
    write,
)
from valkeyctl.errors import InterruptedRunError, ServerReplyError

Latency = Callable[[float], float]
ROUNDS = 6


def played(
    folder: Path,
    field: Field,
    *texts: str,
    latency: Latency = lambda _value: 10.0,
    hits: Callable[[float], float] = lambda _value: 0.5,
    fails_at: str = "",
    failure: BaseException | None = None,
    wrong_at: float = -1,
) -> Sweep:
    """Return a sweep whose runs are made up: a latency and a share of hits for each value."""
    values = parse_values(field, texts)
    plan = Plan.of(scenario="api", duration=40.0, rounds=ROUNDS)
    planned = steps(field, values, plan)

    def play(step: Step, into: Path, follow: Callable[[Progress], None]) -> Report:
        if failure is not None and step.name == fails_at:
            raise failure
        follow(Progress("playing", "cached", 1, ROUNDS, 50, 100, 0, 1.0))
        numbers = [(step.values.get(arm.name) or step.values[""]).number for arm in step.plan.arms]

        def outcome(number: float) -> Callable[[int], str]:
            return lambda index: "hit" if index % 100 < 100 * hits(number) else "miss"

        blocks = [
            [[latency(n) * (1 + 0.01 * (k % 7)) for k in range(100)] for _ in range(ROUNDS)]
            for n in numbers
        ]
        return report(
            made_up(
                step.plan,
                blocks,
                outcomes=[outcome(n) for n in numbers],
                failed=lambda arm, index: numbers[arm] == wrong_at and index == 3,
                folder=into,
            )
        )

    return sweep(field, values, planned, play, folder=folder, progress=lambda _share, _text: None)


def words(found: Sweep, **options: float) -> str:
    """Return the conclusion as one text."""
    knees = bends(found, **options)
    return " ".join(one.text for one in conclusion(found, knees))


def test_arms_of_one_run_are_a_series(tmp_path: Path) -> None:
    """By value, with what each of them did."""
    ratio = {2**21: 0.2, 2**22: 0.6, 2**23: 0.601}

    found = played(tmp_path, "memory", "2Mi", "4Mi", "8Mi", hits=lambda n: ratio[int(n)])

    assert (found.one_run, found.passes, len(found.runs)) == (True, 1, 1)
    assert [one.estimates["hit_ratio"].value for one in found.series("")] == [0.2, 0.6, 0.61]


def test_the_knee_of_memory_is_where_doubling_stops_to_pay(tmp_path: Path) -> None:
    """And the share of what the sweep reached is said."""
    found = played(
        tmp_path, "memory", "2Mi", "4Mi", "8Mi", hits=lambda n: 0.2 if n < 2**22 else 0.6
    )

    (bend,) = bends(found)

    assert bend.cell is not None
    assert bend.cell.value.text == "4Mi"
    assert "60.0% of the 60.0%" in words(found)


def test_runs_of_one_value_are_joined(tmp_path: Path) -> None:
    """Both passes count, and the interval holds both of theirs."""
    found = played(tmp_path, "rate", "10", "20")

    assert (found.one_run, found.passes, len(found.runs)) == (False, 2, 4)
    assert found.arms == ("cached", "uncached")
    cell = found.series("cached")[0]
    assert cell.requests == 2 * ROUNDS * 100
    interval = cell.estimates["p50"].ci95
    assert interval is not None
    assert interval[0] <= cell.estimates["p50"].value <= interval[1]


def test_the_highest_good_rate_is_before_latency_bends(tmp_path: Path) -> None:
    """More than twice the p99 of the lowest rate is bent."""
    found = played(
        tmp_path, "rate", "10", "20", "40", "80", latency=lambda rate: 10 if rate < 40 else 50
    )

    assert [bend.cell.value.text for bend in bends(found) if bend.cell] == ["20", "20"]


def test_the_highest_good_rate_keeps_the_p99_that_was_asked_for(tmp_path: Path) -> None:
    """A rate beyond one that failed is not good again."""
    slow = {10: 10.0, 20: 60.0, 40: 10.0}

    found = played(tmp_path, "rate", "10", "20", "40", latency=lambda rate: slow[int(rate)])

    assert [bend.cell.value.text for bend in bends(found, p99=30.0) if bend.cell] == ["10", "10"]
    assert bends(found, p99=1.0)[0].cell is None
    assert "requests/s: none of these values is the highest" in words(found, p99=1.0)


def test_users_bend_where_throughput_stops_to_grow(tmp_path: Path) -> None:
    """Made-up rounds take as long as their latencies."""
    found = played(tmp_path, "users", "1", "2", "4", "8", latency=lambda users: 40 / min(users, 2))

    assert [bend.cell.value.text for bend in bends(found) if bend.cell] == ["2", "2"]


def test_a_size_has_no_knee(tmp_path: Path) -> None:
    """Larger values are slower; there is no rule for too large."""
    assert bends(played(tmp_path, "size", "1Ki", "2Ki")) == []


def test_a_failed_run_leaves_what_was_measured(tmp_path: Path) -> None:
    """Marked incomplete, with the reason."""
    failure = ServerReplyError("every answer was 500")

    found = played(tmp_path, "rate", "10", "20", fails_at="rate-20-1", failure=failure)

    assert found.incomplete == "rate-20-1: every answer was 500"
    assert not found.interrupted
    assert "1 of 2 values were measured" in words(found)
    assert document(found, bends(found))["incomplete"] is True


@pytest.mark.parametrize("failure", [InterruptedRunError("stopped"), KeyboardInterrupt()])
def test_an_interrupted_sweep_says_so(tmp_path: Path, failure: BaseException) -> None:
    """Whether Ctrl-C came in a run or between two."""
    found = played(tmp_path, "rate", "10", "20", fails_at="rate-20-2", failure=failure)

    assert found.interrupted
    assert found.incomplete.startswith("rate-20-2: ")


def test_a_first_run_that_fails_is_the_failure(tmp_path: Path) -> None:
    """There is nothing to report."""
    with pytest.raises(ServerReplyError):
        played(tmp_path, "rate", "10", "20", fails_at="rate-10-1", failure=ServerReplyError("no"))


def test_wrong_answers_are_said_first(tmp_path: Path) -> None:
    """And make no knee."""
    found = played(tmp_path, "memory", "2Mi", "4Mi", "8Mi", wrong_at=2**22)

    first = conclusion(found, bends(found))[0]

    assert first.kind == "error"
    assert "1 of 600 requests had no right answer at maxmemory 4Mi" in first.text


def test_the_files_hold_what_is_printed(tmp_path: Path) -> None:
    """JSON by value, and a page that needs nothing else."""
    found = played(tmp_path, "memory", "2Mi", "4Mi", "8Mi")
    knees = bends(found)

    html = write(found, knees).read_text()
    data = json.loads((tmp_path / JSON_FILE).read_text())

    assert data == document(found, knees)
    assert data["values"] == [2**21, 2**22, 2**23]
    assert data["points"][0]["p50_ms_ci95"][0] <= data["points"][0]["p50_ms"]
    # No throughput: the scenario is an open loop, whose load is what was offered.
    assert html.count("<svg") == len(page(found, knees).figures) == 3
    assert data["points"][0]["throughput_rps"] is None
    assert "http" not in html.replace("http://www.w3.org", "")
    assert "2Mi *" in [row[0] for row in rows(found, knees)]
