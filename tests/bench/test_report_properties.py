"""Whatever a run was like, its report is whole, is JSON, and can be counted again by hand."""

from __future__ import annotations

import json
import math
import random
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.bench.conftest import made_up
from valkeyctl.bench.arm import DEFAULT_ARMS, Arm
from valkeyctl.bench.compare import compare, rows
from valkeyctl.bench.figures.arms import ArmFigures
from valkeyctl.bench.figures.shape import schema
from valkeyctl.bench.figures.spread import Spread
from valkeyctl.bench.gate import Gate
from valkeyctl.bench.gatemetrics import GATE_METRICS
from valkeyctl.bench.page.html import render
from valkeyctl.bench.page.markdown import summary
from valkeyctl.bench.plan import Plan, Prices
from valkeyctl.bench.report import Report, report
from valkeyctl.bench.samples import Samples, StageResult
from valkeyctl.bench.traffic.stream import Traffic
from valkeyctl.errors import NotFoundError, UsageError

SCHEMA = jsonschema.Draft202012Validator(schema())
QUANTILES = {"p50": "0.5", "p90": "0.9", "p95": "0.95", "p99": "0.99", "p999": "0.999"}
WORDS = (("hit", "miss", "collapsed", "stale"), ("none",), ("hit",), ("other", "none", "hit"))
EXAMPLES = settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)


def drawn(seed: int) -> Samples:
    """Return a run as it may be: torn, empty in places, all errors, late, played twice."""
    dice = random.Random(seed)
    rounds = dice.choice([1, 2, 5, 6, 12, 20])
    arms = dice.choice([DEFAULT_ARMS, DEFAULT_ARMS, (Arm("a"),), (Arm("a"), Arm("b"), Arm("c"))])
    if dice.random() < 0.3:
        arms = (*arms, arms[-1].again())
    plan = Plan.of(
        rounds=rounds,
        arms=arms,
        rate=dice.choice([None, 50.0]),
        prices=dice.choice([None, Prices(3, 15)]),
    )
    sizes = [dice.choice([0, 1, 2, 30]) for _ in range(rounds)]
    if dice.random() < 0.5:
        sizes = [dice.choice([1, 30, 60])] * rounds
    zero = dice.random() < 0.15
    lengths = (0.0,) * 20 + (1.0,) if zero else (1e-6, 0.5, 1.0, 2.0, 5.0, 500.0)
    blocks = [
        [[dice.choice(lengths) * dice.uniform(0.5, 2) for _ in range(size)] for size in sizes]
        for _ in arms
    ]
    words, broken = dice.choice(WORDS), dice.choice([-1, -1, 0, 1])
    share = dice.choice([0.0, 0.0, 0.02, 0.5])
    samples = made_up(
        plan,
        blocks,
        outcomes=[lambda _: dice.choice(words)] * len(arms),
        failed=lambda arm, _: arm == broken or dice.random() < share,
        traffic=Traffic(None, None, None, has_identity=dice.random() < 0.8),
        incomplete=dice.random() < 0.2,
        interrupted=dice.choice(["", "Ctrl-C"]),
    )
    return replace(_coloured(samples, dice), stages=_torn(samples, dice))


def _coloured(samples: Samples, dice: random.Random) -> Samples:
    table, chance = samples.rows, np.random.default_rng(dice.randrange(2**32))
    table["size"] = chance.integers(0, 2**32, len(table))
    if dice.random() < 0.4:
        middle = table["intended"] / 20 + table["end"] * 0.95
        table["first"] = np.where(chance.random(len(table)) < 0.7, middle, np.nan)
        table["events"] = dice.choice([0, 1, 5])
        table["input"], table["output"] = dice.choice([0, 10]), dice.choice([0, 7])
    if samples.plan.load_model == "open":
        late = chance.random(len(table)) * dice.choice([0.0, 0.01, 0.9])
        table["start"] += late * (table["end"] - table["intended"])
        table["queued"] = chance.integers(0, 2, len(table)) * dice.choice([0, 1])
    return samples


def _torn(samples: Samples, dice: random.Random) -> tuple[StageResult, ...]:
    stages = list(samples.stages)
    if dice.random() < 0.4:
        stages = [replace(one, cpu=dice.choice([0.0, 0.01, None, 5.0])) for one in stages]
    if dice.random() < 0.2:
        stages = [replace(one, origin_calls=dice.choice([None, 0])) for one in stages]
    return tuple(stages[: dice.choice([len(stages), len(stages), -1])])


def shown(samples: Samples) -> Report | None:
    try:
        return report(samples)
    except NotFoundError:
        return None


@given(st.integers(0, 2**32))
@EXAMPLES
def test_a_report_is_of_the_published_shape_and_holds_no_nan(seed: int) -> None:
    """As JSON, page and text; and each gate is decided or says why not."""
    found = shown(drawn(seed))
    if found is None:
        return

    data = json.loads(json.dumps(found.to_json(), allow_nan=False))
    SCHEMA.validate(data)
    assert "nan" not in summary(found).split()
    assert render(found)
    for name in GATE_METRICS:
        gate = Gate.parse(f"{name}>=1")
        try:
            gate.check(found.plan)
        except UsageError:
            continue
        assert gate.judge(found).outcome in {"passed", "failed", "inconclusive"}


@given(st.integers(0, 2**32))
@EXAMPLES
def test_figures_are_those_that_a_plain_count_gives(seed: int) -> None:
    """Counted anew, without the code under test."""
    samples = drawn(seed)
    found = shown(samples)
    if found is None:
        return

    for number, arm in enumerate(found.arms):
        table = samples.rows[samples.rows["arm"] == number]
        mine = [row for row in table if row["round"] in found.phases.steady]
        right = [row for row in mine if row["error"] == 0]
        assert (arm.requests, arm.errors) == (len(mine), len(mine) - len(right))
        _agree(arm.latency_ms, [(row["end"] - row["intended"]) * 1000 for row in right])
        if samples.plan.load_model == "open":
            _agree(arm.sender.on_time_ms, [_from_leaving(row) for row in right])
        _agree(arm.ttft_ms, [_first(row) for row in right if not np.isnan(row["first"])])
        _hits_agree(arm, [int(row["outcome"]) for row in right])
        played = [
            one for one in samples.stages if one.arm == number and one.round in found.phases.steady
        ]
        seconds = math.fsum(one.end - one.begin for one in played)
        if samples.plan.load_model == "closed":  # of an open loop: test_throughput.py
            assert arm.throughput_rps == pytest.approx(len(right) / seconds if seconds else 0.0)
        assert arm.bytes == sum(int(row["size"]) for row in right)
        assert arm.held_back == sum(int(row["queued"]) for row in mine)
        calls = [one.origin_calls for one in played]
        assert arm.origin_calls == (None if None in calls else sum(one or 0 for one in calls))
        bracketed = {"p50", "p99", "mean", "hit_ratio"} & arm.estimates.keys()
        for estimate in (arm.estimates[name] for name in bracketed):
            if estimate.ci95 is not None:
                low, high = estimate.ci95
                assert low <= estimate.value * (1 + 1e-9) + 1e-12
                assert high >= estimate.value * (1 - 1e-9) - 1e-12


def _first(row: np.void) -> float:
    return float(row["first"] - row["intended"]) * 1000


def _from_leaving(row: np.void) -> float:
    return float(row["end"] - (row["intended"] if row["queued"] else row["start"])) * 1000


def _agree(found: Spread | None, times: list[float]) -> None:
    if not times:
        assert found is None
        return
    assert found is not None
    times.sort()
    assert (found.n, found.max) == (len(times), times[-1])
    assert found.mean == pytest.approx(math.fsum(times) / len(times))
    for name, share in QUANTILES.items():
        place = max(1, math.ceil(Fraction(share) * len(times)))
        assert getattr(found, name) == times[place - 1]


def _hits_agree(arm: ArmFigures, outcomes: list[int]) -> None:
    counts = [outcomes.count(code) for code in (1, 2, 3, 6)]
    told = any(one in {1, 2, 3, 4, 6} for one in outcomes)
    seen = (arm.hits, arm.misses, arm.collapsed, arm.stale)
    assert seen == (tuple(counts) if told else (None,) * 4)
    if arm.hit_ratio is not None:
        assert arm.hit_ratio == pytest.approx((sum(counts) - counts[1]) / len(outcomes))


@given(st.integers(0, 2**32), st.integers(0, 2**32))
@EXAMPLES
def test_any_two_runs_can_be_compared_or_say_why_not(one: int, other: int) -> None:
    """Without NaN, and the text and the table beside it."""
    first, second = (replace(drawn(seed), folder=Path(str(seed))) for seed in (one, other))

    try:
        found = compare(first, second)
    except (NotFoundError, UsageError):
        return

    json.dumps(found.to_json(), allow_nan=False)
    assert found.sentences()
    assert len({len(row) for row in rows(found)}) == 1


def test_rounds_of_which_an_arm_has_no_right_answer_leave_figures_of_the_others() -> None:
    """An outage of half of the run: resamples of these rounds alone have no percentile."""
    blocks = [[[1.0 + 0.01 * n for n in range(60)] for _ in range(8)]] * 2
    samples = made_up(
        Plan.of(rounds=8), blocks, failed=lambda arm, index: arm == 0 and index >= 180
    )

    found = report(samples)

    arm = found.arm("cached")
    assert (arm.requests, arm.errors) == (480, 300)
    assert arm.medians_ms[2] == pytest.approx(1.29)
    assert arm.medians_ms[3] is None
    assert arm.estimates["p50"].ci95 is None
    assert {one.verdict for one in found.comparisons} == {"inconclusive"}


def test_a_latency_of_nothing_makes_no_ratio() -> None:
    """A clock that did not move: the metric is left out, and a gate on it is undecided."""
    samples = made_up(Plan.of(rounds=6), [[[0.0] * 99 + [1.0]] * 6, [[2.0] * 100] * 6])
    samples.rows["intended"] = samples.rows["start"] = 0.0
    samples.rows["end"] = np.where(samples.rows["arm"] == 0, 0.0, 0.002)

    found = report(samples)

    assert {one.metric for one in found.comparisons} == {"throughput"}
    assert Gate.parse("p50_speedup>=1").judge(found).outcome == "inconclusive"
