"""The noise floor: how far apart equal arms are on this machine."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from valkeyctl.bench.statistics.intervals import Estimate

# From so many pairs on, their own spread says what the next one may be.
_LEAST_PAIRS = 5


@dataclass(frozen=True)
class NoiseFloor:
    """What equal arms differed by.

    Attributes:
        change: A difference below it may be the machine's alone; 0.03 is 3 %.
        pairs: A/A pairs that it comes from.
        clean: Whether every pair's interval holds no difference, which is the truth.
    """

    change: float
    pairs: int
    clean: bool


def noise_floor(pairs: Sequence[Estimate]) -> NoiseFloor | None:
    """Return the floor that ratios of equal arms set; None without a usable one.

    Give it pairs of one run, or of the same arm in repeated runs; what changes from run
    to run is seen by the second kind only. From 5 pairs on it is the 95 % prediction
    bound for the next pair: t times the root mean square of the ratios' logarithms, whose
    true mean is 0. Of fewer pairs it is the farthest that any of their intervals reaches.

    Source: Hahn & Meeker, Statistical Intervals (1991), 4.8, with a known mean.
    """
    usable = [one for one in pairs if 0 < one.value < math.inf]
    if not usable:
        return None
    away = [abs(math.log(one.value)) for one in usable]
    if len(usable) >= _LEAST_PAIRS:
        spread = math.sqrt(math.fsum(one**2 for one in away) / len(away))
        reach = _t95(len(away)) * spread
    else:
        bounds = [bound for one in usable for bound in one.ci95 or () if bound > 0]
        reach = max(*away, *(abs(math.log(bound)) for bound in bounds), 0.0)
    clean = all(one.ci95 is None or one.ci95[0] <= 1 <= one.ci95[1] for one in usable)
    return NoiseFloor(math.expm1(reach), len(usable), clean)


def _t95(degrees: int) -> float:
    """Return the two-sided 95 % quantile of Student's t, 1 % off at most from 5 degrees on.

    Source: Abramowitz & Stegun, Handbook of Mathematical Functions (1964), 26.7.5.
    """
    z = 1.959964
    return z + (z**3 + z) / (4 * degrees) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * degrees**2)
