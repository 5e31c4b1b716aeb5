"""What a run found, in the one sentence that whoever decides about a cache reads first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from valkeyctl.bench.figures.arms import ArmFigures
from valkeyctl.bench.figures.comparison import Comparison
from valkeyctl.bench.figures.sentence import figure
from valkeyctl.bench.plan import Plan
from valkeyctl.bench.statistics.intervals import LEAST_ROUNDS, SAME_MARGIN, Verdict

_SECOND = 1000.0
_IN_SECONDS = 10 * _SECOND
_MOST_ARMS = 4
_BEGINNINGS = {"mean": "On average an answer takes", "p50": "Half of the answers take at most"}


@dataclass(frozen=True)
class _Against:
    """An arm beside the baseline, and what one metric says of them."""

    arm: ArmFigures
    plain: ArmFigures
    found: Comparison

    @property
    def milliseconds(self) -> float:
        """The metric of the arm."""
        return self._of(self.arm)

    @property
    def times(self) -> tuple[str, str]:
        """The metric of the arm, and of the baseline, with their units."""
        return time_text(self._of(self.arm)), time_text(self._of(self.plain))

    def _of(self, arm: ArmFigures) -> float:
        return float(getattr(arm.latency_ms, self.found.metric))


def headline(
    plan: Plan,
    arms: Sequence[ArmFigures],
    comparisons: Sequence[Comparison],
    *,
    rounds: int,
    incomplete: bool,
) -> str:
    """Return what the cache, or each arm, buys.

    By the mean, which every answer weighs in; where that may be chance and the median is
    not, by the median.

    Args:
        plan: What was asked for.
        arms: Figures of the steady rounds; none of their requests failed.
        comparisons: With the baseline.
        rounds: How many rounds the figures are of.
        incomplete: Whether the run ended before its plan.

    Returns:
        One sentence; empty where there is nothing to compare, or too little of it.
    """
    found, medians = (_pairs(plan, arms, comparisons, metric) for metric in ("mean", "p50"))
    if _unsure(found) > _unsure(medians) and len(found) == len(medians):
        found = medians
    if not found or rounds < LEAST_ROUNDS:
        return ""
    text = _alone(found[0]) if len(found) == 1 else _of_several(found)
    return f"In the part that was measured: {text[:1].lower()}{text[1:]}" if incomplete else text


def _pairs(
    plan: Plan, arms: Sequence[ArmFigures], comparisons: Sequence[Comparison], metric: str
) -> list[_Against]:
    made = {arm.name: arm for arm in plan.arms}
    named = {arm.name: arm for arm in arms}
    return [
        _Against(named[one.candidate], named[one.baseline], one)
        for one in comparisons
        # The baseline's second self tells of the noise, not of a difference.
        if one.metric == metric and not made[one.candidate].same_as(made[one.baseline])
    ]


def _unsure(found: Sequence[_Against]) -> int:
    return sum(one.found.verdict == "inconclusive" for one in found)


def _alone(one: _Against) -> str:
    if one.arm.past_cache and one.plain.past_cache and one.plain.bypasses:
        return (
            f"What the cache buys was not measured: all answers of arm {one.arm.name} passed it by."
        )
    if one.arm.past_cache and not one.plain.past_cache:
        # The arm with the cache came first, and so is what the other is compared with.
        one = _turned(one)
    by_cache = one.plain.past_cache and not one.arm.past_cache
    mine, theirs = one.times
    where = "with the cache" if by_cache else f"in arm {one.arm.name}"
    there = "without it" if by_cache else f"in arm {one.plain.name}"
    text = f"{_BEGINNINGS[one.found.metric]} {mine} {where} and {theirs} {there}"
    joint = ", " if one.found.ci95 and one.found.verdict == "inconclusive" else ": "
    return f"{text}{joint}{_verdict(one)}{_relief(one) if by_cache else ''}."


def _turned(one: _Against) -> _Against:
    verdicts: dict[Verdict, Verdict] = {"better": "worse", "worse": "better"}
    found = replace(
        one.found,
        ratio=1 / one.found.ratio,
        verdict=verdicts.get(one.found.verdict, one.found.verdict),
    )
    return _Against(one.plain, one.arm, found)


def _relief(one: _Against) -> str:
    """Return what the origin is spared, as a clause; empty where nobody counted."""
    saved = one.arm.savings
    if saved is not None and saved.origin_share is not None:
        if not saved.origin_share.value:
            return "; the origin is called as often"
        return f"; the origin gets {saved.origin_share.value * 100:.1f} % fewer calls"
    if saved is not None and saved.origin_calls is not None and saved.origin_calls < 0:
        return f"; the origin gets {-saved.origin_calls:,} more calls"
    if one.arm.hit_ratio is not None:
        return f"; {one.arm.hit_ratio * 100:.1f} % of the answers came from the cache"
    return ""


def _of_several(found: Sequence[_Against]) -> str:
    first, shown = found[0], found
    if len(found) > _MOST_ARMS:
        ordered = sorted(found, key=lambda one: one.milliseconds)
        shown = [ordered[0], ordered[-1]]
    where = "without the cache" if first.plain.past_cache else f"in arm {first.plain.name}"
    text = f"{_BEGINNINGS[first.found.metric]} {first.times[1]} {where}"
    said = [f"{one.times[0]} in arm {one.arm.name} ({_verdict(one)})" for one in shown]
    if len(shown) < len(found):
        return f"{text}; of {len(found)} others the quickest is {said[0]}, the slowest {said[1]}."
    return f"{text}, {', '.join(said[:-1])} and {said[-1]}."


def _verdict(one: _Against) -> str:
    match one.found.verdict:
        case "better":
            return f"{figure(one.found.ratio)} times as fast"
        case "worse":
            return f"{figure(1 / one.found.ratio)} times as long"
        case "same":
            return f"the same within {SAME_MARGIN * 100:g} %"
        case _:
            if one.found.ci95 is None:
                return "too little was measured to tell them apart"
            return "which may be chance, as no difference could be shown"


def time_text(milliseconds: float) -> str:
    """Return a time with its unit for a sentence; seconds from ten of them on."""
    if milliseconds >= _IN_SECONDS:
        return f"{figure(milliseconds / _SECOND)} s"
    return f"{figure(milliseconds)} ms"
