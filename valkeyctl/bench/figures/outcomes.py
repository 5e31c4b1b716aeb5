"""How answers came about: from the cache, from the origin, or unknown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from valkeyctl.bench.figures.spread import Spread, spread
from valkeyctl.bench.load.record import OUTCOMES
from valkeyctl.bench.statistics.intervals import Floats

Rows = npt.NDArray[np.void]
Bools = npt.NDArray[np.bool_]

Outcome: TypeAlias = Literal["hit", "miss", "collapsed", "stale", "bypass"]
TOLD: tuple[Outcome, ...] = get_args(Outcome)
_CODES = {name: code for code, name in enumerate(OUTCOMES)}
_FREE = tuple(_CODES[name] for name in ("hit", "collapsed", "stale"))


@dataclass(frozen=True)
class Outcomes:
    """Right answers by how they came about; all None where the target does not say.

    Attributes:
        hits: Answered from the cache.
        misses: Answered by the origin after a look into the cache.
        collapsed: Answered by the origin call of another request under way.
        stale: Answered from the cache by an entry whose time was over.
        bypassed: Answered by the origin without a look into the cache.
    """

    hits: int | None
    misses: int | None
    collapsed: int | None
    stale: int | None
    bypassed: int | None

    @property
    def told(self) -> bool:
        """Whether the target says how it answers."""
        return self.hits is not None

    @property
    def free(self) -> int:
        """Answers that waited for no origin call of their own; 0 where it is not said."""
        return (self.hits or 0) + (self.collapsed or 0) + (self.stale or 0)

    @property
    def known(self) -> int:
        """Answers whose outcome was said."""
        return self.free + (self.misses or 0) + (self.bypassed or 0)


@dataclass(frozen=True)
class OutcomeTimes:
    """How long the answers of one outcome took.

    Attributes:
        outcome: ``hit``, ``miss``, ``collapsed``, ``stale`` or ``bypass``.
        latency_ms: From the intended start to the whole answer.
        ttft_ms: The same to the first token; None where answers do not stream.
    """

    outcome: Outcome
    latency_ms: Spread
    ttft_ms: Spread | None


def outcomes(right: Rows) -> Outcomes:
    """Return how the *right* answers came about."""
    counts = np.bincount(right["outcome"], minlength=len(OUTCOMES))
    numbers = [int(counts[_CODES[name]]) for name in TOLD]
    if not any(numbers):
        return Outcomes(None, None, None, None, None)
    return Outcomes(*numbers)


def free(rows: Rows) -> Bools:
    """Say of each answer whether it waited for no origin call of its own."""
    return np.isin(rows["outcome"], _FREE)


def latencies(rows: Rows) -> Floats:
    """Return milliseconds from the intended start to the whole answer, in order of rows."""
    return np.asarray((rows["end"] - rows["intended"]) * 1000, dtype=np.float64)


def first_tokens(rows: Rows) -> Floats:
    """Return milliseconds to the first token, ascending; empty where answers do not stream."""
    first = rows["first"]
    streamed = ~np.isnan(first)
    return np.sort((first[streamed] - rows["intended"][streamed]) * 1000)


def by_outcome(right: Rows) -> tuple[OutcomeTimes, ...]:
    """Return the times of each outcome that there was."""
    found = []
    for name in TOLD:
        rows = right[right["outcome"] == _CODES[name]]
        times = spread(np.sort(latencies(rows)))
        if times is not None:
            found.append(OutcomeTimes(name, times, spread(first_tokens(rows))))
    return tuple(found)
