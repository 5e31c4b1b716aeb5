"""What an arm saves: calls to the origin, tokens, and money at a stated price."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from valkeyctl.bench.figures.outcomes import Rows, free
from valkeyctl.bench.plan import Prices
from valkeyctl.bench.statistics.intervals import Bootstrap, Estimate, Series

_LEAST_ANSWERS = 30


@dataclass(frozen=True)
class Spent:
    """What the right answers of one round cost; money at the plan's prices.

    Attributes:
        tokens: Of prompts and answers.
        tokens_saved: Of those among them that came from the cache.
        cost: Of all of them, had each been answered by the origin.
        cost_saved: Of those that came from the cache.
    """

    tokens: int
    tokens_saved: int
    cost: float
    cost_saved: float


@dataclass(frozen=True)
class Savings:
    """What an arm saves; a share is of what it would have cost without the cache.

    Attributes:
        origin_calls: Calls that the baseline made and this arm did not, for as many
            requests as this arm's; below zero it made more. None where a side does not
            count them.
        origin_share: Share of the baseline's calls, with its interval.
        tokens: Tokens of prompts and answers that came from the cache; None where answers
            do not say.
        tokens_share: Share of all tokens.
        money: Their price; None without prices.
        money_share: Share of the price of all tokens, with its interval.
        money_ci95: Interval of *money*, from that of the share.
        prices: At which money was counted.
        break_even: Hit ratio from which on the mean latency is lower than the baseline's;
            0 when misses cost nothing extra, None where it cannot be told.
    """

    origin_calls: int | None
    origin_share: Estimate | None
    tokens: int | None
    tokens_share: Estimate | None
    money: float | None
    money_share: Estimate | None
    money_ci95: tuple[float, float] | None
    prices: Prices | None
    break_even: float | None


def spent(right: Rows, rounds: list[int], prices: Prices | None) -> list[Spent]:
    """Return what each of *rounds* cost and saved, by the tokens that the answers tell."""
    cached = free(right)
    places = np.searchsorted(rounds, right["round"])
    sums = [
        np.bincount(places[chosen], weights=right[field][chosen], minlength=len(rounds))
        for chosen in (np.ones(len(right), dtype=bool), cached)
        for field in ("input", "output")
    ]
    found = []
    for sent, answered, sent_free, answered_free in zip(*sums, strict=True):
        found.append(
            Spent(
                int(sent + answered),
                int(sent_free + answered_free),
                prices.cost(sent, answered) if prices else 0.0,
                prices.cost(sent_free, answered_free) if prices else 0.0,
            )
        )
    return found


def save(
    rounds: list[Spent],
    calls: list[int | None],
    baseline_calls: list[int | None],
    prices: Prices | None,
    bootstrap: Bootstrap,
    break_even: float | None,
    *,
    times: float = 1.0,
) -> Savings:
    """Return what an arm saves over its rounds, against the baseline's same rounds.

    Args:
        rounds: What its answers cost.
        calls: To the origin, in each round.
        baseline_calls: The same of the baseline.
        prices: Of tokens; None says nothing of money.
        bootstrap: Resamples of the rounds.
        break_even: As `break_even` returns it.
        times: How many times as many requests it sent in these rounds as the baseline,
            which may have sent some of them in a round before.
    """
    ours, theirs = _known(calls), [times * call for call in _known(baseline_calls)]
    avoided = round(sum(theirs)) - sum(ours) if ours and theirs else None
    origin_share = None
    # An arm that called more has no share that it saved.
    if avoided is not None and avoided >= 0 and sum(theirs) > 0:
        pairs = [(t - o, t) for o, t in zip(ours, theirs, strict=True)]
        origin_share = share(pairs, bootstrap)
    told = any(one.tokens for one in rounds)
    money = math.fsum(one.cost_saved for one in rounds) if prices and told else None
    tokens_share = money_share = bounds = None
    if told:
        tokens_share = share([(one.tokens_saved, one.tokens) for one in rounds], bootstrap)
    if money is not None and (whole := math.fsum(one.cost for one in rounds)):
        money_share = share([(one.cost_saved, one.cost) for one in rounds], bootstrap)
        if money_share and money_share.ci95:
            bounds = (money_share.ci95[0] * whole, money_share.ci95[1] * whole)
    return Savings(
        origin_calls=avoided,
        origin_share=origin_share,
        tokens=sum(one.tokens_saved for one in rounds) if told else None,
        tokens_share=tokens_share,
        money=money,
        money_share=money_share,
        money_ci95=bounds,
        prices=prices if money is not None else None,
        break_even=break_even,
    )


def share(pairs: list[tuple[float, float]], bootstrap: Bootstrap) -> Estimate:
    """Return the sum of the parts over that of the wholes, with the rounds' interval."""
    # A share is estimated as the hit ratio is; latencies there are none of.
    blank = [np.zeros(1)] * len(pairs)
    return bootstrap.of(Series(blank, [1.0] * len(pairs), pairs), "hit_ratio")


def break_even(
    hits: tuple[int, float], misses: tuple[int, float], baseline: tuple[int, float]
) -> float | None:
    """Return the hit ratio h with h * hit + (1 - h) * miss = baseline, by mean latency.

    Args:
        hits: How many there were, and their mean latency.
        misses: The same of answers that the origin gave through the cache.
        baseline: The same of the arm without the cache.

    Returns:
        In (0, 1]; 0 when a miss is as quick as the baseline; None when a hit is not
        quicker than the baseline, or there are too few answers to say.
    """
    if min(hits[0], misses[0], baseline[0]) < _LEAST_ANSWERS or hits[1] >= baseline[1]:
        return None
    if misses[1] <= baseline[1]:
        return 0.0
    return (misses[1] - baseline[1]) / (misses[1] - hits[1])


def money_text(amount: float, currency: str) -> str:
    """Return *amount* for a person: hundredths from 1 on, and three digits below it."""
    digits = f"{amount:,.2f}" if abs(amount) >= 1 else f"{amount:.3g}"
    return f"{digits} {currency}"


def _known(calls: list[int | None]) -> list[int]:
    known = [call for call in calls if call is not None]
    return known if len(known) == len(calls) else []
