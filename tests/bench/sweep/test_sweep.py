"""What a sweep makes of its runs: figures by value, knees, words, files."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tests.bench.conftest import made_up
from valkeyctl.bench.load.generator import Progress
from valkeyctl.bench.plan import Plan
from valkeyctl.bench.report import Report, report
from valkeyctl.bench.statistics.intervals import Estimate
from valkeyctl.bench.sweep.bends import bends
from valkeyctl.bench.sweep.field import Field, Step, parse_values, steps
from valkeyctl.bench.sweep.sweep import Sweep, sweep
from valkeyctl.bench.sweep.sweepreport import JSON_FILE, document, head, page, rows, write
from valkeyctl.bench.sweep.sweepwords import conclusion
from valkeyctl.errors import InterruptedRunError, ServerReplyError, UnreachableError

Latency = Callable[[float], float]
ROUNDS = 6


def played(
    folder: Path,
    field: Field,
    *texts: str,
    passes: int = 2,
    latency: Latency = lambda _value: 10.0,
    hits: Callable[[float], float] = lambda _value: 0.5,
    fails_at: Sequence[str] = (),
    failure: BaseException | None = None,
    wrong_at: float = -1,
    refused_at: Sequence[str] = (),
    slower: float = 1.0,
    told: list[tuple[float, str]] | None = None,
) -> Sweep:
    """Return a sweep whose runs are made up: a latency and a share of hits for each value.

    Each run is *slower* times as slow as the one before.
    """
    values = parse_values(field, texts)
    plan = Plan.of(scenario="api", duration=40.0, rounds=ROUNDS)
    planned = steps(field, values, plan, passes=passes)

    def play(step: Step, into: Path, follow: Callable[[Progress], None]) -> Report:
        if failure is not None and step.name in fails_at:
            raise failure
        drift = slower ** planned.index(step)
        follow(Progress("measuring", "cached", 1, ROUNDS, 50, 100, 0, 1.0))
        numbers = [(step.values.get(arm.name) or step.values[""]).number for arm in step.plan.arms]

        def outcome(number: float) -> Callable[[int], str]:
            return lambda index: "hit" if index % 100 < 100 * hits(number) else "miss"

        blocks = [
            [[drift * latency(n) * (1 + 0.01 * (k % 7)) for k in range(100)] for _ in range(ROUNDS)]
            for n in numbers
        ]
        found = report(
            made_up(
                step.plan,
                blocks,
                outcomes=[outcome(n) for n in numbers],
                failed=lambda arm, index: numbers[arm] == wrong_at and index == 3,
                folder=into,
            )
        )
        why = "the load generator was late"
        return replace(found, refused=why) if step.name in refused_at else found

    def progress(share: float, text: str) -> None:
        if told is not None:
            told.append((share, text))

    return sweep(field, values, planned, play, folder=folder, progress=progress)


def words(found: Sweep, **options: float) -> str:
    """Return the conclusion as one text."""
    knees = bends(found, **options)
    return " ".join(one.text for one in conclusion(found, knees))


def test_arms_of_one_run_are_a_series(tmp_path: Path) -> None:
    """By value, with what each of them did."""
    ratio = {2**21: 0.2, 2**22: 0.6, 2**23: 0.601}

    found = played(tmp_path, "memory", "2Mi", "4Mi", "8Mi", hits=lambda n: ratio[int(n)])

    assert (found.one_run, found.passes, len(found.runs), found.drifts) == (True, 1, 1, ())
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
    assert (cell.runs, cell.requests) == (2, 2 * ROUNDS * 100)
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


def test_a_failed_run_leaves_its_value_out(tmp_path: Path) -> None:
    """The others are measured; the value is marked, and nothing above it is said to hold."""
    failure = ServerReplyError("every answer was 500")

    found = played(
        tmp_path, "rate", "10", "20", "40", fails_at=("rate-20-1", "rate-20-2"), failure=failure
    )

    assert found.incomplete == "rate-20-1: every answer was 500"
    assert not found.interrupted
    assert [(one.run, one.code, one.exit_code) for one in found.failures] == [
        ("rate-20-1", "server", 3),
        ("rate-20-2", "server", 3),
    ]
    # Not two in a row: the sweep went on to its end.
    assert (len(found.runs), bool(found.drifts)) == (4, True)
    assert [one.text for one in found.unmeasured] == ["20"]
    assert "2 of 3 values were measured" in words(found)
    assert "requests/s 10 is the highest" in words(found)
    assert "20 was not measured." in words(found)
    assert ("20", "-", "-", "-", "-", "-", "-", "failed") in rows(found, [])
    assert document(found, bends(found))["incomplete"] is True


def test_a_value_of_which_one_run_failed_is_measured(tmp_path: Path) -> None:
    """By the other; nothing that was measured is lost."""
    failure = ServerReplyError("every answer was 500")

    found = played(tmp_path, "rate", "10", "20", fails_at=("rate-20-1",), failure=failure)

    assert [(one.value.text, one.runs) for one in found.series("cached")] == [("10", 2), ("20", 1)]
    assert found.drifts
    assert "2 of 2 values were measured" in words(found)


def test_two_failures_in_a_row_end_a_sweep(tmp_path: Path) -> None:
    """By then it is not the value: the target is down."""
    found = played(
        tmp_path,
        *("rate", "10", "20", "40", "80"),
        fails_at=("rate-20-1", "rate-40-1", "rate-80-1"),
        failure=UnreachableError("nothing listens"),
    )

    assert [one.run for one in found.failures] == ["rate-20-1", "rate-40-1"]
    assert len(found.runs) == 1
    assert found.drifts == ()
    assert [row[-1] for row in rows(found, [])] == ["", "", "failed", "failed", "not reached"]
    assert "cannot be compared" in words(found)


def test_a_value_whose_runs_were_refused_is_marked(tmp_path: Path) -> None:
    """Its latencies show nothing, and have a gap in the plots; so the bend may lie beyond."""
    found = played(tmp_path, "rate", "10", "20", refused_at=("rate-20-1", "rate-20-2"))

    assert found.refused
    assert [one.refused_runs for one in found.cells] == [0, 0, 2, 2]
    assert "Latencies at requests/s 20 show nothing: the load generator was late" in words(found)
    assert "At 20 the load generator was late, so it may be more." in words(found)
    assert head(found)[-1] == "note"
    assert [row[-1] for row in rows(found, [])] == ["", "", "late", "late"]
    hits, median, _ = (one.svg for one in page(found, []).figures)
    assert hits.count("<circle") == median.count("<circle") + 1
    assert document(found, [])["refused"] is True


def test_a_run_that_was_refused_is_left_out_where_another_was_not(tmp_path: Path) -> None:
    """The other one shows the target."""
    found = played(tmp_path, "rate", "10", "20", refused_at=("rate-20-1",))

    cell = found.series("cached")[1]
    assert not found.refused
    assert (cell.runs, cell.refused_runs, cell.requests) == (2, 1, ROUNDS * 100)
    assert "1 run of 2 at 20 shows the load generator and is left out" in words(found)


def test_drift_is_shown_by_the_first_value(tmp_path: Path) -> None:
    """Each of six runs 4 % slower: played last, it is 22 % slower than at first."""
    found = played(tmp_path, "rate", "10", "20", "40", slower=1.04)

    p50 = next(one for one in found.drifts if (one.arm, one.metric) == ("cached", "p50"))
    assert p50.change == pytest.approx(1.04**5 - 1)
    assert "p50 10.3, then 12.5 ms (+22%)" in words(found)
    drift = next(one for one in conclusion(found, []) if "side by side" in one.text)
    assert drift.kind == "warning"


def test_a_refused_run_shows_no_drift(tmp_path: Path) -> None:
    """It shows the load generator at that moment."""
    found = played(tmp_path, "rate", "10", "20", refused_at=("rate-10-2",))

    assert found.drifts == ()
    assert "of the same value, cannot be compared" in words(found)


def test_users_whose_runs_were_refused_bend_nothing(tmp_path: Path) -> None:
    """Throughput that stops to grow there is the load generator's."""
    found = played(
        *(tmp_path, "users", "1", "2", "4", "8"),
        latency=lambda users: 40 / min(users, 4),
        refused_at=[f"users-{users}-{number}" for users in (4, 8) for number in (1, 2)],
    )

    assert [bend.cell for bend in bends(found)] == [None, None]


def test_one_run_of_each_value_is_said(tmp_path: Path) -> None:
    """With the first value again, whose two runs show drift."""
    found = played(tmp_path, "rate", "10", "20", passes=1)

    assert (found.passes, [one.runs for one in found.series("cached")]) == (1, [2, 1])
    assert found.drifts
    assert "a run of its own, upwards, and the first another one at the end" in words(found)


def test_without_drift_it_is_said_too(tmp_path: Path) -> None:
    """As a note: the first value gave the same again."""
    found = played(tmp_path, "rate", "10", "20")

    assert "gave the same in the first run and the last" in words(found)


def test_a_ttl_longer_than_its_run_shows_nothing(tmp_path: Path) -> None:
    """No entry comes to its end in 10 seconds, so no knee is named."""
    found = played(tmp_path, "ttl", "1s", "1m")

    assert [bend.cell for bend in bends(found)] == [None, None]
    assert "In a run of 10 s no entry with TTL 1m comes to its end" in words(found)
    assert "bench curve --scenario api --ttl 1m" in words(found)
    assert "none of these values" not in words(found)
    assert [row[-1] for row in rows(found, [])] == ["", "", "no expiry", "no expiry"]


def test_a_knee_that_the_intervals_hide_is_said_to_be_unsure(tmp_path: Path) -> None:
    """A gain of a hundredth of a point cannot be seen in so few requests."""
    found = played(tmp_path, "memory", "2Mi", "4Mi", "8Mi", hits=lambda n: 0.5 + n / 2**40)
    wide = [
        replace(
            one,
            estimates={**one.estimates, "hit_ratio": Estimate(0.5, (0.45, 0.55))},
        )
        for one in found.cells
    ]

    assert "may lie a value off" in words(replace(found, cells=tuple(wide)))
    assert "Smaller ones were not measured." in words(found)


def test_progress_is_told_by_time(tmp_path: Path) -> None:
    """With the run, its value and its arm; never more than all of it."""
    told: list[tuple[float, str]] = []

    played(tmp_path, "rate", "10", "20", told=told)

    assert [text for _, text in told] == [
        "1 of 4: 10 cached",
        "2 of 4: 20 cached",
        "3 of 4: 20 cached",
        "4 of 4: 10 cached",
    ]
    assert all(0 <= share <= 1 for share, _ in told)


def test_sigterm_between_two_runs_keeps_what_was_measured(tmp_path: Path) -> None:
    """While a report is made, no run is there to take it."""
    values = parse_values("rate", ["10", "20"])
    planned = steps("rate", values, Plan.of(scenario="api", duration=40.0, rounds=ROUNDS))

    def play(step: Step, into: Path, _follow: Callable[[Progress], None]) -> Report:
        if step is planned[1]:
            os.kill(os.getpid(), signal.SIGTERM)
        blocks = [[[1.0] * 100] * ROUNDS] * 2
        return report(made_up(step.plan, blocks, folder=into))

    found = sweep("rate", values, planned, play, folder=tmp_path, progress=lambda *_: None)

    assert (found.interrupted, found.incomplete, len(found.runs)) == (True, "SIGTERM", 1)


@pytest.mark.parametrize("failure", [InterruptedRunError("stopped"), KeyboardInterrupt()])
def test_an_interrupted_sweep_says_so(tmp_path: Path, failure: BaseException) -> None:
    """Whether Ctrl-C came in a run or between two."""
    found = played(tmp_path, "rate", "10", "20", fails_at=("rate-20-2",), failure=failure)

    assert found.interrupted
    assert found.incomplete in {"rate-20-2: stopped", "Ctrl-C"}
    assert len(found.runs) == 2


def test_a_first_run_that_fails_is_the_failure(tmp_path: Path) -> None:
    """There is nothing to report."""
    with pytest.raises(ServerReplyError):
        played(
            tmp_path, "rate", "10", "20", fails_at=("rate-10-1",), failure=ServerReplyError("no")
        )


def test_wrong_answers_are_said_first(tmp_path: Path) -> None:
    """And make no knee."""
    found = played(tmp_path, "memory", "2Mi", "4Mi", "8Mi", wrong_at=2**22)

    first = conclusion(found, bends(found))[0]

    assert first.kind == "error"
    assert "1 of 600 requests had no right answer at maxmemory 4Mi" in first.text


def test_wrong_answers_are_of_all_that_was_sent(tmp_path: Path) -> None:
    """Those of a run that is left out for its latencies, too."""
    found = played(tmp_path, "rate", "10", "20", wrong_at=20, refused_at=("rate-20-1",))

    assert "2 of 1,200 requests had no right answer at requests/s 20, arm cached" in words(found)


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
    assert html.count(">4Mi</text>") == 3
    assert "knee at 2Mi" in html
    assert "2Mi *" in [row[0] for row in rows(found, knees)]
