"""In how many seconds the answers of a round came, for throughput.

A closed loop's block is busy from its beginning to its end. An open loop's is not: behind
its last arrival it waits for the last answers, and one slow answer says nothing of how many
the target can give in a second. There the time is that of the schedule, and longer only by
as much as the target fell behind it.

Where a target answers fewer than it is asked, every request waits longer than the one before:
at R arrivals and C answers a second, latency grows by R/C - 1 for each second of schedule, and
so the schedule's time times one plus that growth is the time of R answers at C a second.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from valkeyctl.bench.figures.outcomes import Rows
from valkeyctl.bench.samples import StageResult

# Standard errors from which on a growth is more than chance.
_CERTAIN = 3.0
_FEWEST_ROUNDS = 2


def answering_seconds(
    rows: Rows, rounds: Sequence[int], stages: Sequence[StageResult], *, scheduled: bool
) -> list[float]:
    """Return the seconds of each round that its answers came in.

    Args:
        rows: Samples of one arm's *rounds*, errors too.
        rounds: Ascending.
        stages: The arm's blocks of these rounds, in the same order.
        scheduled: Whether it is an open loop.
    """
    lengths = [stage.end - stage.begin for stage in stages]
    if not scheduled:
        return lengths
    places = np.searchsorted(rounds, rows["round"])
    behind = 1 + _growth(rows, places, len(rounds))
    return [
        length if span is None else span * behind
        for length, span in zip(lengths, _spans(rows, places, len(rounds)), strict=True)
    ]


def growth(rows: Rows, rounds: Sequence[int]) -> float:
    """Return by how many seconds latency grows in each second of schedule, within the rounds.

    Args:
        rows: Samples of one arm's *rounds*, errors too.
        rounds: Ascending.

    Returns:
        R/C - 1 for a target that gives C answers a second to R arrivals; 0 where no growth
        can be told from chance.
    """
    return _growth(rows, np.searchsorted(rounds, rows["round"]), len(rounds))


def _spans(rows: Rows, places: npt.NDArray[np.int64], rounds: int) -> list[float | None]:
    """Return the time that each round's arrivals take, a last gap included.

    None where there is no gap: all are due at once.
    """
    first, last = np.full(rounds, np.inf), np.full(rounds, -np.inf)
    np.minimum.at(first, places, rows["intended"])
    np.maximum.at(last, places, rows["intended"])
    counts = np.bincount(places, minlength=rounds)
    return [
        float((high - low) * count / (count - 1)) if count > 1 and high > low else None
        for low, high, count in zip(first, last, counts, strict=True)
    ]


def _growth(rows: Rows, places: npt.NDArray[np.int64], rounds: int) -> float:
    """Return by how much latency grew for each second of schedule, within the rounds.

    The slope of least squares over all rounds, each about its own mean; 0 where it is below
    `_CERTAIN` of its standard errors, which take the requests of one round as one observation:
    they share whatever the machine did then.
    Source: Liang & Zeger, Longitudinal data analysis using generalized linear models (1986).
    """
    right = rows["error"] == 0
    places = places[right]
    due, ended = rows["intended"][right], rows["end"][right]
    counts = np.maximum(1, np.bincount(places, minlength=rounds))
    late = ended - due
    x = due - (np.bincount(places, due, rounds) / counts)[places]
    y = late - (np.bincount(places, late, rounds) / counts)[places]
    shared, spread = np.bincount(places, x * y, rounds), np.bincount(places, x * x, rounds)
    whole = float(spread.sum())
    if whole <= 0:
        return 0.0
    slope = float(shared.sum()) / whole
    if rounds < _FEWEST_ROUNDS:
        return max(0.0, slope)
    left = shared - slope * spread
    error = float(np.sqrt((left**2).sum() * rounds / (rounds - 1))) / whole
    return slope if slope > _CERTAIN * error else 0.0
