"""What a cache costs its callers while something is wrong with its server.

Each fault strikes a server of its own while a cache is in use; callers then ask for a
stored entry and for a new one by turns, one after another, and then fifty at a time. The
loader returns at once, so what a call takes is what the cache adds. The budget is the
default one, 25 ms.

    python -m benchmarks.faults [ROUNDS]
"""

from __future__ import annotations

import asyncio
import logging
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import structlog

from benchmarks.micro.tables import Table
from tests.caching.faults import FAULTS, Cost, measured

_COLUMNS = ("", "first", "p50", "max", "p50 of 50", "max of 50", "recovered", "loads")
_NOTES = (
    "Milliseconds beyond the loader's time: the first call, the median and the longest of 60 "
    "calls one after another, then of 4 x 50 at a time; from the fault's end until a value is "
    "stored and read again. Loads: origin calls for 260 calls, half of the first 60 for an "
    "entry that is stored.",
)


async def main(rounds: int) -> None:
    """Print the table."""
    rows = []
    for name, fault_of in FAULTS.items():
        costs = []
        for _ in range(rounds):
            with tempfile.TemporaryDirectory() as folder:
                async with fault_of(Path(folder)) as fault:
                    costs.append(await measured(fault))
        rows.append(_row(name, costs))
        print(f"{name} measured", file=sys.stderr)
    notes = [f"{rounds} rounds: medians of medians, longest of all.", *_NOTES]
    print(Table("Faults", _COLUMNS, rows, notes).text())


def _row(name: str, costs: Sequence[Cost]) -> Sequence[str]:
    return (
        name,
        f"{max(cost.first_ms for cost in costs):.1f}",
        f"{median(cost.median_ms for cost in costs):.2f}",
        f"{max(cost.max_ms for cost in costs):.1f}",
        f"{median(cost.crowd_median_ms for cost in costs):.1f}",
        f"{max(cost.crowd_max_ms for cost in costs):.1f}",
        f"{max(cost.recovery_ms for cost in costs):,.0f}",
        f"{costs[-1].loads[0]}",
    )


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 5))
