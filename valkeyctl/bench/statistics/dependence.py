"""How long a run remembers: what neighbouring rounds have in common, and what follows.

Rounds are evidence only as far as they are independent. Alternating order takes most of
the machine's memory out of a paired difference (of an autocorrelation r between blocks,
r (1 - r) / 2 is left between rounds, at most 1/8), but not what one arm alone remembers:
its process on a busy core, its own garbage collection. So it is measured, every time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from valkeyctl.bench.statistics.blocks import Floats, block_means

LEAST_BLOCKS = 5
# Of fewer rounds, the autocorrelation that was measured says next to nothing; of fewer
# groups of rounds, it would be found too often where there is none.
_MEASURABLE = 10
_LEAST_GROUPS = 20
# Slow noise beneath quick noise is seen only in the means of several rounds.
_GROUPS_OF = (1, 2, 4, 8)
# One-sided 10 %: below it, chance alone is explanation enough.
_SIGNIFICANT = 1.2816
_HIGHEST = 0.97
# Blocks this many times r / (1 - r^2) long keep 0.06 or so between neighbours at r = 0.3.
_LENGTHS = 8.0


@dataclass(frozen=True)
class Dependence:
    """How rounds are to be resampled.

    Attributes:
        autocorrelation: Of neighbouring rounds, or groups of rounds, with the margin of
            error of its estimate; 0 where it cannot be told from none.
        blocks: How many blocks of consecutive rounds to resample, each as one.
        widening: Factor on the interval for what neighbouring blocks still share; 1 or more.
        longer: How many times as many rounds would be worth `LEAST_BLOCKS` independent
            ones; 1 where these are.
    """

    autocorrelation: float
    blocks: int
    widening: float
    longer: float = 1.0


def lag1(values: Floats) -> float:
    """Return the autocorrelation of neighbours in *values*; 0 where they do not vary.

    Of n independent values it is -1/n on average.
    """
    centred = values - values.mean()
    spread = float(centred @ centred)
    return float(centred[1:] @ centred[:-1]) / spread if spread > 0 else 0.0


def dependence(values: Floats) -> Dependence:
    """Return how to resample rounds whose influences on a figure were *values*.

    The lag-1 autocorrelation r is tested for single rounds and for the means of 2, 4 and 8
    rounds. Where one is significant, the blocks are 8 r / (1 - r^2) of them long, but there
    are never fewer than `LEAST_BLOCKS`, and the interval is widened by what an AR(1)
    process of that r leaves between blocks; of several that are significant, the one that
    asks for the widest interval counts. r is corrected for its bias, and taken one
    standard error high: if it is too low it costs false alarms, if too high only width.

    Automatic block lengths that minimise a mean squared error (Politis & White 2004,
    corrected 2009) see too little in 10 to 60 rounds: of series with r = 0.5 and 40 rounds
    they left 17.6 % false alarms, where this leaves about 6.

    Source: Marriott & Pope, Bias in the Estimation of Autocorrelations, and Kendall's note
    on it, both Biometrika 41 (1954): the estimate is low by (1 + 3 r) / n on average.
    """
    n = len(values)
    found, widest = Dependence(0.0, n, 1.0), 0.0
    for size in _GROUPS_OF:
        groups = n // size
        if groups < (_MEASURABLE if size == 1 else _LEAST_GROUPS):
            break
        means = block_means(values, groups)
        plain = lag1(means)
        if plain + 1 / groups < _SIGNIFICANT / math.sqrt(groups):
            continue
        likely = min((groups * plain + 1) / (groups - 3), _HIGHEST)
        r = min(likely + math.sqrt((1 - likely**2) / groups), _HIGHEST)
        error = float(means.var()) * _variance_of_mean(r, groups)
        if error > widest:
            widest = error
            blocks = max(LEAST_BLOCKS, groups // max(1, round(_LENGTHS * r / (1 - r**2))))
            found = Dependence(r, blocks, _widening(r, groups, blocks), _longer(r, groups))
    return found


def _widening(r: float, n: int, blocks: int) -> float:
    """Return the true standard error over the one that independent blocks would give."""
    whole = _variance_of_mean(r, n)
    apparent = (_variance_of_mean(r, n / blocks) - whole) / (blocks - 1)
    return math.sqrt(max(1.0, whole / apparent))


def _longer(r: float, n: int) -> float:
    """Return by how much *n* values of an AR(1) process are too few for `LEAST_BLOCKS` pieces.

    In the long run, (1 + r) / (1 - r) of them are worth one that is independent.
    """
    return max(1.0, LEAST_BLOCKS * (1 + r) / (1 - r) / n)


def _variance_of_mean(r: float, n: float) -> float:
    """Return the variance of the mean of *n* values of an AR(1) process of variance 1.

    Source: Brockwell & Davis, Time Series: Theory and Methods (1991), 7.1, summed up.
    """
    return (1 + 2 * r / (1 - r) * (1 - (1 - math.pow(r, n)) / (n * (1 - r)))) / n
