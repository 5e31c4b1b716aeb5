"""What an interval allows one to say, in a word, in a number and in words."""

from __future__ import annotations

import math
from dataclasses import replace

from valkeyctl.bench.statistics.intervals import SAME_MARGIN, Estimate, Verdict

# A ratio whose bounds are this many times apart is not known in its order of magnitude.
_FAR_APART = 100.0
# Standard errors to the bound of the interval, and to a power of 90 %.
_BOUND, _POWER = 1.960, 1.282


def detectable(ratio: Estimate) -> float | None:
    """Return the change that nine of ten such runs would have shown; 0.03 is 3 %.

    It follows from the width of the interval alone, not from where the interval lies;
    None where there is no interval.

    Source: Cohen, Statistical Power Analysis (1988), 1.4, solved for the effect.
    """
    if ratio.ci95 is None or not 0 < ratio.ci95[0] < math.inf:
        return None
    half = math.log(ratio.ci95[1] / ratio.ci95[0]) / 2
    return math.expm1(half * (_BOUND + _POWER) / _BOUND)


def telling(ratio: Estimate) -> Estimate:
    """Return *ratio*, without its interval where that says nothing.

    It says nothing when it holds no difference and its bounds are a hundred times apart: a
    run that never settled, or has few rounds that are far from each other, gives such ones.
    An interval as wide that excludes 1 still says which arm is better.
    """
    if ratio.ci95 is None:
        return ratio
    low, high = ratio.ci95
    return replace(ratio, ci95=None, blocks=0) if low <= 1 <= high > _FAR_APART * low else ratio


def needed_seconds(ratio: Estimate, seconds: float) -> float | None:
    """Return how long a run with this noise must last; None where *seconds* are enough.

    Whole seconds, rounded up to two digits. It is long enough when its rounds are worth
    as many independent ones as an exact interval needs; that does not say that a
    difference will be shown.
    """
    if ratio.longer <= 1 or seconds <= 0:
        return None
    needed = ratio.longer * seconds
    digit = 10 ** max(math.floor(math.log10(needed)) - 1, 0)
    return float(math.ceil(needed / digit) * digit)


def too_slow(needed: float) -> str:
    """Return that a run was too short for its noise, as a clause; *needed* in seconds."""
    return f"the noise of this run is too slow for its length: run at least about {needed:,.0f} s"


def in_words(ratio: Estimate, verdict: Verdict, needed: float | None = None) -> str:
    """Return the effect as a clause, such as ``no difference could be shown; ...``.

    Args:
        ratio: With its interval.
        verdict: What may be said of it.
        needed: Seconds that the run should have lasted; None where it was long enough.
    """
    slow = "" if needed is None else f"; {too_slow(needed)}"
    if ratio.ci95 is None:
        return f"too little was measured to tell a difference{slow}"
    low, high = ratio.ci95
    bounds = f"95 % interval {_change(low)} to {_change(high)}"
    if verdict == "same":
        return f"the same within {SAME_MARGIN:.0%} ({bounds})"
    if verdict == "inconclusive":
        seen = detectable(ratio)
        limit = "" if seen is None else f"; a difference above {_share(seen)} would have been seen"
        return f"no difference could be shown ({bounds}){limit}{slow}"
    return f"{_change(ratio.value)}, so {verdict} ({bounds})"


def _change(times: float) -> str:
    """Return a ratio as a person says it: a change in per cent, or so many times."""
    if 0.5 < times < 2:
        return f"{times - 1:+.1%}"
    return f"{times:.3g} times"


def _share(change: float) -> str:
    return f"{change:.1%}" if change < 1 else f"{change + 1:.3g} times"
