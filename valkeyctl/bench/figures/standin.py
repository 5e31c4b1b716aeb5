"""What it does to the figures that the origin is a stand-in, quicker than what it stands for."""

from __future__ import annotations

from collections.abc import Sequence

from valkeyctl.bench.figures.comparison import Comparison
from valkeyctl.bench.figures.sentence import Sentence


def stand_in(times: float, comparisons: Sequence[Comparison]) -> tuple[Sentence, ...]:
    """Return the sentence about it; a warning where an arm was slower, which may come of it.

    Args:
        times: How many times faster the origin answered than what it stands for; with 1 or
            less there is nothing to say.
        comparisons: With the baseline.
    """
    if times <= 1:
        return ()
    worse = any(one.verdict == "worse" and one.metric in {"p50", "mean"} for one in comparisons)
    text = (
        f"The origin is a stand-in that answers {times:g} times faster than what it stands for, "
        "so the time that the cache takes itself weighs more than it would: a lower --speedup "
        "shows how much."
    )
    return (Sentence("warning" if worse else "note", text),)
