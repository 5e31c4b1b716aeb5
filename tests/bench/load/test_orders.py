"""What the parent tells its Locust child, by variables."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from valkeyctl.bench.load.orders import Orders, read_orders
from valkeyctl.bench.plan import Plan

LONGEST_VARIABLE = 128 * 1024


def test_a_scenario_with_large_bodies_reaches_the_child() -> None:
    """Linux starts no process with a variable of more than 128 KiB."""
    plan = Plan.of(scenario="api")
    large = dataclasses.replace(plan.scenario.requests[0], body="ä" * 300_000)
    scenario = dataclasses.replace(plan.scenario, requests=(large,))
    orders = Orders(dataclasses.replace(plan, scenario=scenario), ("http://h",), "s", Path(), 3)

    variables = orders.environment()

    assert max(len(name) + len(value) for name, value in variables.items()) < LONGEST_VARIABLE
    assert read_orders({**variables, "HOME": "/"}) == orders
