"""``--gate``: a bound that a run must keep, decided by intervals and not by luck."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from typing import TYPE_CHECKING, Literal

from valkeyctl.bench.figures.arms import ArmFigures
from valkeyctl.bench.figures.conclusion import figure
from valkeyctl.bench.gatemetrics import GATE_METRICS, Metric, wrong_answers
from valkeyctl.bench.plan import Plan
from valkeyctl.bench.statistics.intervals import LEAST_ROUNDS, Estimate
from valkeyctl.errors import UsageError

if TYPE_CHECKING:
    from valkeyctl.bench.compare import RunComparison
    from valkeyctl.bench.report import Report

Outcome = Literal["passed", "failed", "inconclusive"]

ALLOWED = tuple(GATE_METRICS)
_FORM = re.compile(
    r"\s*(?:(?P<arm>[A-Za-z0-9][A-Za-z0-9_.-]*)\.)?(?P<metric>[a-z0-9_]+)\s*"
    r"(?P<op>>=|<=|>|<)\s*(?P<bound>-?[0-9]+(?:\.[0-9]+)?)\s*"
)


@dataclass(frozen=True)
class Verdict:
    """How a run stands to a gate.

    Attributes:
        expression: The gate, as it was written.
        metric: What it bounds.
        outcome: ``passed`` or ``failed`` when the whole interval lies on that side of the
            bound; ``inconclusive`` when it straddles it or nothing may be claimed.
        text: The reason, with the figures.
    """

    expression: str
    metric: str
    outcome: Outcome
    text: str


@dataclass(frozen=True)
class Gate:
    """A bound such as ``p99_speedup>=5``, ``cached.p99_ms<=20`` or ``errors<=0``.

    Attributes:
        arm: Whose figure; empty is every arm that is compared with the baseline, and for
            ``errors`` every arm there is.
        metric: What is bounded.
        op: ``>=``, ``>``, ``<=`` or ``<``.
        bound: What the figure is held against.
        expression: As it was written.
    """

    arm: str
    metric: Metric
    op: str
    bound: float
    expression: str

    @classmethod
    def parse(cls, expression: str) -> Gate:
        """Return the gate that *expression* describes.

        Raises:
            UsageError: It is not of the form; lists what is allowed.
        """
        match = _FORM.fullmatch(expression)
        if match is None or match["metric"] not in GATE_METRICS:
            near = get_close_matches(match["metric"], ALLOWED, n=1) if match else []
            guess = f"; did you mean {near[0]}?" if near else ""
            raise UsageError(
                f"the gate {expression!r} cannot be read{guess}",
                hint="Write [ARM.]METRIC, one of >= > <= <, and a number, such as "
                f"p99_speedup>=5; metrics are {', '.join(ALLOWED)}",
            )
        return cls(
            match["arm"] or "",
            GATE_METRICS[match["metric"]],
            match["op"],
            float(match["bound"]),
            expression.strip(),
        )

    @property
    def counts_origin_calls(self) -> bool:
        """Whether the origin must say how often it was called."""
        return "origin_calls" in self.metric.name

    def check(self, plan: Plan) -> None:
        """Prove that a run of *plan* can decide this gate at all.

        Raises:
            UsageError: It cannot; says why. Better now than after the run.
        """
        names = [arm.name for arm in plan.arms]
        metric = self.metric
        if self.arm and self.arm not in names:
            raise UsageError(
                f"the gate {self.expression!r} names an arm that the run does not have",
                hint=f"Name one of {', '.join(names)}",
            )
        if metric.name.startswith("money") and plan.prices is None:
            raise UsageError(
                f"the gate {self.expression!r} is about money, and there is no price",
                hint="Give --price-in and --price-out",
            )
        if metric.name.startswith("lateness") and plan.load_model == "closed":
            raise UsageError(
                f"the gate {self.expression!r} needs a schedule, and a closed loop has none",
                hint="Give --rate or --trace",
            )
        if metric.name.startswith("cold") and plan.trace is not None:
            raise UsageError(
                f"the gate {self.expression!r} is about the cold start, and nothing is dropped "
                "of a trace",
                hint="Leave out --trace, or gate on all of it",
            )
        if metric.kind != "speedup" and not metric.of_savings:
            return
        if len(names) < 2 or self.arm == plan.baseline:
            raise UsageError(
                f"the gate {self.expression!r} compares the baseline with itself",
                hint="Give a second arm, or name the arm that is compared with it",
            )
        if metric.name == "throughput_speedup" and plan.load_model == "open":
            raise UsageError(
                "in an open loop throughput is the offered load, so it has no speed-up",
                hint="Gate on a latency instead, such as p99_speedup>=5",
            )
        if metric.kind == "speedup" and plan.rounds < LEAST_ROUNDS:
            raise UsageError(
                f"{plan.rounds} rounds are too few for the gate {self.expression!r}",
                hint=f"Give at least --rounds {LEAST_ROUNDS}",
            )

    def judge(self, report: Report) -> Verdict:
        """Return how *report* stands to this gate; the worst of several arms counts.

        Nothing is claimed of a run that is incomplete, for what was not played might have
        failed it, nor of one whose load generator was late.
        """
        if report.incomplete:
            return self._open(f"the run is incomplete ({report.incomplete})")
        if report.refused:
            return self._open(report.refused)
        if self.metric.kind == "count":
            arms = list(report.arms) if self._of_all_arms else self._candidates(report)
            return _worst([self._of_arm(arm) for arm in arms])
        # An answer that failed fast is not a fast answer.
        if failed := [arm for arm in report.arms if wrong_answers(arm)]:
            return self._open(
                f"{wrong_answers(failed[0]):,} requests of arm {failed[0].name} failed, so "
                "nothing is claimed"
            )
        decide = partial(self._speedup, report) if self.metric.kind == "speedup" else self._of_arm
        return _worst(
            [self._unless_hidden(report, arm, decide(arm)) for arm in self._candidates(report)]
        )

    def check_change(self, arms: Sequence[str]) -> None:
        """Prove that a comparison of runs which have *arms* in common can decide this gate.

        Raises:
            UsageError: It names another arm.
        """
        if self.arm and self.arm not in arms:
            raise UsageError(
                f"the gate {self.expression!r} names an arm that the runs do not have in common",
                hint=f"Name one of {', '.join(arms)}",
            )

    def judge_change(self, found: RunComparison, last: Report) -> Verdict:
        """Return how the change between runs stands to this gate.

        Args:
            found: The comparison; speed-ups are those of the last run over its baselines,
                with the noise floor in their intervals.
            last: Report of the last run; all other metrics are of it alone.
        """
        if self.metric.kind != "speedup":
            return self.judge(last)
        if why := found.refused or found.incomplete:
            return self._open(why)
        verdicts = []
        for one in found.comparisons:
            if f"{one.metric}_speedup" != self.metric.name or self.arm not in {"", one.arm}:
                continue
            if one.errors:
                verdicts.append(self._open(f"requests of arm {one.arm} failed"))
            else:
                estimate = Estimate(one.ratio, one.widened)
                verdicts.append(self._decide(one.arm, estimate))
        if not verdicts:
            return self._open("the runs have no such arm, or no such figure, in common")
        return _worst(verdicts)

    @property
    def _of_all_arms(self) -> bool:
        return self.metric.name == "errors" and not self.arm

    def _candidates(self, report: Report) -> list[ArmFigures]:
        if self.arm:
            return [report.arm(self.arm)]
        plan = report.plan
        (baseline,) = (arm for arm in plan.arms if arm.name == plan.baseline)
        # The baseline a second time is there for the noise, not to be judged.
        wanted = {arm.name for arm in plan.arms if not arm.same_as(baseline)}
        return [arm for arm in report.arms if arm.name in wanted] or list(report.arms)

    def _speedup(self, report: Report, arm: ArmFigures) -> Verdict:
        metric = self.metric.name.removesuffix("_speedup")
        for one in report.comparisons:
            if one.candidate == arm.name and one.metric == metric and report.rounds >= LEAST_ROUNDS:
                return self._decide(arm.name, Estimate(one.ratio, one.ci95))
        return self._unknown(arm.name)

    def _of_arm(self, arm: ArmFigures) -> Verdict:
        estimate = self.metric.read(arm)
        return self._unknown(arm.name) if estimate is None else self._decide(arm.name, estimate)

    def _unless_hidden(self, report: Report, arm: ArmFigures, verdict: Verdict) -> Verdict:
        """Return *verdict*, but let no latency pass that blocks have kept low."""
        timed = self.metric.kind == "speedup" or self.metric.name.endswith("_ms")
        if verdict.outcome != "passed" or not timed or arm.name not in report.overloaded:
            return verdict
        return self._open(
            f"arm {arm.name} could not keep up with its schedule, so its latencies are too low"
        )

    def _unknown(self, arm: str) -> Verdict:
        return self._open(f"arm {arm} has no such figure: {self.metric.missing}")

    def _open(self, reason: str) -> Verdict:
        return Verdict(
            self.expression,
            self.metric.name,
            "inconclusive",
            f"{self.expression}: inconclusive; {reason}",
        )

    def _decide(self, arm: str, estimate: Estimate) -> Verdict:
        if estimate.ci95 is None:
            if not math.isfinite(estimate.value):
                return self._unknown(arm)
            few = "too few rounds or requests for an interval"
            return self._open(f"arm {arm} has {figure(estimate.value)}, but {few}")
        low, high = estimate.ci95
        kept = {
            ">=": (low >= self.bound, high < self.bound),
            ">": (low > self.bound, high <= self.bound),
            "<=": (high <= self.bound, low > self.bound),
            "<": (high < self.bound, low >= self.bound),
        }
        passed, failed = kept[self.op]
        outcome: Outcome = "passed" if passed else "failed" if failed else "inconclusive"
        found = (
            _plain(estimate.value)
            if low == high
            else f"{figure(estimate.value)} (95 % interval {figure(low)} to {figure(high)})"
        )
        text = f"{self.expression}: {outcome}; arm {arm} has {found}"
        return Verdict(self.expression, self.metric.name, outcome, text)


def _plain(value: float) -> str:
    """Return an exact figure for a person: whole numbers whole."""
    return f"{value:,.0f}" if value == round(value) else figure(value)


def _worst(verdicts: list[Verdict]) -> Verdict:
    for outcome in ("failed", "inconclusive"):
        for verdict in verdicts:
            if verdict.outcome == outcome:
                return verdict
    return verdicts[0]
