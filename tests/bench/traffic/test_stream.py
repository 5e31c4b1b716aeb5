"""The request stream: the same plan, the same bytes."""

from __future__ import annotations

import json
import tracemalloc
from collections import Counter
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

import valkeyctl.bench.traffic.stream
from tests.bench.conftest import mooncake
from valkeyctl.bench.plan import Plan
from valkeyctl.bench.traffic.scenario import Keys, RequestTemplate
from valkeyctl.bench.traffic.scenariofile import load_scenario
from valkeyctl.bench.traffic.stream import stream, survey, warmup_stream
from valkeyctl.errors import UsageError


def test_the_same_seed_gives_the_same_stream() -> None:
    """Another seed gives another one."""
    first, again, other = (list(islice(stream(Plan.of(seed=seed)), 500)) for seed in (7, 7, 8))

    assert first == again
    assert [r.body for r in first] != [r.body for r in other]


def test_the_salt_changes_the_text_and_not_the_order() -> None:
    """A run on a used application asks the same questions in the same order."""
    plan = Plan.of()
    plain, salted = (list(islice(stream(plan, salt=salt), 500)) for salt in ("", "run"))

    assert [r.key for r in plain] == [r.key for r in salted]
    assert [r.headers for r in plain] == [r.headers for r in salted]


def test_prompts_follow_zipf() -> None:
    """With exponent 1.1 the first of 100 prompts is 2**1.1 times the second; some come once."""
    drawn = Counter(r.key for r in islice(stream(Plan.of()), 100_000))

    assert drawn[0] / drawn[1] == pytest.approx(2**1.1, rel=0.06)
    assert sum(times > 1 for times in drawn.values()) == 100
    assert sum(times == 1 for times in drawn.values()) == pytest.approx(20_000, rel=0.03)


def test_equal_prompts_are_equal_bodies_and_headers() -> None:
    """A repeat differs in nothing but its place."""
    seen: dict[int, tuple[object, object]] = {}
    for request in islice(stream(Plan.of()), 3000):
        known = seen.setdefault(request.key, (request.body, request.headers))

        assert known == (request.body, request.headers)
    assert len({body for body, _ in seen.values()}) == len(seen)


def test_the_salt_and_the_warm_up_share_no_prompt_with_the_stream() -> None:
    """What another run, or the warm-up, has stored answers nothing of this one."""
    plan = Plan.of()
    streams = (
        stream(plan),
        stream(plan, salt="run"),
        warmup_stream(plan),
        warmup_stream(plan, salt="a"),
    )

    bodies = [{r.body for r in islice(one, 2000)} for one in streams]

    for number, one in enumerate(bodies):
        for other in bodies[number + 1 :]:
            assert not one & other


def test_a_trace_gives_identity_by_its_blocks_alone(tmp_path: Path) -> None:
    """Lengths travel in headers, so equal prompts of different recorded length are equal."""
    plan = Plan.of(trace=mooncake(tmp_path / "t.jsonl", [1, 2, 1, 3, 1]), speedup=2.0, rounds=1)

    requests = list(stream(plan))

    assert requests[0].body == requests[2].body == requests[4].body
    assert len({r.body for r in requests}) == 3
    assert [r.key == requests[0].key for r in requests] == [True, False, True, False, True]
    assert requests[0].headers != requests[2].headers
    assert [r.due for r in requests] == [0.0, 0.005, 0.010, 0.015, 0.020]
    assert json.loads(requests[0].body)["temperature"] == 0


def test_a_trace_without_identity_repeats_nothing(tmp_path: Path) -> None:
    """Rows of the Azure trace may be alike in every field and are still no repeats."""
    path = tmp_path / "azure.csv"
    row = "2023-11-16 18:15:46.6805900,374,44"
    path.write_text(f"TIMESTAMP,ContextTokens,GeneratedTokens\n{row}\n{row}\n{row}")
    plan = Plan.of(trace=path, rounds=1)

    requests = list(stream(plan))

    assert len({r.body for r in requests}) == 3
    assert survey(plan).has_identity is False


def test_the_survey_knows_the_truth_of_a_trace(tmp_path: Path) -> None:
    """Requests, different prompts and length are known before the first is sent."""
    path = mooncake(tmp_path / "t.jsonl", [1, 2, 1, 3, 1], gap_ms=1000)

    whole = survey(Plan.of(trace=path, speedup=2.0, rounds=1))
    part = survey(Plan.of(trace=path, speedup=2.0, rounds=1, requests=3))

    assert (whole.requests, whole.distinct, whole.span) == (5, 3, 2.0)
    assert (part.requests, part.distinct, part.span) == (3, 2, 1.0)


def test_each_worker_has_its_own_requests_of_one_stream() -> None:
    """Together they send what one would, each request once."""
    plan = Plan.of(rate=100.0, requests=1000)

    whole = list(stream(plan))
    parts = [list(stream(plan, worker=number, workers=3)) for number in range(3)]

    assert sorted((r for part in parts for r in part), key=lambda r: r.index) == whole
    assert [len(part) for part in parts] == [334, 333, 333]
    with pytest.raises(ValueError, match="worker 3 is none of 3"):
        stream(plan, worker=3, workers=3)


def test_workers_share_a_trace(tmp_path: Path) -> None:
    """As they share what is drawn, whether it is replayed or gives its keys alone."""
    path = mooncake(tmp_path / "t.jsonl", [1, 2, 1, 3, 1])

    for plan in (Plan.of(trace=path, rounds=1), ordered(path)):
        parts = [list(stream(plan, worker=number, workers=2)) for number in range(2)]

        assert [[r.index for r in part] for part in parts] == [[0, 2, 4], [1, 3]]


def ordered(trace: Path, **wish: object) -> Plan:
    """Return a plan whose keys are those of *trace*, in its order."""
    scenario = load_scenario("api")
    keys = Keys(0, "trace", trace=str(trace))
    return replace(Plan.of(rounds=1, scenario="api"), scenario=replace(scenario, keys=keys), **wish)  # type: ignore[arg-type]


def test_a_trace_without_times_gives_its_keys_in_order(tmp_path: Path) -> None:
    """With the arrivals, or the users, of the plan; sizes are the trace's, where it has them."""
    path = tmp_path / "t.csv"
    path.write_text("key,size\nb c,10\na,20\nb c,\n")

    first, second, third = stream(ordered(path, rate=10.0, arrivals="constant"))

    assert (first.path, second.path) == ("/items/b%20c?bytes=10", "/items/a?bytes=20")
    assert third.path.startswith("/items/b%20c?bytes=")
    assert (first.due, second.due, third.due) == (0.0, 0.1, 0.2)
    assert first.key == third.key != second.key
    assert [r.due for r in stream(ordered(path, rate=None))] == [None] * 3
    known = survey(ordered(path))
    assert (known.requests, known.distinct, known.span, known.has_identity) == (3, 2, None, True)


def test_a_trace_without_times_cannot_be_replayed(tmp_path: Path) -> None:
    """The message says what it can be used for."""
    path = tmp_path / "t.csv"
    path.write_text("key\na\n")

    with pytest.raises(UsageError, match=r"t\.csv:2: has no time") as caught:
        survey(Plan.of(trace=path, rounds=1))

    assert "popularity: trace" in str(caught.value.hint)


def test_a_trace_without_keys_gives_none(tmp_path: Path) -> None:
    """Nor can it be warmed up with."""
    path = tmp_path / "t.csv"
    path.write_text("time\n1\n")

    with pytest.raises(UsageError, match="does not say what was asked for"):
        survey(ordered(path))


def test_the_warm_up_of_a_trace_never_ends(tmp_path: Path) -> None:
    """Its keys come again and again, in words of the warm-up."""
    path = tmp_path / "t.csv"
    path.write_text("key\na\nb\n")

    found = [r.path for r in islice(warmup_stream(ordered(path)), 5)]

    assert len(set(found)) == 2
    assert found[0] == found[2] == found[4]
    assert not set(found) & {r.path for r in stream(ordered(path))}


def test_a_replay_warms_up_with_drawn_keys(tmp_path: Path) -> None:
    """Even when the scenario has the keys of another trace."""
    path = mooncake(tmp_path / "t.jsonl", [1, 2])
    plan = replace(ordered(tmp_path / "none.csv", rate=None), trace=path)

    found = {r.path for r in islice(warmup_stream(plan), 50)}

    assert len(found) > 40


def test_kinds_come_by_their_weights() -> None:
    """Those of weight 0 never, whatever stands beside them."""
    scenario = load_scenario("api")
    kinds = tuple(
        RequestTemplate(f"r{number}", path="/{key}", weight=weight)
        for number, weight in enumerate((0.0, 3.0, 1.0, 0.0))
    )
    plan = replace(Plan.of(scenario="api"), scenario=replace(scenario, requests=kinds))

    found = Counter(r.kind for r in islice(stream(plan), 20_000))

    assert set(found) == {1, 2}
    assert found[1] / 20_000 == pytest.approx(0.75, abs=0.015)


def test_a_trace_is_asked_for_in_all_kinds(tmp_path: Path) -> None:
    """Drawn by their weights, as they are without a trace."""
    scenario = load_scenario("api")
    kinds = (RequestTemplate("a", path="/a"), RequestTemplate("b", path="/b"))
    path = mooncake(tmp_path / "t.jsonl", range(200))
    plan = Plan.of(trace=path, rounds=1)

    found = Counter(
        r.kind for r in stream(replace(plan, scenario=replace(scenario, requests=kinds)))
    )

    assert 60 < found[0] < 140


def test_answers_of_the_warm_up_are_not_held_against_each_other() -> None:
    """Its keys have other words, and what they answer is no first answer of the run."""
    plan = Plan.of(scenario="api")

    assert next(stream(plan)).expect.same_for_key
    assert not next(warmup_stream(plan)).expect.same_for_key


def test_a_variable_that_is_not_set_is_said_before_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The survey asks for every one that a request needs."""
    monkeypatch.delenv("BENCH_TOKEN", raising=False)
    scenario = load_scenario("api")
    request = RequestTemplate("a", headers=(("Authorization", "Bearer {env:BENCH_TOKEN}"),))
    plan = replace(Plan.of(scenario="api"), scenario=replace(scenario, requests=(request,)))

    with pytest.raises(UsageError, match="BENCH_TOKEN"):
        survey(plan)
    monkeypatch.setenv("BENCH_TOKEN", "hunter2")

    survey(plan)
    sent = next(stream(plan))
    assert sent.headers == (("Authorization", "Bearer hunter2"),)
    assert "hunter2" not in repr(sent)
    assert "hunter2" not in json.dumps(plan.to_json(show_secrets=True))


def test_requests_for_rare_keys_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream of large bodies, all different, takes the memory of a few."""
    monkeypatch.setattr(valkeyctl.bench.traffic.stream, "_KEPT_BYTES", 2**20)
    scenario = load_scenario("api")
    request = RequestTemplate("a", method="POST", body="{text:100kb}")
    keys = Keys(10**9, "uniform")
    plan = replace(
        Plan.of(scenario="api"), scenario=replace(scenario, requests=(request,), keys=keys)
    )
    tracemalloc.start()
    try:
        for sent in islice(stream(plan), 100):
            assert len(sent.body) == 102_400
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert most < 2 * 2**20


MOONCAKE = Path(__file__).parents[4] / "shared/traces/mooncake_conversation.jsonl"


@pytest.mark.skipif(not MOONCAKE.exists(), reason="the published trace is not here")
def test_mooncake_repeats_118_of_12031_prompts() -> None:
    """The truth that a cache without bounds must reach."""
    known = survey(Plan.of(trace=MOONCAKE))

    assert (known.requests, known.distinct) == (12_031, 12_031 - 118)
