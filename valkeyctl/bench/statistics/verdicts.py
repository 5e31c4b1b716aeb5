"""What an interval allows one to say, in a word, in a number and in words."""

from __future__ import annotations

import math

from valkeyctl.bench.statistics.intervals import SAME_MARGIN, Estimate, Verdict

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


def in_words(ratio: Estimate, verdict: Verdict) -> str:
    """Return the effect as a clause, such as ``no difference could be shown; ...``."""
    if ratio.ci95 is None:
        return "too little was measured to tell a difference"
    low, high = ratio.ci95
    bounds = f"95 % interval {_change(low)} to {_change(high)}"
    if verdict == "same":
        return f"the same within {SAME_MARGIN:.0%} ({bounds})"
    if verdict == "inconclusive":
        seen = detectable(ratio)
        limit = "" if seen is None else f"; a difference above {_share(seen)} would have been seen"
        return f"no difference could be shown ({bounds}){limit}"
    return f"{_change(ratio.value)}, so {verdict} ({bounds})"


def _change(times: float) -> str:
    """Return a ratio as a person says it: a change in per cent, or so many times."""
    if 0.5 < times < 2:
        return f"{times - 1:+.1%}"
    return f"{times:.3g} times"


def _share(change: float) -> str:
    return f"{change:.1%}" if change < 1 else f"{change + 1:.3g} times"
