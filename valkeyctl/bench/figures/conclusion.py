"""What a run shows, in sentences computed from its figures; bad news comes first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from valkeyctl.bench.figures.arms import ArmFigures
from valkeyctl.bench.figures.comparison import Comparison
from valkeyctl.bench.figures.floor import Floor
from valkeyctl.bench.figures.phases import Phases
from valkeyctl.bench.figures.savings import money_text
from valkeyctl.bench.figures.sentence import METRIC_NAMES, Kind, Sentence, figure
from valkeyctl.bench.plan import Plan
from valkeyctl.bench.statistics.intervals import LEAST_ROUNDS, SAME_MARGIN, Estimate
from valkeyctl.bench.statistics.verdicts import too_slow
from valkeyctl.bench.traffic.stream import Traffic

__all__ = ["METRIC_NAMES", "Circumstances", "Kind", "Sentence", "conclude", "figure"]

_ALMOST_NOTHING = 0.02
_LITTLE = 0.10
_BUSY = 0.9
_LATE_MS, _LATE_SHARE = 1.0, 0.1
_HEADLINES = ("p50", "p99", "throughput")


@dataclass(frozen=True)
class Circumstances:
    """What happened to a run besides its figures.

    Attributes:
        rounds: How many rounds the figures are of.
        phases: Which of the complete rounds are the steady state.
        incomplete: Why the run ended early; empty when it did not.
        refused: Why its figures are the load generator's own; empty when they are not.
        unfinished: Requests without a right answer in rounds that not every arm finished.
        stand_in: What a simulated origin does to the figures, said already.
        miscounted: Requests that Locust counted beyond the samples, below zero for fewer.
        incidents: What happened to the cache's servers, said already.
    """

    rounds: int
    phases: Phases
    incomplete: str = ""
    refused: str = ""
    unfinished: int = 0
    stand_in: tuple[Sentence, ...] = ()
    miscounted: int = 0
    incidents: tuple[Sentence, ...] = ()


def conclude(
    plan: Plan,
    traffic: Traffic,
    arms: Sequence[ArmFigures],
    comparisons: Sequence[Comparison],
    floors: Sequence[Floor],
    happened: Circumstances,
) -> tuple[Sentence, ...]:
    """Return what may be said, most important first.

    Args:
        plan: What was asked for.
        traffic: What was known of the stream beforehand.
        arms: Figures of the steady rounds.
        comparisons: With the baseline.
        floors: What arms that were played twice say of the noise.
        happened: What happened to the run besides.
    """
    clean = not any(arm.wrong for arm in arms) and not (happened.refused or happened.unfinished)
    return (
        *_refusal(happened),
        *_failures(arms, happened),
        *_unsteady(happened),
        *_shortfalls(plan, happened),
        *_books(happened.miscounted),
        *happened.incidents,
        *_cache_use(plan, traffic, arms),
        *_speed(plan, comparisons, clean=clean, rounds=happened.rounds),
        *happened.stand_in,
        *(_noise(floors) if clean else ()),
        *(_worth(arms) if clean else ()),
        *(() if happened.refused else _lateness(arms)),
        *_overload(plan, arms, blamed=not happened.refused),
        *_cold(arms),
        *_reading(plan, traffic),
    )


def _refusal(happened: Circumstances) -> Iterator[Sentence]:
    if happened.refused:
        text = happened.refused[:1].upper() + happened.refused[1:]
        yield Sentence("error", f"{text}. Nothing is concluded.")


def _unsteady(happened: Circumstances) -> Iterator[Sentence]:
    if not happened.phases.found:
        yield Sentence(
            "warning",
            "Not steady: the figures never settled, so they are of all rounds and would be "
            f"others in a longer run ({happened.phases.how}).",
        )


def _failures(arms: Sequence[ArmFigures], happened: Circumstances) -> Iterator[Sentence]:
    for arm in arms:
        if arm.wrong:
            where = "" if arm.errors else " in its cold start"
            yield Sentence(
                "error",
                f"{arm.wrong:,} of {arm.sent:,} requests of arm {arm.name} had no right "
                f"answer{where} (the first: {arm.first_error}). No speed-up is claimed.",
            )
    if happened.unfinished:
        yield Sentence(
            "error",
            f"{happened.unfinished:,} requests of rounds that were not finished had no right "
            "answer. No speed-up is claimed.",
        )


def _shortfalls(plan: Plan, happened: Circumstances) -> Iterator[Sentence]:
    rounds = happened.rounds
    if happened.incomplete:
        played = rounds + len(happened.phases.cold)
        yield Sentence(
            "warning",
            f"The run is incomplete ({happened.incomplete}): {played} of {plan.rounds} rounds were "
            "played in every arm, and only these count.",
        )
    if rounds < LEAST_ROUNDS and len(plan.arms) > 1:
        yield Sentence(
            "warning",
            f"{rounds} {'round is' if rounds == 1 else 'rounds are'} too few to conclude from; "
            f"{LEAST_ROUNDS} are the least.",
        )


def _books(miscounted: int) -> Iterator[Sentence]:
    if miscounted:
        yield Sentence(
            "warning",
            f"Locust counted {abs(miscounted):,} requests {'more' if miscounted > 0 else 'fewer'} "
            "than there are samples: requests were lost or repeated on the way.",
        )


def _cache_use(plan: Plan, traffic: Traffic, arms: Sequence[ArmFigures]) -> Iterator[Sentence]:
    if not traffic.has_identity:
        yield Sentence(
            "warning",
            "The trace does not say which prompts are equal, so every request was sent as a "
            "prompt of its own: no hit ratio can come from it.",
        )
        return
    # Without an arm past the cache, the arms are told apart by what they leave to the origin.
    plain = next((arm for arm in arms if arm.name == plan.baseline), None)
    for arm in arms:
        if arm.bypasses or arm.hit_ratio is None:
            continue
        if arm.past_cache:
            if all(other.past_cache for other in arms):
                yield Sentence(
                    "warning",
                    f"All answers of arm {arm.name} passed the cache by, as they say themselves "
                    "(X-Cache: bypass): what it buys was not measured.",
                )
            continue
        # The ratio is of right answers; the failures have a sentence of their own.
        asked = "right answers" if arm.errors else "requests"
        text = (
            f"{arm.from_cache:,} of {arm.requests - arm.errors:,} {asked} of arm {arm.name} "
            f"({arm.hit_ratio * 100:.2f} %) could be answered from the cache"
        )
        if arm.hit_ratio < _ALMOST_NOTHING:
            text += ": on this traffic caching buys almost nothing."
        elif arm.hit_ratio < _LITTLE:
            text += ": on this traffic caching buys little."
        else:
            text += "."
        yield Sentence("result", text)
        if plain is None or arm is plain:
            continue
        if arm.origin_calls is not None and plain.origin_calls is not None:
            saved = arm.savings.origin_share if arm.savings else None
            fewer = f": {_percent(saved)} fewer" if saved is not None else ""
            if fewer and arm.requests != plain.requests:
                fewer += " for as many requests"
            yield Sentence(
                "result",
                f"The origin was called {arm.origin_calls:,} times by arm {arm.name}, "
                f"{plain.origin_calls:,} times by arm {plain.name}{fewer}.",
            )


def _speed(
    plan: Plan, comparisons: Sequence[Comparison], *, clean: bool, rounds: int
) -> Iterator[Sentence]:
    if not clean or rounds < LEAST_ROUNDS:
        return
    # The baseline's second self tells of the noise, not of a difference.
    comparisons = [one for one in comparisons if not _twins(plan, one.candidate, one.baseline)]
    said_worse = {
        one.candidate for one in comparisons if one.metric in _HEADLINES and one.verdict == "worse"
    }
    for one in comparisons:
        # What got worse elsewhere in the distribution is not left out for being no headline.
        hidden = one.verdict == "worse" and one.candidate not in said_worse
        if one.metric in _HEADLINES or hidden:
            yield Sentence("result", _words(one))


def _words(one: Comparison) -> str:
    name, ci95 = METRIC_NAMES[one.metric], one.ci95
    arms = f"arms {one.candidate} and {one.baseline}"
    slow = "" if one.needed is None else f"; {too_slow(one.needed)}"
    if ci95 is None:
        return f"By {name}, too little was measured to tell {arms} apart{slow}."
    bounds = f"(95 % interval {figure(ci95[0])} to {figure(ci95[1])})"
    if one.verdict == "same":
        return f"By {name}, {arms} are the same within {SAME_MARGIN * 100:g} % {bounds}."
    if one.verdict == "inconclusive":
        seen = one.detectable
        limit = "" if seen is None else f"; one {_above(seen)} would have been"
        return f"By {name}, no difference between {arms} could be shown {bounds}{limit}{slow}."
    faster, slower, ratio = one.candidate, one.baseline, one.ratio
    if one.verdict == "worse":
        faster, slower, ratio = slower, faster, 1 / ratio
        bounds = f"(95 % interval {figure(1 / ci95[1])} to {figure(1 / ci95[0])})"
    if one.metric == "throughput":
        times = f"{figure(ratio)} times as many answers a second"
        return f"Arm {faster} gives {times} as arm {slower} {bounds}."
    return f"By {name}, arm {faster} is {figure(ratio)} times as fast as arm {slower} {bounds}."


def _above(change: float) -> str:
    """Return how large a difference must be that nine of ten such runs would show."""
    return f"above {change * 100:.0f} %" if change < 1 else f"beyond {figure(change + 1)} times"


def _lateness(arms: Sequence[ArmFigures]) -> Iterator[Sentence]:
    for arm in arms:
        due, left = arm.latency_ms, arm.sender.on_time_ms
        if due is None or left is None:
            continue
        moved = [
            f"{METRIC_NAMES[name]} {figure(there)} ms and not {figure(here)}"
            for name in ("p50", "p99", "mean")
            if (here := getattr(due, name)) - (there := getattr(left, name))
            > max(_LATE_MS, _LATE_SHARE * there)
        ]
        if moved:
            yield Sentence(
                "warning",
                f"The load generator was late in arm {arm.name}, as something else used its "
                f"core: from when requests left, it would be {', '.join(moved)}. The intervals "
                "and verdicts hold both ways.",
            )


def _overload(plan: Plan, arms: Sequence[ArmFigures], *, blamed: bool) -> Iterator[Sentence]:
    for arm in arms:
        # Of a generator that could not keep up, no place in flight is no fault of the target's.
        if blamed and arm.held_back * 100 > arm.requests:
            yield Sentence(
                "warning",
                f"Arm {arm.name} was offered more than it could take: {arm.held_back:,} of "
                f"{arm.requests:,} requests waited in the client, as {plan.max_in_flight} were "
                "in flight. The wait is part of the latencies.",
            )
        busy = arm.sender.utilisation
        if busy is not None and busy > _BUSY:
            yield Sentence(
                "warning",
                f"The load generator was busy {busy * 100:.0f} % of the time in arm {arm.name}: "
                "what it could send may have been the limit. More --workers show it.",
            )


def _noise(floors: Sequence[Floor]) -> Iterator[Sentence]:
    for pair in dict.fromkeys((one.first, one.second) for one in floors):
        mine = [one for one in floors if (one.first, one.second) == pair]
        worst = max(mine, key=lambda one: one.reach)
        odd = [one for one in mine if not one.clean]
        arms = f"Arms {pair[0]} and {pair[1]} are the same"
        if odd:
            named = ", ".join(METRIC_NAMES[one.metric] for one in odd)
            yield Sentence(
                "warning",
                f"{arms}, and yet they differ by {named}: the machine was not even. "
                f"Differences below {worst.reach * 100:.1f} % mean nothing here.",
            )
        else:
            yield Sentence(
                "note",
                f"{arms}, and no difference could be shown between them; differences below "
                f"{worst.reach * 100:.1f} % could be noise.",
            )


def _worth(arms: Sequence[ArmFigures]) -> Iterator[Sentence]:
    for arm in arms:
        saved = arm.savings
        if saved is None or arm.bypasses:
            continue
        if saved.money is not None and saved.prices is not None and saved.money_share is not None:
            name = saved.prices.currency
            yield Sentence(
                "result",
                f"Answers from the cache saved arm {arm.name} {money_text(saved.money, name)}, "
                f"{_percent(saved.money_share)} of what its tokens cost at "
                f"{saved.prices.input:g} {name} for a million tokens of prompts and "
                f"{saved.prices.output:g} {name} for a million of answers.",
            )
        if saved.break_even is not None and arm.hit_ratio is not None:
            pays = f"pays from a hit ratio of {saved.break_even * 100:.1f} % on"
            if not saved.break_even:
                pays = "pays from the first hit on, as its misses take no longer"
            yield Sentence(
                "note",
                f"By mean latency, arm {arm.name} {pays}; its hit ratio was "
                f"{arm.hit_ratio * 100:.1f} %.",
            )


def _cold(arms: Sequence[ArmFigures]) -> Iterator[Sentence]:
    cold = [arm for arm in arms if arm.cold is not None and not arm.bypasses]
    for arm in cold[:1]:
        if arm.cold is None:
            continue
        ratio = ""
        if arm.cold.hit_ratio is not None and arm.hit_ratio is not None:
            ratio = (
                f"; arm {arm.name} had a hit ratio of {arm.cold.hit_ratio * 100:.1f} % in it, "
                f"and of {arm.hit_ratio * 100:.1f} % after it"
            )
        rounds = "1 round" if arm.cold.rounds == 1 else f"{arm.cold.rounds} rounds"
        yield Sentence(
            "note",
            f"The cold start from an empty cache, {rounds}, is shown on its own and not in "
            f"the figures{ratio}.",
        )


def _twins(plan: Plan, first: str, second: str) -> bool:
    arms = {arm.name: arm for arm in plan.arms}
    return arms[first].same_as(arms[second])


def _percent(share: Estimate) -> str:
    text = f"{share.value * 100:.1f} %"
    if share.ci95 is None:
        return text
    return f"{text} (95 % interval {share.ci95[0] * 100:.1f} to {share.ci95[1] * 100:.1f} %)"


def _reading(plan: Plan, traffic: Traffic) -> Iterator[Sentence]:
    if plan.load_model == "open":
        yield Sentence(
            "note",
            "Open loop: arrivals follow the schedule whether or not answers keep up, and "
            "latency counts from the intended start. Throughput is at most the offered load, "
            "so no speed-up of it is claimed.",
        )
    else:
        yield Sentence(
            "note",
            f"Closed loop: each of {plan.users} users waits for its answer before it asks "
            "again, so a slow target is asked less often and its latencies look better than "
            "under a fixed rate.",
        )
    if plan.trace is not None and traffic.distinct is not None and traffic.has_identity:
        yield Sentence(
            "note",
            f"The trace holds {traffic.distinct:,} different prompts in {traffic.requests:,} "
            "requests; an exact-match cache without bounds answers the difference.",
        )
