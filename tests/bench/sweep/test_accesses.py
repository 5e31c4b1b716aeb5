"""What a cache is asked for, read from traces and drawn from scenarios."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from tests.bench.conftest import mooncake
from valkeyctl.bench.plan import Plan
from valkeyctl.bench.sweep.accesses import from_keys, from_scenario, from_trace
from valkeyctl.bench.traffic.scenario import Sizes
from valkeyctl.bench.traffic.scenariofile import load_scenario
from valkeyctl.bench.traffic.stream import stream
from valkeyctl.errors import UsageError
from valkeyctl.sample.origin import body_of


def test_requests_of_a_trace_are_one_access_each(tmp_path: Path) -> None:
    """Equal prompts are one key; times are the trace's, divided by the speed-up."""
    path = mooncake(tmp_path / "t.jsonl", [1, 2, 1, 3, 1], gap_ms=1000)

    found = from_trace(path, speedup=2.0)

    assert found.keys.tolist() == [0, 1, 0, 2, 0]
    assert found.times is not None
    assert found.times.tolist() == [0.0, 0.5, 1.0, 1.5, 2.0]
    assert found.values.tolist() == [480, 480, 480]
    assert "4 bytes a token" in found.assumed


def test_blocks_of_a_trace_are_an_access_each(tmp_path: Path) -> None:
    """In the order of the prompt."""
    path = mooncake(tmp_path / "t.jsonl", [1, 2])

    found = from_trace(path, view="blocks", value=100)

    assert found.keys.tolist() == [0, 1, 0, 2]
    assert (found.values.tolist(), found.assumed) == ([100] * 3, "")


def test_sizes_of_a_trace_are_taken_from_it(tmp_path: Path) -> None:
    """A CSV with a size for each key, and without times."""
    path = tmp_path / "t.csv"
    path.write_text("key,size\na,10\nb,20\na,10\n")

    found = from_trace(path)

    assert found.values.tolist() == [10, 20]
    assert (found.times, found.assumed, found.seconds) == (None, "", None)


def test_a_trace_without_identity_has_no_hit_ratio(tmp_path: Path) -> None:
    """Sizes and arrivals alone say nothing of it."""
    path = tmp_path / "t.csv"
    path.write_text(
        "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.9799600,4808,10\n"
    )

    with pytest.raises(UsageError, match="does not say what was asked for"):
        from_trace(path)


def test_a_trace_without_blocks_is_refused(tmp_path: Path) -> None:
    """When its blocks were asked for."""
    path = tmp_path / "t.jsonl"
    path.write_text(json.dumps({"time": 0, "key": "a"}) + "\n")

    with pytest.raises(UsageError, match="no blocks"):
        from_trace(path, view="blocks")


@pytest.mark.parametrize("name", ["llm-chat", "api"])
def test_a_scenario_is_asked_for_what_a_run_asks_for(name: str) -> None:
    """The same keys in the same order, so that a curve is of the run's own traffic."""
    plan = Plan.of(scenario=name, seed=7)
    asked = [request.key for request in islice(stream(plan), 500)]
    numbered: dict[object, int] = {}

    found = from_scenario(load_scenario(name), requests=500, seed=7)

    assert found.keys.tolist() == [numbered.setdefault(key, len(numbered)) for key in asked]


@pytest.mark.parametrize("name", ["api", "eviction", "stampede"])
def test_items_of_the_sample_application_have_the_size_that_a_run_gives_them(name: str) -> None:
    """To the byte: what the application answers to the run's own requests."""
    plan = Plan.of(scenario=name, seed=7)
    answers: dict[int, int] = {}
    for request in islice(stream(plan), 300):
        key, _, size = request.path.removeprefix("/items/").partition("?bytes=")
        answers.setdefault(request.key, len(body_of(key, int(size))))

    found = from_scenario(load_scenario(name), requests=300, seed=7)

    assert found.values.tolist() == list(answers.values())
    assert found.assumed == ""


def test_answers_of_a_scenario_have_each_their_own_length() -> None:
    """As long as the run tells the simulated LLM; what a token takes is assumed, and said."""
    plan = Plan.of(scenario="llm-chat", seed=7)
    tokens: dict[int, int] = {}
    for request in islice(stream(plan), 300):
        tokens.setdefault(request.key, int(dict(request.headers)["X-Simulate-Output-Tokens"]))

    found = from_scenario(load_scenario("llm-chat"), requests=300, seed=7)

    assert found.values.tolist() == [400 + 4 * one for one in tokens.values()]
    assert "4 bytes a token" in found.assumed


def test_an_application_of_the_user_is_taken_to_store_the_size_that_it_is_asked_for() -> None:
    """The only size of the scenario that is no number of tokens; it is said."""
    scenario = replace(
        load_scenario("api"), application="none", sizes={"length": Sizes(500.0, 0.0, 500)}
    )

    found = from_scenario(scenario, requests=100)

    assert set(found.values.tolist()) == {500}
    assert "the scenario's length says" in found.assumed


def test_a_scenario_without_sizes_says_what_was_taken() -> None:
    """A KiB; nothing is known."""
    scenario = replace(load_scenario("api"), application="none", sizes={})

    found = from_scenario(scenario, requests=100)

    assert set(found.values.tolist()) == {1024}
    assert "each value takes 1024 bytes" in found.assumed


def test_a_size_that_is_given_is_taken() -> None:
    """For all values, and nothing is assumed."""
    found = from_scenario(load_scenario("api"), requests=100, value=10)

    assert (set(found.values.tolist()), found.assumed) == ({10}, "")


def test_keys_of_a_trace_bring_their_sizes(tmp_path: Path) -> None:
    """Into a scenario that asks for them; where the trace says none, it is drawn."""
    path = tmp_path / "t.csv"
    path.write_text("key,size\na,100\nb,200\na,100\n")
    scenario = load_scenario("api")
    keys = replace(scenario.keys, popularity="trace", trace=str(path), count=0, once=0.0)

    found = from_scenario(replace(scenario, keys=keys), requests=100)

    assert found.keys.tolist() == [0, 1, 0]
    assert found.values.tolist() == [len(body_of("a", 100)), len(body_of("b", 200))]


def test_a_key_whose_size_changes_is_said(tmp_path: Path) -> None:
    """A cache would hold the first one until it is evicted."""
    path = tmp_path / "t.csv"
    path.write_text("key,size\na,10\na,20\nb,5\n")

    found = from_trace(path)

    assert found.values.tolist() == [10, 5]
    assert "the first size of each of 1 key with several sizes" in found.assumed


def test_kinds_of_requests_are_cached_apart() -> None:
    """The same key of another kind is another entry."""
    scenario = load_scenario("api")
    two = replace(scenario, requests=(scenario.requests[0], scenario.requests[0]))

    assert (
        from_scenario(two, requests=500).distinct > from_scenario(scenario, requests=500).distinct
    )


def test_no_access_is_no_stream() -> None:
    """Said, not divided by."""
    with pytest.raises(UsageError, match="no access"):
        from_keys([])


def test_a_rate_spaces_accesses_evenly() -> None:
    """From zero."""
    found = from_keys([1, 2, 1], rate=4.0)

    assert found.times is not None
    assert np.array_equal(found.times, [0.0, 0.25, 0.5])
