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
from valkeyctl.bench.traffic.scenariofile import load_scenario
from valkeyctl.bench.traffic.stream import stream
from valkeyctl.errors import UsageError


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
