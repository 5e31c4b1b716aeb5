"""The requests of a finished run, made again from what it wrote down."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

from tests.bench.conftest import mooncake
from valkeyctl.bench.arm import Arm
from valkeyctl.bench.load.blocks import WARMUP, Stage
from valkeyctl.bench.load.record import SAMPLES_FILE, Recorder
from valkeyctl.bench.plan import Plan
from valkeyctl.bench.recorded import recorded_requests
from valkeyctl.bench.runfile import RUN_VERSION
from valkeyctl.bench.traffic.stream import stream
from valkeyctl.errors import FolderError, NotFoundError, UsageError


def write_run(folder: Path, plan: Plan, *, sent: int, run_id: str = "", gateways: int = 1) -> None:
    """Write what a run of *plan* leaves behind that has sent so many requests in each arm."""
    facts = {"run_id": run_id, "gateways": [{}] * gateways}
    document = {"version": RUN_VERSION, "plan": plan.to_json(), "facts": facts}
    (folder / "run.json").write_text(json.dumps(document))
    recorder = Recorder(folder)
    stages = [Stage(0, WARMUP, 999), Stage(0, 0, sent), Stage(1, 0, sent)]
    for stage in stages:
        for index in range(stage.size):
            recorder.write(
                *(stage, index),
                intended=0.0,
                start=0.0,
                end=1.0,
                status=200,
                outcome=1,
                size=1,
                error=None,
                queued=False,
            )
    recorder.close()


def test_each_request_comes_once_and_the_most_frequent_first(tmp_path: Path) -> None:
    """They are those that the plan's stream has, as far as the run came."""
    plan = Plan.of(seed=7)
    write_run(tmp_path, plan, sent=500)

    found = recorded_requests(tmp_path)

    sent = Counter(request.body for request in islice(stream(plan), 500))
    assert {one.body: one.times for one in found} == sent
    assert [one.times for one in found] == sorted(sent.values(), reverse=True)
    assert {one.path for one in found} == {plan.scenario.requests[0].path}
    assert all(json.loads(one.body)["messages"] for one in found)
    assert "X-Simulate-Input-Tokens" in dict(found[0].headers)


def test_a_run_on_an_application_has_prompts_of_its_own(tmp_path: Path) -> None:
    """Its id was in each of them, for the application might remember earlier runs."""
    write_run(tmp_path, Plan.of(), sent=10, run_id="abcd1234", gateways=0)

    assert all(b"abcd1234" in one.body for one in recorded_requests(tmp_path))


def test_a_replayed_trace_is_read_again(tmp_path: Path) -> None:
    """Its prompts by how often they were asked, as far as the run came."""
    trace = mooncake(tmp_path / "trace.jsonl", [5, 6, 6, 7, 6, 5, 9])
    write_run(tmp_path, Plan.of(trace=trace, rounds=1), sent=6)

    assert [one.times for one in recorded_requests(tmp_path)] == [3, 2, 1]

    trace.unlink()
    with pytest.raises(FolderError, match="cannot be read"):
        recorded_requests(tmp_path)


def test_the_secrets_of_an_arm_are_not_among_them(tmp_path: Path) -> None:
    """Nor would they be worth anything: a run keeps them as ***."""
    plan = Plan.of(arms=[Arm("a", headers=(("Authorization", "hunter2"),)), Arm("b")])
    write_run(tmp_path, plan, sent=5)

    assert all("Authorization" not in dict(one.headers) for one in recorded_requests(tmp_path))


def test_requests_that_read_come_back_as_they_were_sent(tmp_path: Path) -> None:
    """With their method and path, and without a body."""
    write_run(tmp_path, Plan.of(scenario="api", seed=3), sent=200)

    found = recorded_requests(tmp_path)

    assert {(one.method, one.body) for one in found} == {("GET", b"")}
    assert sum(one.times for one in found) == 200
    assert all(one.path.startswith("/items/") for one in found)


def test_a_secret_header_of_the_scenario_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run keeps it as ***; one that names a variable is read from there again."""
    headers = (("Authorization", "Bearer hunter2"), ("X-Api-Key", "{env:BENCH_KEY}"))
    plan = Plan.of(scenario="api")
    request = replace(plan.scenario.requests[0], headers=headers)
    write_run(tmp_path, replace(plan, scenario=replace(plan.scenario, requests=(request,))), sent=1)
    assert "hunter2" not in (tmp_path / "run.json").read_text()

    monkeypatch.delenv("BENCH_KEY", raising=False)
    with pytest.raises(UsageError, match="BENCH_KEY"):
        recorded_requests(tmp_path)
    monkeypatch.setenv("BENCH_KEY", "k")

    assert recorded_requests(tmp_path)[0].headers == (("X-Api-Key", "k"),)


def test_a_torn_record_is_left_out(tmp_path: Path) -> None:
    """A run that was killed may have half of one at its end."""
    write_run(tmp_path, Plan.of(), sent=20)
    samples = tmp_path / SAMPLES_FILE
    samples.write_bytes(samples.read_bytes()[:-60])  # the last record, and a part of another

    assert sum(one.times for one in recorded_requests(tmp_path)) == 20


def test_a_folder_without_a_run_is_one_sentence(tmp_path: Path) -> None:
    """Empty, of another version, or of a run that ended before it measured anything."""
    with pytest.raises(NotFoundError, match="holds no benchmark run"):
        recorded_requests(tmp_path)
    write_run(tmp_path, Plan.of(), sent=0)
    with pytest.raises(NotFoundError, match="no request of the run"):
        recorded_requests(tmp_path)
    (tmp_path / SAMPLES_FILE).unlink()
    with pytest.raises(NotFoundError, match="no request of the run"):
        recorded_requests(tmp_path)
    for text in ("{", '{"version": 1}', "[]"):
        (tmp_path / "run.json").write_text(text)
        with pytest.raises(FolderError, match="no benchmark run of this version"):
            recorded_requests(tmp_path)
