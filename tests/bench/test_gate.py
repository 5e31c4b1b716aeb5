"""Gates: what they understand, and what decides them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.bench.conftest import made_up
from valkeyctl.bench.arm import Arm
from valkeyctl.bench.gate import Gate
from valkeyctl.bench.gatemetrics import GATE_METRICS
from valkeyctl.bench.plan import Plan, Prices
from valkeyctl.bench.report import Report, report
from valkeyctl.errors import UsageError

PLAN = Plan.of(rounds=6)
STEADY = [[10.0, 10.2, 9.9, 10.1 + 0.01 * r] * 25 for r in range(6)]
SLOW = [[40.0, 40.8, 39.6, 40.4 + 0.1 * r] * 25 for r in range(6)]
WILD = [[40.0 * 3 ** (-1) ** r] * 100 for r in range(6)]
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
        ("origin_calls<=300", "passed"),
        ("uncached.origin_calls<=300", "failed"),
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


def test_a_figure_without_an_interval_decides_nothing_and_is_told() -> None:
    """A cache that fills until the end of a run may have any hit ratio."""
    filling = [lambda index: "hit" if index % 9 < index // 40 else "miss", HITS[1]]
    rounds = [[10.0] * 9] * 40
    found = report(made_up(Plan.of(rounds=40), [rounds, rounds], outcomes=filling))

    verdict = Gate.parse("hit_ratio>=0.9").judge(found)

    assert verdict.outcome == "inconclusive"
    assert "arm cached has 0." in verdict.text
    assert verdict.text.endswith("but too few rounds or requests for an interval")


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

    for expression in ("p99_speedup>=3", "errors<=0", "requests>=1000"):
        verdict = Gate.parse(expression).judge(shown)
        assert verdict.outcome == "inconclusive"
        assert "incomplete" in verdict.text


def test_a_refused_run_decides_nothing(shown: Report) -> None:
    """What was measured is the load generator; even a count of its may be of its making."""
    refused = replace(shown, refused="the load generator was late")

    for expression in ("p99_speedup>=3", "p99_speedup>=5", "errors<=0", "hit_ratio>0.5"):
        verdict = Gate.parse(expression).judge(refused)
        assert verdict.outcome == "inconclusive"
        assert "generator was late" in verdict.text


def test_the_worst_arm_counts() -> None:
    """A gate without an arm is for every arm that is compared."""
    plan = replace(PLAN, arms=(Arm("base"), Arm("good"), Arm("bad")))
    outcomes = [lambda _: "miss"] * 3
    shown = report(made_up(plan, [SLOW, STEADY, SLOW], outcomes=outcomes))

    assert Gate.parse("p50_speedup>=2").judge(shown).outcome == "failed"
    assert Gate.parse("good.p50_speedup>=2").judge(shown).outcome == "passed"


def test_an_arm_that_is_the_baseline_again_is_not_judged() -> None:
    """It is there for the noise floor; by name it is judged like any other."""
    plan = replace(PLAN, arms=(*PLAN.arms, PLAN.arms[1].again()))
    shown = report(made_up(plan, [STEADY, SLOW, SLOW], outcomes=[*HITS, HITS[1]]))

    assert plan.baseline == "uncached"
    assert Gate.parse("p50_speedup>=3").judge(shown).outcome == "passed"
    assert Gate.parse("uncached-again.p50_speedup>=3").judge(shown).outcome == "failed"
    assert Gate.parse("errors<=0").judge(shown).outcome == "passed"


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("hits>=1", "X-Cache"),
        ("hit_ratio>=0.5", "X-Cache"),
        ("ttft_p50_ms<=5", "stream"),
        ("cold_rounds<=3", "cold start"),
    ],
)
def test_a_figure_that_is_not_there_says_why(expression: str, words: str) -> None:
    """Nine is no use to somebody who does not learn what to change."""
    shown = report(made_up(PLAN, [STEADY, SLOW], outcomes=[lambda _: "none"] * 2))

    verdict = Gate.parse(expression).judge(shown)

    assert verdict.outcome == "inconclusive"
    assert words in verdict.text


def test_what_is_saved_can_be_bounded(shown: Report) -> None:
    """Calls to the origin, counted there, against those of the baseline."""
    assert Gate.parse("origin_calls_saved>=300").judge(shown).outcome == "passed"
    assert Gate.parse("origin_calls_saved>=301").judge(shown).outcome == "failed"
    assert Gate.parse("origin_calls_saved_ratio>=0.4").judge(shown).outcome == "passed"
    assert Gate.parse("cached.origin_calls_saved_ratio>=0.6").judge(shown).outcome == "failed"


def test_streamed_answers_can_be_bounded() -> None:
    """By the time to the first token, and between tokens."""
    samples = made_up(PLAN, [STEADY, SLOW], outcomes=HITS)
    samples.rows["first"] = samples.rows["intended"] + 0.002
    samples.rows["events"] = 5
    shown = report(samples)

    assert Gate.parse("ttft_p50_ms<=3").judge(shown).outcome == "passed"
    assert Gate.parse("ttft_p50_ms<=1").judge(shown).outcome == "failed"
    assert Gate.parse("cached.itl_p50_ms<=3").judge(shown).outcome == "passed"
    assert Gate.parse("uncached.itl_p50_ms<=3").judge(shown).outcome == "failed"


def test_every_metric_has_its_row_in_the_guide() -> None:
    """With the words that the code has for it."""
    page = (Path(__file__).parents[2] / "docs/how-to/benchmark.md").read_text()

    for metric in GATE_METRICS.values():
        assert f"`{metric.name}`" in page, metric.name


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
        ("money_saved>=5", PLAN, "no price"),
        ("lateness_p99_ms<=1", PLAN, "closed loop has none"),
        ("cold_rounds<=1", Plan.of(trace=Path("t")), "cold start"),
        ("uncached.origin_calls_saved>=5", PLAN, "with itself"),
    ],
)
def test_a_gate_that_no_run_can_decide_is_refused_before_the_run(
    expression: str, plan: Plan, words: str
) -> None:
    """Better now than after half an hour."""
    with pytest.raises(UsageError, match=words):
        Gate.parse(expression).check(plan)


def test_money_is_decided_by_its_interval() -> None:
    """Rounds that save little and rounds that save all leave it open what a run saves."""
    plan = Plan.of(rounds=6, prices=Prices(3.0, 15.0))
    outcomes = [lambda index: "hit" if index % 200 < 100 or not index % 4 else "miss"]
    outcomes.append(lambda _: "bypass")
    samples = made_up(plan, [STEADY, SLOW], outcomes=outcomes)
    samples.rows["input"] = 1_000_000

    found = report(samples)

    # 375 of 600 answers at 3 each; by the rounds it may be anything from a quarter to all.
    assert Gate.parse("money_saved>=1000").judge(found).outcome == "inconclusive"
    assert Gate.parse("money_saved>=0").judge(found).outcome == "passed"
    assert Gate.parse("money_saved>=5000").judge(found).outcome == "failed"


def test_a_misspelt_metric_is_guessed() -> None:
    """The list of all of them is long."""
    with pytest.raises(UsageError, match=r"did you mean p99_speedup\?"):
        Gate.parse("p99_sppedup>=5")
