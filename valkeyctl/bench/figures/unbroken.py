"""What an open loop that is cut into blocks does not show of the schedule it stands for.

A block ends with its last answers, and the arm's next one begins with an empty queue. So of a
target that cannot keep up, the queue grows no longer than one block takes, however long the run:
its latencies follow from the length of the blocks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from valkeyctl.bench.figures.sentence import Sentence
from valkeyctl.bench.figures.throughput import growth
from valkeyctl.bench.samples import Samples
from valkeyctl.units import several

# Of a second for each second of schedule: below it, a short queue still grows to its length.
_OVERLOADED = 0.1


def overloads(samples: Samples) -> dict[str, float]:
    """Return the arms that could not keep up with their schedule.

    Returns:
        By how many seconds latency grew there in each second of a block, by the arm's name.
        Empty in a closed loop, and of a single block, which hides nothing.
    """
    rounds = samples.complete_rounds()
    if samples.plan.load_model != "open" or len(rounds) < 2:
        return {}
    known = samples.rows[np.isin(samples.rows["round"], rounds)]
    grows = {
        arm.name: growth(known[known["arm"] == number], rounds)
        for number, arm in enumerate(samples.plan.arms)
    }
    return {name: by for name, by in grows.items() if by > _OVERLOADED}


def unbroken(samples: Samples, overloaded: Mapping[str, float]) -> Iterator[Sentence]:
    """Yield of which arms latencies would be higher in a schedule without breaks.

    Args:
        samples: The run.
        overloaded: As `overloads` has found.
    """
    blocks = several(len(samples.complete_rounds()), "block")
    for name, by in overloaded.items():
        yield Sentence(
            "warning",
            f"Latency of arm {name} grew by {by:.1f} s in each second of a block, and its queue "
            f"was emptied after each of {blocks}: without these breaks it would grow on, so these "
            "figures are too low for what was offered. Lower --rate, or give fewer --rounds for "
            "longer blocks.",
        )
