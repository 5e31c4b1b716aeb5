"""The figures of each kind of request that a scenario sends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from valkeyctl.bench.figures.outcomes import Outcomes, Rows, first_tokens, latencies, outcomes
from valkeyctl.bench.figures.spread import Spread, spread


@dataclass(frozen=True)
class KindFigures:
    """One kind of request in one arm.

    Attributes:
        name: As in the scenario.
        requests: Sent, errors included.
        errors: Without a right answer.
        outcomes: How its right answers came about.
        hit_ratio: Share of its right answers that waited for no origin call of their own.
        latency_ms: From the intended start to the whole answer; None without a right one.
        ttft_ms: The same to the first token; None where answers do not stream.
    """

    name: str
    requests: int
    errors: int
    outcomes: Outcomes
    hit_ratio: float | None
    latency_ms: Spread | None
    ttft_ms: Spread | None


def by_kind(rows: Rows, names: Sequence[str], *, identified: bool) -> tuple[KindFigures, ...]:
    """Return the figures of each kind, in the scenario's order.

    Args:
        rows: Samples of one arm.
        names: Of the kinds.
        identified: Whether equal requests can be told; without it no ratio means anything.
    """
    found = []
    for number, name in enumerate(names):
        # A locustfile's requests are of kinds that no scenario knows; all are the first.
        mine = rows if len(names) == 1 else rows[rows["request"] == number]
        right = mine[mine["error"] == 0]
        counted = outcomes(right)
        ratio = counted.free / len(right) if len(right) and counted.told and identified else None
        found.append(
            KindFigures(
                name,
                len(mine),
                len(mine) - len(right),
                counted,
                ratio,
                spread(np.sort(latencies(right))),
                spread(first_tokens(right)),
            )
        )
    return tuple(found)
