"""The model of a scenario: what it shows of itself, and what it says of its requests."""

from __future__ import annotations

import json

import pytest

from valkeyctl.bench.plan import Plan
from valkeyctl.bench.traffic.scenario import Keys, RequestTemplate, Scenario
from valkeyctl.bench.traffic.scenariofile import load_scenario, parse, shipped

TREE = {"name": "mine", "about": "x", "keys": {"count": 5}, "requests": [{"name": "a"}]}


def scenario(**changes: object) -> Scenario:
    """Return a scenario of one GET, with some fields changed."""
    return parse({**TREE, **changes}, "mine.yaml")  # type: ignore[dict-item]


@pytest.mark.parametrize("name", shipped())
def test_every_shipped_scenario_loads_and_survives_json(name: str) -> None:
    """What is packaged works, and the child reads what the parent wrote."""
    one = load_scenario(name)

    assert one.name == name
    assert parse(json.loads(json.dumps(one.to_json(show_secrets=True))), "x") == one
    # Nothing in them is secret, so what a report keeps is the whole of it.
    assert one.to_json() == one.to_json(show_secrets=True)


@pytest.mark.parametrize("name", shipped())
def test_no_shipped_scenario_is_answered_from_what_an_earlier_run_left(name: str) -> None:
    """Each asks for prompts or keys of its own run."""
    assert load_scenario(name).fresh


@pytest.mark.parametrize(
    ("request_", "fresh"),
    [
        ({"path": "/items/{key}"}, False),
        ({"path": "/items/{fresh_key}"}, True),
        ({"body": {"q": "{prompt}"}, "method": "POST"}, True),
        ({"headers": {"X-Run": "{salt}"}}, True),
        ({"path": "/items/{{fresh_key}}"}, False),
    ],
)
def test_a_request_is_fresh_when_no_other_run_sends_it(
    request_: dict[str, object], fresh: bool
) -> None:
    """What a cache remembers of an earlier run answers only what is asked again."""
    assert scenario(requests=[{"name": "a", **request_}]).fresh is fresh


SECRET = "hunter2"


def test_secrets_of_a_scenario_stay_out_of_json_and_repr() -> None:
    """Headers, variables and URLs that look secret are masked, in a plan as well."""
    one = scenario(
        requests=[{"name": "a", "headers": {"Authorization": f"Bearer {SECRET}"}}],
        env={"API_KEY": SECRET},
        arms=[{"name": "b", "url": f"http://u:{SECRET}@h", "env": {"TOKEN": SECRET}}],
    )
    plan = Plan(one, one.arms)

    assert SECRET not in json.dumps(one.to_json())
    assert SECRET not in json.dumps(plan.to_json())
    assert SECRET not in repr(one) + repr(plan)
    assert json.dumps(one.to_json(show_secrets=True)).count(SECRET) == 4
    # A masked plan still is one, for reports of finished runs.
    assert Plan.from_json(plan.to_json()).scenario.name == "mine"


def test_the_name_of_a_variable_is_no_secret() -> None:
    """Who reads a report learns where the credential came from, and not what it is."""
    headers = {"Authorization": "Bearer {env:MY_TOKEN}", "X-Api-Key": "{env:MY_KEY}"}
    one = scenario(requests=[{"name": "a", "headers": headers}])

    assert one.to_json()["requests"][0]["headers"] == headers  # type: ignore[index, call-overload]
    assert one.variables == {"MY_TOKEN", "MY_KEY"}


def test_a_secret_beside_a_placeholder_is_masked() -> None:
    """A prefix may be as secret as the rest."""
    one = scenario(requests=[{"name": "a", "headers": {"X-Api-Key": f"{SECRET}-{{key}}"}}])

    assert SECRET not in json.dumps(one.to_json())


def test_keys_of_a_trace_survive_json() -> None:
    """They have a file instead of a count."""
    one = scenario(keys={"popularity": "trace", "trace": "/t.csv"})

    assert one.keys == Keys(0, "trace", trace="/t.csv")
    assert parse(one.to_json(), "x") == one


def test_what_is_expected_of_json_survives_json() -> None:
    """Texts that look like other values stay texts."""
    expect = {"json": {"a": "{key}", "b": 1, "c": "1", "d": [True, None], "e": "{key:number}"}}
    one = scenario(requests=[{"name": "a", "expect": expect}])

    assert parse(one.to_json(), "x") == one
    assert dict(one.requests[0].expect.json)["c"] == '"1"'


def test_an_expectation_of_the_status_alone_does_not_look_at_the_body() -> None:
    """So that it costs nothing where nothing more is asked."""
    assert not RequestTemplate("a").expect.of_the_body
    assert (
        scenario(requests=[{"name": "a", "expect": {"same_for_key": True}}])
        .requests[0]
        .expect.of_the_body
    )
