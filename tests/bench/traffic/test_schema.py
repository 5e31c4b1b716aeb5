"""The JSON Schema that editors check a scenario by."""

from __future__ import annotations

import pytest
import yaml
from jsonschema import Draft202012Validator

from valkeyctl.bench.traffic.scenariofile import describe, shipped
from valkeyctl.bench.traffic.schema import scenario_schema

VALIDATOR = Draft202012Validator(scenario_schema())
GOOD = {
    "name": "x",
    "about": "x",
    "keys": {"count": 1},
    "requests": [{"name": "a", "body": {"q": ["{prompt}"]}}],
}


def test_the_schema_is_one() -> None:
    """By the schema of schemas."""
    Draft202012Validator.check_schema(scenario_schema())


@pytest.mark.parametrize("name", shipped())
def test_every_shipped_scenario_keeps_the_schema(name: str) -> None:
    """As it stands in its file, and as a run writes it down."""
    found = describe(name)

    VALIDATOR.validate(yaml.safe_load(found.source))
    VALIDATOR.validate(found.scenario.to_json())


@pytest.mark.parametrize(
    "change",
    [
        {"name": 5},
        {"extra": 1},
        {"keys": {"count": 0}},
        {"keys": {"count": 1, "popularity": "trace"}},
        {"requests": []},
        {"requests": [{"name": "a", "path": "x"}]},
        {"requests": [{"name": "a", "expect": {"status": "200"}}]},
        {"load": {"users": 0}},
        {"arms": [{"name": "a b"}]},
        {"during": {"kind": "flood"}},
        {"sizes": {"size": {"sigma": 1}}},
    ],
)
def test_the_schema_refuses_what_the_reader_refuses(change: dict[str, object]) -> None:
    """So that an editor marks it while it is typed."""
    VALIDATOR.validate(GOOD)

    assert not VALIDATOR.is_valid({**GOOD, **change})
