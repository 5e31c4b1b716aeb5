"""What an arm saves: origin calls, tokens and money."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.bench.conftest import made_up
from valkeyctl.bench.arm import Arm
from valkeyctl.bench.figures.savings import Savings, break_even
from valkeyctl.bench.plan import Plan, Prices
from valkeyctl.bench.report import Report, report

FAST, SLOW = [[1.0] * 40] * 6, [[9.0] * 40] * 6
PRICED = Plan.of(rounds=6, prices=Prices(3.0, 15.0, "EUR"))


def half_hits(plan: Plan, tokens: tuple[int, int] = (500, 100)) -> Report:
    says = [lambda index: "hit" if index % 2 else "miss", lambda _: "bypass"]
    samples = made_up(plan, [FAST, SLOW], outcomes=says)
    samples.rows["input"], samples.rows["output"] = tokens
    return report(samples)


def saved(found: Report) -> Savings:
    savings = found.arm("cached").savings
    assert savings is not None
    return savings


def test_origin_calls_avoided_are_those_of_the_baseline_less_ours() -> None:
    """240 against 120, in every round the same: half, beyond doubt."""
    savings = saved(half_hits(PRICED))

    assert savings.origin_calls == 120
    assert savings.origin_share is not None
    assert savings.origin_share.value == 0.5
    assert savings.origin_share.ci95 == pytest.approx((0.5, 0.5))


def test_what_is_avoided_is_told_for_as_many_requests() -> None:
    """An arm that has sent some requests of its first round before, in a cold one, called less."""
    says = [lambda index: "hit" if index % 2 else "miss", lambda _: "bypass"]
    half, none = (
        made_up(PRICED, [FAST, [[9.0] * 30] * 6], outcomes=[first, says[1]])
        for first in (says[0], lambda _: "miss")
    )

    found = report(half)
    nothing = saved(report(none))

    assert saved(found).origin_calls == 120
    share = saved(found).origin_share
    assert share is not None
    assert share.value == pytest.approx(0.5)
    assert share.ci95 == pytest.approx((0.5, 0.5))
    text = " ".join(one.text for one in found.conclusion)
    assert "120 times by arm cached, 180 times by arm uncached: 50.0 %" in text
    assert "fewer for as many requests" in text
    assert nothing.origin_calls == 0


def test_money_is_that_of_the_answers_from_the_cache() -> None:
    """120 answers of 500 and 100 tokens at 3 and 15 a million are 0.36."""
    found = half_hits(PRICED)
    savings = saved(found)

    assert savings.tokens == 120 * 600
    assert savings.money == pytest.approx(0.36)
    assert savings.money_ci95 == pytest.approx((0.36, 0.36))
    said = " ".join(one.text for one in found.conclusion)
    assert "saved arm cached 0.36 EUR, 50.0 %" in said
    assert "3 EUR for a million tokens of prompts and 15 EUR" in said


def test_without_prices_or_tokens_nothing_is_said_of_money() -> None:
    """A figure that nobody gave is not made up."""
    unpriced = saved(half_hits(replace(PRICED, prices=None)))
    untold = saved(half_hits(PRICED, tokens=(0, 0)))

    assert (unpriced.money, unpriced.prices) == (None, None)
    assert unpriced.tokens == 120 * 600
    assert (untold.money, untold.tokens, untold.money_share) == (None, None, None)


def test_an_arm_that_calls_the_origin_more_has_saved_no_share() -> None:
    """The count below zero says it."""
    says = [lambda _: "miss", lambda index: "bypass" if index % 2 else "hit"]

    savings = saved(report(made_up(PRICED, [FAST, SLOW], outcomes=says)))

    assert savings.origin_calls == -120
    assert savings.origin_share is None


def test_an_origin_that_does_not_count_is_unknown() -> None:
    """None, not zero."""
    samples = made_up(PRICED, [FAST, SLOW])
    stages = tuple(replace(stage, origin_calls=None) for stage in samples.stages)

    assert saved(report(replace(samples, stages=stages))).origin_calls is None


def test_the_baseline_has_no_savings() -> None:
    """It is what others are held against."""
    assert half_hits(PRICED).arm("uncached").savings is None


def test_break_even_is_where_the_mean_is_that_of_the_baseline() -> None:
    """Misses 2 ms slower, hits 8 ms quicker: from a fifth on."""
    assert break_even((100, 2.0), (100, 12.0), (100, 10.0)) == pytest.approx(0.2)
    assert break_even((100, 2.0), (100, 10.0), (100, 10.0)) == 0.0
    assert break_even((100, 11.0), (100, 12.0), (100, 10.0)) is None
    assert break_even((5, 2.0), (100, 12.0), (100, 10.0)) is None


def test_without_an_arm_past_the_cache_nobody_knows_where_it_pays() -> None:
    """Of two ways to use a cache, neither says what an answer takes without one."""
    plan = Plan.of(rounds=6, arms=(Arm("a", env=(("X", "1"),)), Arm("b")))
    says = [lambda index: "hit" if index % 2 else "miss"] * 2

    found = report(made_up(plan, [SLOW, FAST], outcomes=says))

    assert found.plan.baseline == "a"
    savings = found.arm("b").savings
    assert savings is not None
    assert savings.break_even is None
