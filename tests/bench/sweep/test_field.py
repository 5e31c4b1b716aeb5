"""The values of a sweep, and the runs that they become."""

from __future__ import annotations

from dataclasses import replace

import pytest

from valkeyctl.bench.arm import parse_arm
from valkeyctl.bench.plan import Plan
from valkeyctl.bench.sweep.field import Field, Step, parse_values, steps
from valkeyctl.errors import UsageError


def planned(
    field: Field, *texts: str, scenario: str = "api", **options: object
) -> tuple[Step, ...]:
    """Return the runs of a sweep of 40 seconds."""
    plan = Plan.of(scenario=scenario, duration=40.0)
    return steps(field, parse_values(field, texts), plan, **options)  # type: ignore[arg-type]  # named as its options


def test_memory_is_arms_of_one_run() -> None:
    """Each on a server of its own; a policy that evicts, unless the scenario has one."""
    (step,) = planned("memory", "8Mi", "16mb")

    assert [(arm.name, dict(arm.server)) for arm in step.plan.arms] == [
        ("8Mi", {"maxmemory": "8388608", "maxmemory-policy": "allkeys-lru"}),
        ("16mb", {"maxmemory": "16777216", "maxmemory-policy": "allkeys-lru"}),
    ]
    assert step.values["16mb"].number == 16 * 2**20
    assert step.plan.duration == 40.0


def test_a_policy_of_the_scenario_stays() -> None:
    """The sweep changes the memory alone."""
    plan = Plan.of(scenario="eviction")
    plan = replace(plan, scenario=replace(plan.scenario, server=(("maxmemory-policy", "x"),)))

    (step,) = steps("memory", parse_values("memory", ["2Mi", "4Mi"]), plan)

    assert dict(step.plan.arms[0].server) == {"maxmemory": "2097152"}


def test_a_ttl_has_runs_of_its_own() -> None:
    """Entries age while other arms play; exact for the sample application, by its variable."""
    found = planned("ttl", "500ms", "30d", passes=1)

    assert [step.ttl for step in found] == [0.5, 2_592_000, 0.5]
    assert [dict(step.plan.scenario.env)["VALKEYCTL_SAMPLE_TTL"] for step in found] == [
        "0.5",
        "2592000",
        "0.5",
    ]


def test_the_ttl_of_the_gateway_is_an_option() -> None:
    """It has no variable for it."""
    found = planned("ttl", "1s", "1m", scenario="llm-chat", passes=2)

    assert [step.ttl for step in found] == [1.0, 60.0, 60.0, 1.0]
    assert not found[0].plan.scenario.env


def test_an_arm_that_sets_the_ttl_is_refused() -> None:
    """It would win over the sweep."""
    plan = Plan.of(scenario="api", arms=[parse_arm("a=env:VALKEYCTL_SAMPLE_TTL=1s")])

    with pytest.raises(UsageError, match="arm 'a' sets VALKEYCTL_SAMPLE_TTL"):
        steps("ttl", parse_values("ttl", ["1s", "2s"]), plan)


def test_rates_go_up_and_down_in_turn() -> None:
    """What drifts meets low and high values alike; the time is shared."""
    found = planned("rate", "10", "20", "40", passes=2)

    assert [step.plan.rate for step in found] == [10, 20, 40, 40, 20, 10]
    assert {round(step.plan.duration, 3) for step in found} == {6.667}
    assert len({step.name for step in found}) == 6


@pytest.mark.parametrize("passes", [1, 3])
def test_the_first_value_is_played_last(passes: int) -> None:
    """Beginning and end of the sweep can be compared."""
    found = planned("rate", "10", "20", passes=passes)

    assert found[0].plan.rate == found[-1].plan.rate == 10
    assert len(found) == 2 * passes + 1
    assert len({step.name for step in found}) == len(found)


def test_users_are_a_closed_loop() -> None:
    """Also where the scenario has a rate."""
    found = planned("users", "1", "8", passes=1)

    assert [(step.plan.users, step.plan.load_model) for step in found] == [
        (1, "closed"),
        (8, "closed"),
        (1, "closed"),
    ]


def test_size_sets_a_size_of_the_scenario() -> None:
    """Every key has it then."""
    found = planned("size", "1Ki", "64Ki", passes=1)

    sizes = [step.plan.scenario.sizes["size"] for step in found]
    assert [(one.median, one.sigma) for one in sizes] == [(1024, 0), (65_536, 0), (1024, 0)]


def test_an_item_that_the_sample_application_does_not_have_is_refused() -> None:
    """Before anything starts; an application of the user's may have it."""
    with pytest.raises(UsageError, match="at most 1Mi"):
        planned("size", "1Ki", "2Mi")

    assert planned("size", "1Ki", "2Mi", url="http://127.0.0.1:1")


@pytest.mark.parametrize(
    ("scenario", "name", "message"),
    [
        ("llm-chat", "", "no one size"),
        ("api", "tokens", "no size 'tokens'"),
    ],
)
def test_a_size_that_is_not_there_is_refused(scenario: str, name: str, message: str) -> None:
    """With those that are."""
    with pytest.raises(UsageError, match=message):
        planned("size", "1Ki", "2Ki", scenario=scenario, placeholder=name)


def test_the_ttl_of_a_foreign_application_cannot_be_set() -> None:
    """Bench does not start it."""
    with pytest.raises(UsageError, match="does not start"):
        planned("ttl", "1s", "2s", url="http://127.0.0.1:1")


@pytest.mark.parametrize(
    ("field", "texts", "message"),
    [
        ("memory", ["8Mi"], "has 2 to 20 values, and 1 was given"),
        ("users", [str(n) for n in range(1, 51)], "and 50 were given"),
        ("memory", ["16Mi", "8Mi"], "do not ascend: 16Mi, then 8Mi"),
        ("memory", ["8Mx", "16Mi"], "is not a size"),
        ("memory", ["8", "16Mi"], "memory is 8"),
        ("ttl", ["1x", "2s"], "is not a duration"),
        ("rate", ["fast", "2"], "could not convert"),
        ("rate", ["nan", "2"], "rate is nan"),
        ("users", ["1.5", "2"], "users is 1.5"),
        ("users", ["inf", "inf"], "users is inf"),
        ("depth", ["1", "2"], "nothing sweeps 'depth'"),
    ],
)
def test_values_that_cannot_be_meant_are_refused(
    field: str, texts: list[str], message: str
) -> None:
    """By name, with what is allowed."""
    with pytest.raises(UsageError, match=message):
        parse_values(field, texts)  # type: ignore[arg-type]  # wrong on purpose
