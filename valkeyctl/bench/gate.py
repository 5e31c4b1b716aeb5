"""``--gate``: a bound that a run must keep, decided by intervals and not by luck."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from valkeyctl.bench.arms import ArmFigures
from valkeyctl.bench.conclusion import figure
from valkeyctl.bench.plan import Plan
from valkeyctl.bench.report import Report
from valkeyctl.bench.statistics import LEAST_ROUNDS, METRICS, QUANTILES, Estimate
from valkeyctl.errors import UsageError

Outcome = Literal["passed", "failed", "inconclusive"]

SPEEDUPS = tuple(f"{metric}_speedup" for metric in METRICS)
TIMES = tuple(f"{metric}_ms" for metric in (*QUANTILES, "mean"))
COUNTS = ("errors", "requests", "hits", "misses", "collapsed", "origin_calls")
ALLOWED = (*SPEEDUPS, *TIMES, "throughput_rps", "hit_ratio", *COUNTS)

_FORM = re.compile(
    r"\s*(?:(?P<arm>[A-Za-z0-9][A-Za-z0-9_.-]*)\.)?(?P<metric>[a-z0-9_]+)\s*"
    r"(?P<op>>=|<=|>|<)\s*(?P<bound>[0-9]+(?:\.[0-9]+)?)\s*"
)


@dataclass(frozen=True)
class Verdict:
    """How a run stands to a gate.

    Attributes:
        outcome: ``passed`` or ``failed`` when the whole interval lies on that side of the
            bound; ``inconclusive`` when it straddles it or nothing may be claimed.
        text: The reason, with the figures.
    """

    outcome: Outcome
    text: str


@dataclass(frozen=True)
class Gate:
    """A bound such as ``p99_speedup>=5``, ``cached.p99_ms<=20`` or ``errors<=0``.

    Attributes:
        arm: Whose figure; empty is every arm that is compared with the baseline, and for
            ``errors`` every arm there is.
        metric: One of `ALLOWED`.
        op: ``>=``, ``>``, ``<=`` or ``<``.
        bound: What the figure is held against; milliseconds for the times.
        expression: As it was written.
    """

    arm: str
    metric: str
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
        if match is None or match["metric"] not in ALLOWED:
            raise UsageError(
                f"the gate {expression!r} cannot be read",
                hint="Write [ARM.]METRIC, one of >= > <= <, and a number, such as "
                f"p99_speedup>=5; metrics are {', '.join(ALLOWED)}",
            )
        return cls(
            match["arm"] or "",
            match["metric"],
            match["op"],
            float(match["bound"]),
            expression.strip(),
        )

    def check(self, plan: Plan) -> None:
        """Prove that a run of *plan* can decide this gate at all.

        Raises:
            UsageError: It cannot; says why. Better now than after the run.
        """
        names = [arm.name for arm in plan.arms]
        if self.arm and self.arm not in names:
            raise UsageError(
                f"the gate {self.expression!r} names an arm that the run does not have",
                hint=f"Name one of {', '.join(names)}",
            )
        if self.metric not in SPEEDUPS:
            return
        if len(names) < 2 or self.arm == plan.baseline:
            raise UsageError(
                f"the gate {self.expression!r} compares the baseline with itself",
                hint="Give a second arm, or name the arm that is compared with it",
            )
        if self.metric == "throughput_speedup" and plan.load_model == "open":
            raise UsageError(
                "in an open loop throughput is the offered load, so it has no speed-up",
                hint="Gate on a latency instead, such as p99_speedup>=5",
            )
        if plan.rounds < LEAST_ROUNDS:
            raise UsageError(
                f"{plan.rounds} rounds are too few for the gate {self.expression!r}",
                hint=f"Give at least --rounds {LEAST_ROUNDS}",
            )

    def judge(self, report: Report) -> Verdict:
        """Return how *report* stands to this gate; the worst of several arms counts."""
        if self.metric in COUNTS:
            return _worst([self._count(report, arm) for arm in self._counted(report)])
        if report.incomplete:
            return Verdict("inconclusive", f"{self.expression}: the run is incomplete")
        if failed := [arm for arm in report.arms if arm.errors]:
            return Verdict(
                "inconclusive",
                f"{self.expression}: {failed[0].errors:,} requests of arm {failed[0].name} "
                "failed, so nothing is claimed",
            )
        arms = self._candidates(report)
        if self.metric in SPEEDUPS:
            return _worst([self._speedup(report, arm) for arm in arms])
        return _worst([self._estimate(arm) for arm in arms])

    def _candidates(self, report: Report) -> list[ArmFigures]:
        if self.arm:
            return [report.arm(self.arm)]
        others = [arm for arm in report.arms if arm.name != report.plan.baseline]
        return others or list(report.arms)

    def _counted(self, report: Report) -> list[ArmFigures]:
        if self.metric == "errors" and not self.arm:
            return list(report.arms)
        return self._candidates(report)

    def _count(self, report: Report, arm: ArmFigures) -> Verdict:
        number: int | None = getattr(arm, self.metric)
        if number is None:
            return self._unknown(arm)
        verdict = self._decide(arm, Estimate(number, (number, number)))
        # Whatever an unfinished run has kept so far, the rest might have broken.
        if report.incomplete and verdict.outcome == "passed":
            return Verdict("inconclusive", f"{verdict.text}; but the run is incomplete")
        return verdict

    def _speedup(self, report: Report, arm: ArmFigures) -> Verdict:
        metric = self.metric.removesuffix("_speedup")
        for one in report.comparisons:
            if one.candidate == arm.name and one.metric == metric and report.rounds >= LEAST_ROUNDS:
                return self._decide(arm, Estimate(one.ratio, one.ci95))
        return self._unknown(arm)

    def _estimate(self, arm: ArmFigures) -> Verdict:
        metric = self.metric.removesuffix("_ms").removesuffix("_rps")
        estimate = arm.estimates.get(metric)
        return self._unknown(arm) if estimate is None else self._decide(arm, estimate)

    def _unknown(self, arm: ArmFigures) -> Verdict:
        return Verdict(
            "inconclusive", f"{self.expression}: arm {arm.name} has no such figure in this run"
        )

    def _decide(self, arm: ArmFigures, estimate: Estimate) -> Verdict:
        if estimate.ci95 is None:
            return self._unknown(arm)
        low, high = estimate.ci95
        kept = {
            ">=": (low >= self.bound, high < self.bound),
            ">": (low > self.bound, high <= self.bound),
            "<=": (high <= self.bound, low > self.bound),
            "<": (high < self.bound, low >= self.bound),
        }
        passed, failed = kept[self.op]
        outcome: Outcome = "passed" if passed else "failed" if failed else "inconclusive"
        exact = low == high
        found = (
            f"{estimate.value:,.0f}"
            if exact
            else f"{figure(estimate.value)} (95 % interval {figure(low)} to {figure(high)})"
        )
        return Verdict(outcome, f"{self.expression}: {outcome}; arm {arm.name} has {found}")


def _worst(verdicts: list[Verdict]) -> Verdict:
    for outcome in ("failed", "inconclusive"):
        for verdict in verdicts:
            if verdict.outcome == outcome:
                return verdict
    return verdicts[0]
