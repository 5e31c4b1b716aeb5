"""What a run may be asked for, and how a wrong wish is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from valkeyctl.bench.arm import BYPASS, DEFAULT_ARMS, Arm, merge_arms, parse_arm
from valkeyctl.bench.plan import Plan
from valkeyctl.errors import UsageError


def test_an_arm_is_made_of_its_parts_in_any_number_of_options() -> None:
    """Parts of the same name become one arm, in order of first mention."""
    texts = ["a=header:X-Mode:fast: yes", "b=env:TTL=5", "a=env:A=b=c", "a=url:http://h:1/x/"]

    arms = merge_arms(parse_arm(text) for text in texts)

    assert arms == (
        Arm("a", (("X-Mode", "fast: yes"),), (("A", "b=c"),), "http://h:1/x"),
        Arm("b", env=(("TTL", "5"),)),
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "=header:A:b",
        "a b=env:A=b",
        "a=header:NoValue",
        "a=header:Bad Name:x",
        "a=header:X:line\nbreak",
        "a=env:1A=b",
        "a=env:NOVALUE",
        "a=url:ftp://h",
        "a=url:h:80",
        "a=url:http://h:99999",
        "a=file:x",
    ],
)
def test_an_arm_of_another_form_is_refused(text: str) -> None:
    """The message comes with the three forms that are allowed."""
    with pytest.raises(UsageError) as caught:
        parse_arm(text)

    assert caught.value.hint is not None


def test_a_url_with_a_password_is_not_repeated() -> None:
    """A wrong URL may hold a secret, so the message leaves it out."""
    with pytest.raises(UsageError) as caught:
        parse_arm("a=url:ftp://user:hunter2@host/")

    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a=url:http://h/x?q=1", "has a query or a fragment"),
        ("a=url:http://h/x#part", "has a query or a fragment"),
        ("a=header:X:\u00e4", "printable ASCII"),
        ("a b=env:A=b", "A-Z a-z 0-9"),
        ("a" * 41, "1 to 40"),
    ],
)
def test_what_is_wrong_with_an_arm_is_said(text: str, said: str) -> None:
    """Not only that something is."""
    with pytest.raises(UsageError, match=said):
        parse_arm(text)


def test_an_arm_with_two_urls_is_refused() -> None:
    """Nobody can say which of them was meant."""
    with pytest.raises(UsageError, match="two URLs"):
        merge_arms([parse_arm("a=url:http://x"), parse_arm("a=url:http://y")])


def test_without_arms_the_cache_is_compared_with_its_absence() -> None:
    """The uncached arm sends the header that the gateway knows, and is the baseline."""
    plan = Plan.of()

    assert plan.arms == DEFAULT_ARMS
    assert plan.arms[1].headers == (BYPASS,)
    assert plan.baseline == "uncached"


def test_the_baseline_is_the_first_arm_when_none_or_several_bypass() -> None:
    """Only a single arm past the cache stands out."""
    plain = (Arm("a"), Arm("b"))
    several = (Arm("a"), Arm("b", (BYPASS,)), Arm("c", (BYPASS, ("X", "y"))))

    assert Plan.of(arms=plain).baseline == "a"
    assert Plan.of(arms=several).baseline == "a"


@pytest.mark.parametrize(
    ("wish", "named"),
    [
        ({"rounds": 0}, "rounds"),
        ({"users": 0}, "users"),
        ({"duration": 0.0}, "duration"),
        ({"duration": float("nan")}, "duration"),
        ({"seed": -1}, "seed"),
        ({"speedup": 0.0}, "speedup"),
        ({"rate": 0.0}, "rate"),
        ({"rate": float("inf")}, "rate"),
        ({"requests": 5, "rounds": 10}, "requests"),
        ({"warmup": 0.0}, "warm-up"),
        ({"rate": 5.0, "trace": Path("t.jsonl")}, "trace"),
        ({"scenario": "nothing"}, "scenario"),
    ],
)
def test_a_value_that_cannot_be_meant_is_named(wish: dict[str, object], named: str) -> None:
    """The message names the option and the value."""
    with pytest.raises(UsageError, match=named):
        Plan.of(**wish)  # type: ignore[arg-type]


def test_a_trace_or_a_rate_makes_an_open_loop() -> None:
    """All else is a closed loop of users."""
    assert Plan.of().load_model == "closed"
    assert Plan.of(rate=10.0).load_model == "open"
    assert Plan.of(trace=Path("t.jsonl")).load_model == "open"


def test_a_plan_survives_json() -> None:
    """What the child is told is what the parent meant."""
    arms = merge_arms([parse_arm("a=header:Authorization:Bearer x"), parse_arm("b=url:http://h")])
    plan = Plan.of(arms=arms, trace=Path("t.jsonl"), requests=500)

    assert Plan.from_json(plan.to_json(show_secrets=True)) == plan


def test_secrets_of_arms_stay_out_of_json_and_repr() -> None:
    """Files and logs show which header was sent, not what it held."""
    texts = ["a=header:Authorization:hunter2", "a=env:API_KEY=hunter2"]
    url = "a=url:http://user:hunter2@host"
    plan = Plan.of(arms=[parse_arm(text) for text in (*texts, url)])

    assert "hunter2" not in str(plan.to_json())
    assert "hunter2" not in repr(plan)
    assert "Authorization" in str(plan.to_json())


def test_the_baseline_may_be_chosen_or_named_uncached() -> None:
    """An application's own bypass is not known to us; the arm's name is."""
    own = [Arm("cached"), Arm("uncached", headers=(("X-No-Cache", "1"),))]
    named = Plan.of(arms=own)

    assert named.baseline == "uncached"
    assert Plan.from_json(named.to_json()).baseline == "uncached"
    chosen = Plan.of(arms=own, against="cached")
    assert chosen.baseline == "cached"
    assert Plan.from_json(chosen.to_json()).baseline == "cached"
    with pytest.raises(UsageError, match="no arm 'of' to compare with"):
        Plan.of(arms=own, against="of")


def test_the_masked_plan_still_knows_its_baseline() -> None:
    """The bypass header is no secret, or a re-rendered report would compare wrongly."""
    plan = Plan.from_json(Plan.of().to_json())

    assert plan.baseline == "uncached"


def test_a_scenario_may_want_longer_blocks() -> None:
    """Fewer rounds then, but five; who says how many gets them."""
    usual, long = Plan.of(scenario="api"), Plan.of(scenario="failover")

    assert usual.rounds > long.rounds == 5
    assert Plan.of(scenario="failover", duration=60.0).rounds == 10
    assert Plan.of(scenario="failover", rounds=40).rounds == 40
    assert Plan.of(scenario="failover", requests=3).rounds <= 3
