"""`bench sweep`, as it is typed."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.bench.conftest import made_up
from tests.cli.conftest import Run
from tests.conftest import free_port
from valkeyctl.bench.load.generator import Progress
from valkeyctl.bench.plan import Plan
from valkeyctl.bench.report import Report, report
from valkeyctl.errors import ServerReplyError

Measure = Callable[[Plan, object, Path, Callable[[Progress], None]], Report]
ROUNDS = 5
RATES = ("bench", "sweep", "rate", "100", "200", "400")


def made(plan: Plan, folder: Path, *, wrong: bool = False) -> Report:
    """Return the report of a run of *plan* that was made up."""
    plan = replace(plan, rounds=ROUNDS)
    blocks = [[[1.0 + 0.01 * (k % 7) for k in range(20)] for _ in range(ROUNDS)] for _ in plan.arms]
    return report(
        made_up(plan, blocks, folder=folder, failed=lambda _arm, index: wrong and index == 3)
    )


def playing(monkeypatch: pytest.MonkeyPatch, measure: Measure) -> None:
    """Let *measure* stand for the real runs of a sweep."""
    monkeypatch.setattr(importlib.import_module("valkeyctl.cli.bench.sweep"), "measure", measure)


def late_at_400(plan: Plan, _at: object, into: Path, _follow: object) -> Report:
    """Play *plan* as the product does, with a load generator that is late at 400 a second."""
    found = made(plan, into)
    return replace(found, refused="it was late") if plan.rate == 400 else found


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


def test_a_refused_value_makes_a_sweep_inconclusive(
    ctl: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Status 9: the value shows the load generator; it is marked, the others stand."""
    playing(monkeypatch, late_at_400)

    done = ctl(*RATES, "-o", "json")

    assert (done.status, done.envelope["status"]) == (9, "fail")
    points = done.data["points"]
    assert isinstance(points, list)
    assert {(one["text"], one["refused"]) for one in points} == {
        ("100", None),
        ("200", None),
        ("400", "it was late"),
    }
    assert done.data["incomplete"] is False


@pytest.mark.parametrize("failing", [200.0, 400.0])
def test_a_run_that_fails_gives_its_status_and_loses_nothing(
    ctl: Run, monkeypatch: pytest.MonkeyPatch, failing: float
) -> None:
    """The error's own; the values that were measured are printed and written."""

    def measure(plan: Plan, _at: object, into: Path, _follow: object) -> Report:
        if plan.rate == failing:
            raise ServerReplyError("every answer was 500")
        return made(plan, into)

    playing(monkeypatch, measure)

    done = ctl(*RATES, "-o", "json")

    assert (done.status, done.envelope["kind"]) == (3, "bench.sweep")
    failures = done.data["failures"]
    assert isinstance(failures, list)
    assert {(one["value"], one["code"]) for one in failures} == {(failing, "server")}
    points = done.data["points"]
    assert isinstance(points, list)
    assert {one["value"] for one in points} == {100.0, 200.0, 400.0} - {failing}
    written = json.loads(Path(str(done.data["sweep_json"])).read_text())
    assert written == done.data
    assert "incomplete: rate-" in done.err


@pytest.mark.parametrize(
    ("wrong", "error", "status"),
    [(True, None, 1), (False, KeyboardInterrupt(), 130), (False, None, 0)],
)
def test_the_status_says_how_a_sweep_ended(
    ctl: Run,
    monkeypatch: pytest.MonkeyPatch,
    wrong: bool,
    error: BaseException | None,
    status: int,
) -> None:
    """1 with wrong answers, 130 after Ctrl-C, else 0."""

    def measure(plan: Plan, _at: object, into: Path, _follow: object) -> Report:
        if error is not None and plan.rate == 400:
            raise error
        return made(plan, into, wrong=wrong)

    playing(monkeypatch, measure)

    done = ctl(*RATES)

    assert done.status == status
    assert "100" in done.out


def test_a_person_is_told_the_time_before_and_the_result_in_80_columns(
    ctl: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plan on standard error, before anything starts; the table on standard output."""
    playing(monkeypatch, late_at_400)

    done = ctl(*RATES)

    first = done.err.splitlines()[0]
    assert first.startswith(
        "sweep: api, rate 100, 200, 400, arms cached, uncached; 6 runs, about 1m"
    )
    # Of the last, which has a path, nothing can be folded.
    assert max(len(line) for line in done.out.splitlines()[:-1]) <= 80
    assert "REQUESTS/S" in done.out


def test_a_plan_starts_nothing(ctl: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """It lists the runs, and how long they take."""

    def measure(*_: object) -> Report:
        raise AssertionError("a run was started")

    playing(monkeypatch, measure)

    done = ctl("bench", "sweep", "users", "1", "2", "4", "8", "16", "--dry-run", "-o", "json")
    shown = ctl("bench", "sweep", "ttl", "1s", "2s", "--dry-run")

    runs = done.data["runs"]
    assert isinstance(runs, list)
    # Many values have one run each, the first a second one at the end.
    assert [one["values"] for one in runs] == [[1], [2], [4], [8], [16], [1]]
    assert 40 < float(str(done.data["seconds"])) < 90
    # Past the cache there is no TTL.
    assert "ttl 1s, 2s, arms cached; 4 runs" in shown.out
    assert "nothing was started" in shown.out


@pytest.mark.parametrize("words", [("rate", "100", "200"), ("users", "1", "2")])
def test_a_target_that_is_down_is_said_at_once(
    ctl: Run, home: Path, words: tuple[str, ...]
) -> None:
    """With the status of one bench run."""
    url = f"http://127.0.0.1:{free_port()}"

    done = ctl("bench", "sweep", *words, "--target", url, "--scenario", "api", "-o", "json")

    assert (done.status, done.error["code"]) == (3, "unreachable")
    assert url in done.error["message"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("memory", "8Mi"), "a sweep has 2 to 20 values"),
        (("memory", "8Mi", "4Mi"), "do not ascend"),
        (("memory", "8Mx", "9Mi"), "is not a size"),
        (("rate", "fast", "9"), "rate fast"),
        (("users", "1", "2", "--rate", "5"), "sets that itself"),
        (("rate", "1", "2", "--users", "5"), "sets that itself"),
        (("memory", "8Mi", "9Mi", "--arm", "a"), "sets that itself"),
        (("ttl", "1s", "2s", "--p99", "5ms"), "is of a sweep of rates"),
        (("rate", "1", "2", "--passes", "0"), "passes is 0"),
        (("ttl", "1s", "2s", "--gain", "0"), "gain is 0"),
        (("rate", "1", "2", "--gain", "1"), "is of a sweep of memory or TTLs"),
        (("rate", "1", "2", "--name", "size"), "is of a sweep of sizes"),
        (("memory", "8Mi", "9Mi", "--passes", "2"), "is of a sweep of anything but memory"),
        (("rate", "1", "2", "--duration", "1s"), "4 runs share 1 s of load"),
        (("size", "1Ki", "2Ki", "--scenario", "llm-chat"), "no one size"),
        (("size", "1Ki", "2Mi"), "at most 1Mi"),
        (("users", *(str(n) for n in range(1, 51))), "and 50 were given"),
        (("ttl", "1s", "2s", "--arm", "a=env:VALKEYCTL_SAMPLE_TTL=1s"), "which the sweep sets"),
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
