"""Runs side by side: what has changed, what is noise, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from tests.bench.conftest import made_up
from valkeyctl.bench.arm import Arm, Node
from valkeyctl.bench.compare import Change, RunComparison, compare, rows
from valkeyctl.bench.gate import Gate
from valkeyctl.bench.noise import Noise
from valkeyctl.bench.page.compared import comparison_summary
from valkeyctl.bench.plan import Plan
from valkeyctl.bench.report import report
from valkeyctl.bench.samples import Samples
from valkeyctl.errors import NotFoundError, UsageError

PLAN = Plan.of(rounds=8)
SHAPE = [1.0, 1.1, 1.2, 1.05] * 10


def run(
    cached: float = 1.0,
    uncached: float = 9.0,
    *,
    plan: Plan = PLAN,
    folder: str = "a",
    failed: Callable[[int, int], bool] = lambda _arm, _index: False,
    facts: Mapping[str, Node] | None = None,
    more: tuple[float, ...] = (),
) -> Samples:
    """Return a run whose arms have latencies around these, in milliseconds."""
    arms = [
        [[level * value * (1 + 0.002 * (number % 3)) for value in SHAPE] for number in range(8)]
        for level in (cached, uncached, *more)
    ]
    says = [lambda index: "hit" if index % 2 else "miss", *[lambda _: "bypass"] * (len(arms) - 1)]
    samples = made_up(plan, arms, outcomes=says, failed=failed, folder=Path(folder))
    return replace(samples, facts={**samples.facts, **(facts or {})})


def change(found: RunComparison, arm: str, metric: str) -> Change:
    (one,) = (one for one in found.comparisons if (one.arm, one.metric) == (arm, metric))
    return one


def said(found: RunComparison) -> str:
    return " ".join(found.sentences())


def test_two_runs_are_compared_arm_by_arm() -> None:
    """Above 1 the second run is better; the document keeps its keys."""
    found = compare(run(), run(cached=2.0, folder="b"))

    assert change(found, "cached", "p50").ratio == pytest.approx(0.5, rel=0.01)
    assert change(found, "cached", "p50").verdict == "worse"
    assert change(found, "uncached", "p50").verdict in {"same", "inconclusive"}
    assert "Arm cached is worse by median latency: 2.00 times" in said(found)
    data = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert (data["first"], data["second"], data["baselines"]) == ("a", "b", ["a"])
    assert data["comparisons"][0].keys() >= {"arm", "metric", "ratio", "ci95", "verdict"}
    assert "different times" in data["caveat"]
    assert len({len(row) for row in rows(found)}) == 1


def test_without_a_repetition_the_noise_is_not_known() -> None:
    """And the reader is told how to learn it."""
    found = compare(run(), run(cached=1.3, folder="b"))

    assert change(found, "cached", "p50").floor is None
    assert "No noise floor is known" in said(found)
    assert "--floor" in said(found)


def test_a_difference_within_the_noise_is_none() -> None:
    """A repetition 30 % away makes 20 % nothing, whatever the rounds say."""
    bare = compare(run(), run(cached=1.2, folder="b"))
    found = compare(run(), run(cached=1.2, folder="b"), floor=[run(cached=1.3, folder="a2")])

    assert change(bare, "cached", "p50").verdict == "worse"
    one = change(found, "cached", "p50")
    assert one.floor == pytest.approx(1.3, rel=0.05)
    assert one.verdict == "inconclusive"
    assert one.drowned
    assert "Within the noise floor, so no difference: cached p50" in said(found)
    assert "2 runs of the same thing" in said(found)


def test_a_difference_beyond_the_noise_is_one() -> None:
    """Twice as slow stays worse beside a repetition 10 % away."""
    found = compare(run(), run(cached=2.0, folder="b"), floor=[run(cached=1.1, folder="a2")])

    assert change(found, "cached", "p50").verdict == "worse"


def test_an_arm_played_twice_is_a_floor_too() -> None:
    """By as much as uncached and uncached-again differ in one run, runs differ as well."""
    plan = replace(PLAN, arms=(*PLAN.arms, PLAN.arms[1].again()))
    found = compare(
        run(plan=plan, more=(11.0,)), run(cached=1.1, plan=plan, more=(9.0,), folder="b")
    )

    one = change(found, "cached", "p50")
    assert one.floor == pytest.approx(11 / 9, rel=0.05)
    assert one.verdict == "inconclusive"
    assert "played twice within a run" in said(found)


def test_of_several_baselines_the_middle_one_is_compared_with() -> None:
    """And their spread is the noise."""
    found = compare(
        run(cached=1.0, folder="a1"),
        run(cached=1.2, folder="a2"),
        run(cached=1.1, folder="a3"),
        run(cached=3.0, folder="b"),
    )

    one = change(found, "cached", "p50")
    assert one.baseline == "a3"
    assert one.floor == pytest.approx(1.2, rel=0.05)
    assert found.baselines == ("a1", "a2", "a3")


def test_what_was_not_the_same_is_listed() -> None:
    """Plan, versions, machine, server settings, arms."""
    old: dict[str, Node] = {
        "environment": {"cpu": "x", "versions": {"valkeyctl": "1", "locust": "2"}},
        "server": {"maxmemory": "1gb", "io-threads": "1"},
    }
    new: dict[str, Node] = {
        "environment": {"cpu": "y", "versions": {"valkeyctl": "2", "locust": "2"}},
        "server": {"maxmemory": "2gb", "io-threads": "1"},
    }
    other = replace(PLAN, seed=9, users=4, arms=(PLAN.arms[0], Arm("uncached", (("X-A", "1"),))))

    found = compare(run(facts=old), run(plan=other, facts=new, folder="b"))

    assert found.differences == (
        "users: 16 against 4",
        "seed: 1 against 9",
        "arm uncached was changed",
        "cpu: x against y",
        "valkeyctl: 1 against 2",
        "server maxmemory: 1gb against 2gb",
    )


def test_wrong_answers_prove_nothing() -> None:
    """Neither better nor worse; and that is said."""
    found = compare(run(), run(cached=0.1, folder="b", failed=lambda arm, at: arm == at == 0))

    assert change(found, "cached", "p50").verdict == "inconclusive"
    assert change(found, "uncached", "p50").verdict in {"same", "inconclusive"}
    assert "Requests of arm cached failed" in said(found)


def cut_short(folder: str, failed: Callable[[int, int], bool]) -> Samples:
    """Return a run whose last round only arm cached played to its end."""
    samples = run(folder=folder, failed=failed)
    stages = tuple(one for one in samples.stages if (one.arm, one.round) != (1, 7))
    return replace(samples, stages=stages, incomplete=True, interrupted="Ctrl-C")


def test_errors_of_a_round_that_was_not_finished_prove_nothing_either() -> None:
    """The figures leave that round out; it is often how a run ended."""
    last = 8 * len(SHAPE) - 1
    broken = cut_short("b", lambda arm, at: (arm, at) == (0, last))
    found = compare(run(cached=9.0), broken)

    assert change(found, "cached", "p50").verdict == "inconclusive"
    assert change(found, "cached", "p50").errors == 1
    assert found.failed == {"cached": 1}
    assert "Requests of arm cached failed (1 in all)" in said(found)
    assert "is better" not in said(found)
    whole = compare(run(cached=9.0), cut_short("b", lambda _arm, _at: False))
    assert change(whole, "cached", "p50").verdict == "better"


def test_of_a_baseline_that_failed_nothing_is_said_whichever_is_in_the_middle() -> None:
    """Failures may have moved which one is."""
    broken = run(cached=5.0, folder="a2", failed=lambda arm, at: arm == at == 0)
    found = compare(run(), broken, run(folder="a3"), run(cached=0.1, folder="b"))

    assert change(found, "cached", "p50").verdict == "inconclusive"
    assert change(found, "uncached", "p50").errors == 0


def test_arms_that_cannot_be_compared_are_named() -> None:
    """One that a run lacks, and one that never had a right answer."""
    more = replace(PLAN, arms=(*PLAN.arms, Arm("new")))
    found = compare(
        run(folder="a", failed=lambda arm, _: arm == 1), run(plan=more, folder="b", more=(2.0,))
    )

    assert found.left_out == (
        "Arm uncached had no right answer in a, so nothing is said of it.",
        "a has no arm new, so nothing is said of it.",
    )
    assert set(found.left_out) <= set(found.sentences())
    assert {one.arm for one in found.comparisons} == {"cached"}


def test_a_refused_or_failed_comparison_does_not_say_that_nothing_differs() -> None:
    """That no difference could be shown is a result, and there is none."""
    found = compare(run(), run(folder="b", failed=lambda _arm, at: at == 0))

    assert "No difference could be shown" not in said(found)


def test_runs_that_cannot_be_compared_are_refused() -> None:
    """Open against closed, arms without a common name, one run, no repetition at all."""
    closed = run()
    opened = run(plan=Plan.of(rate=5.0, rounds=8))
    other = run(plan=replace(PLAN, arms=(Arm("x"), Arm("y"))))

    with pytest.raises(UsageError, match="open loop"):
        compare(closed, opened)
    with pytest.raises(UsageError, match="no arm in common"):
        compare(closed, other)
    with pytest.raises(UsageError, match="one run"):
        compare(closed)
    with pytest.raises(UsageError, match="no repetition of a: users: 16 against 3"):
        compare(closed, closed, floor=[run(plan=replace(PLAN, users=3), folder="c")])
    with pytest.raises(NotFoundError):
        compare(closed, replace(other, stages=()))


@pytest.mark.parametrize(
    ("expression", "outcome"),
    [
        ("cached.p50_speedup>=0.6", "failed"),
        ("cached.p50_speedup>=0.4", "passed"),
        ("p50_speedup>=0.4", "passed"),
        ("uncached.p50_speedup>=0.9", "passed"),
        ("errors<=0", "passed"),
        ("cached.p50_ms<=1.5", "failed"),
    ],
)
def test_a_change_is_held_to_a_gate(expression: str, outcome: str) -> None:
    """Speed-ups are the last run's over its baseline; all else is of the last run alone."""
    last = run(cached=2.0, folder="b")
    found = compare(run(), last)
    gate = Gate.parse(expression)
    gate.check_change(["cached", "uncached"])

    assert gate.judge_change(found, report(last)).outcome == outcome


def test_the_noise_makes_a_gate_undecided() -> None:
    """An interval that reaches the bound only by noise neither passes nor fails it."""
    last = run(cached=1.2, folder="b")
    found = compare(run(), last, floor=[run(cached=1.3, folder="a2")])

    assert Gate.parse("cached.p50_speedup>=0.9").judge_change(found, report(last)).outcome == (
        "inconclusive"
    )
    with pytest.raises(UsageError, match="in common"):
        Gate.parse("other.p50_speedup>=0.9").check_change(["cached"])


def test_failed_requests_make_a_gate_on_a_change_undecided() -> None:
    """On whichever side they failed: it may have been slow for being broken."""
    broken = run(cached=5.0, failed=lambda arm, index: arm == index == 0)
    last = run(folder="b")

    verdict = Gate.parse("cached.p50_speedup>=0.9").judge_change(
        compare(broken, last), report(last)
    )

    assert verdict.outcome == "inconclusive"
    assert verdict.text.endswith("requests of arm cached failed")


def test_the_noise_floor_widens_both_ends_and_unknown_arms_get_the_largest() -> None:
    """An arm that was never repeated is no quieter than the loudest that was."""
    found = compare(run(), run(folder="b"), floor=[run(cached=1.3, uncached=9.9, folder="a2")])

    known = [one for one in found.comparisons if one.ci95 is not None]
    assert {one.metric for one in known} >= {"p50", "mean"}
    for one in known:
        assert one.ci95 is not None
        assert one.floor is not None
        assert one.floor > 1.05
        assert one.widened == pytest.approx((one.ci95[0] / one.floor, one.ci95[1] * one.floor))
    factors = {("cached", "p50"): 1.3, ("uncached", "p50"): 1.1}
    assert Noise(2, 0, factors).factor("other", "p50") == 1.3
    assert Noise(2, 0, factors).factor("uncached", "p50") == 1.1
    assert Noise(2, 0, factors).factor("other", "p99") is None


def test_of_two_baselines_the_one_counts_that_claims_less() -> None:
    """Twice as fast as one and a tenth faster than the other is a tenth faster."""
    found = compare(run(cached=2.0), run(cached=1.1, folder="a2"), run(folder="b"))

    p50 = next(one for one in found.comparisons if (one.arm, one.metric) == ("cached", "p50"))
    assert p50.ratio == pytest.approx(1.1)
    assert p50.baseline == "a2"


def test_a_refused_run_is_no_ground_for_a_verdict() -> None:
    """Its figures are the generator's own."""
    plan = Plan.of(rate=50.0, rounds=8)
    late = run(cached=5.0, folder="b", plan=plan)
    late.rows["intended"] -= 0.02

    found = compare(run(plan=plan), late)

    assert found.refused.startswith("b: the load generator itself was the bottleneck")
    assert {one.verdict for one in found.comparisons} == {"inconclusive"}


def test_an_incomplete_run_passes_no_gate_on_a_change() -> None:
    """Of whichever side."""
    cut = replace(run(folder="b"), incomplete=True)
    found = compare(run(), cut)

    verdict = Gate.parse("p50_speedup>=0.1").judge_change(found, report(cut))

    assert verdict.outcome == "inconclusive"
    assert "b is incomplete" in verdict.text
    assert said(found).startswith("Only a part was measured")


def test_markdown_has_the_sentences_and_the_table() -> None:
    """A name with a pipe in it breaks no table."""
    plan = replace(PLAN, arms=(Arm("cached"), PLAN.arms[1]))
    last = run(cached=2.0, folder="b", plan=plan)
    found = compare(run(), last)
    verdict = Gate.parse("p50_speedup>=0.9").judge_change(found, report(last))

    text = comparison_summary(found, [verdict])

    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in table}) == 1
    assert "**failed**" in text
    assert "Arm cached is worse" in text
