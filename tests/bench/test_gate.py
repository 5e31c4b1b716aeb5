"""Gates: what they understand, and what decides them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.bench.conftest import made_up
from valkeyctl.bench.gate import Gate
from valkeyctl.bench.plan import Arm, Plan
from valkeyctl.bench.report import Report, report
from valkeyctl.errors import UsageError

PLAN = Plan.of(rounds=6)
STEADY = [[10.0, 10.2, 9.9, 10.1 + 0.01 * r] * 5 for r in range(6)]
SLOW = [[40.0, 40.8, 39.6, 40.4 + 0.1 * r] * 5 for r in range(6)]
WILD = [[40.0 * 3 ** (-1) ** r] * 20 for r in range(6)]
HITS = [lambda index: "hit" if index % 2 else "miss", lambda _: "bypass"]


@pytest.fixture
def shown() -> Report:
    """The cached arm is four times as fast, without doubt."""
    return report(made_up(PLAN, [STEADY, SLOW], outcomes=HITS))


@pytest.mark.parametrize(
    ("expression", "outcome"),
    [
        ("p99_speedup>=3", "passed"),
        ("p99_speedup>=5", "failed"),
        (" cached.p50_speedup > 3.5 ", "passed"),
        ("throughput_speedup>=3", "passed"),
        ("mean_speedup<3", "failed"),
        ("p50_ms<=11", "passed"),
        ("uncached.p50_ms<=11", "failed"),
        ("hit_ratio>=0.5", "passed"),
        ("hit_ratio>0.5", "failed"),
        ("errors<=0", "passed"),
        ("errors<0", "failed"),
        ("origin_calls<=60", "passed"),
        ("uncached.origin_calls<=60", "failed"),
        ("throughput_rps>=90", "passed"),
    ],
)
def test_a_clear_figure_decides(shown: Report, expression: str, outcome: str) -> None:
    """Without an arm the gate is for the one that is compared with the baseline."""
    gate = Gate.parse(expression)
    gate.check(PLAN)

    verdict = gate.judge(shown)

    assert verdict.outcome == outcome
    assert gate.expression in verdict.text


def test_an_interval_across_the_bound_decides_nothing() -> None:
    """Luck neither passes nor fails a gate."""
    shown = report(made_up(PLAN, [STEADY, WILD], outcomes=HITS))

    assert Gate.parse("mean_speedup>=5").judge(shown).outcome == "inconclusive"
    assert Gate.parse("mean_speedup>=500").judge(shown).outcome == "failed"


def test_failed_requests_prove_no_speedup() -> None:
    """An answer that failed fast is not a fast answer; errors themselves are counted."""
    shown = report(
        made_up(PLAN, [STEADY, SLOW], outcomes=HITS, failed=lambda arm, index: arm == index == 0)
    )

    assert Gate.parse("p99_speedup>=3").judge(shown).outcome == "inconclusive"
    assert Gate.parse("p99_ms<=100").judge(shown).outcome == "inconclusive"
    assert Gate.parse("errors<=0").judge(shown).outcome == "failed"


def test_an_incomplete_run_passes_no_gate() -> None:
    """What was not played might have failed it."""
    shown = report(made_up(PLAN, [STEADY, SLOW], outcomes=HITS, incomplete=True))

    assert Gate.parse("p99_speedup>=3").judge(shown).outcome == "inconclusive"
    assert Gate.parse("errors<=0").judge(shown).outcome == "inconclusive"


def test_the_worst_arm_counts() -> None:
    """A gate without an arm is for every arm that is compared."""
    plan = replace(PLAN, arms=(Arm("base"), Arm("good"), Arm("bad")))
    outcomes = [lambda _: "miss"] * 3
    shown = report(made_up(plan, [SLOW, STEADY, SLOW], outcomes=outcomes))

    assert Gate.parse("p50_speedup>=2").judge(shown).outcome == "failed"
    assert Gate.parse("good.p50_speedup>=2").judge(shown).outcome == "passed"


@pytest.mark.parametrize(
    "expression",
    ["", "p99", "p99_speedup", "p98_speedup>=5", "p99_speedup==5", "p99_speedup>=x", "a b>=5"],
)
def test_a_gate_of_another_form_is_refused_with_all_that_is_allowed(expression: str) -> None:
    """The hint lists every metric."""
    with pytest.raises(UsageError) as caught:
        Gate.parse(expression)

    assert "p99_speedup" in str(caught.value.hint)
    assert "hit_ratio" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("expression", "plan", "words"),
    [
        ("other.p99_ms<=5", PLAN, "does not have"),
        ("uncached.p99_speedup>=5", PLAN, "with itself"),
        ("p99_speedup>=5", replace(PLAN, arms=(Arm("a"),)), "with itself"),
        ("throughput_speedup>=5", Plan.of(trace=Path("t")), "offered load"),
        ("p99_speedup>=5", Plan.of(rounds=3), "too few"),
    ],
)
def test_a_gate_that_no_run_can_decide_is_refused_before_the_run(
    expression: str, plan: Plan, words: str
) -> None:
    """Better now than after half an hour."""
    with pytest.raises(UsageError, match=words):
        Gate.parse(expression).check(plan)
