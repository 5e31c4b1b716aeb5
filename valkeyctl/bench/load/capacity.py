"""What the load generator itself could do, so that a run it spoiled can be refused."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

# Of a core: above it, requests wait for the generator as they would for any busy server.
USABLE = 0.8


def lateness_p99_ms(seconds: Sequence[float]) -> float | None:
    """Return the nearest-rank p99 of how late requests were sent; None without any.

    Args:
        seconds: Start minus intended start of each request that did not have to wait for
            a place among those in flight; in any order.

    Source: Hyndman & Fan, Sample Quantiles in Statistical Packages (1996), definition 1.
    """
    if not len(seconds):
        return None
    import numpy as np  # only after the child has begun; a sorted list of a million is slow

    rank = -(-99 * len(seconds) // 100) - 1
    return float(np.partition(np.asarray(seconds, dtype=np.float64), rank)[rank]) * 1000


def highest_rate(stages: Iterable[tuple[int, float | None]], *, processes: int = 1) -> float | None:
    """Return the requests per second that the generator has the processor time for.

    A request has cost it so much of a core; at `USABLE` of a core for each process, so
    many fit into a second. One that was late at a lower rate did not get its core:
    something else had it.

    Args:
        stages: (requests, processor seconds) of each stage.
        processes: How many sent load, each with a core of its own.

    Returns:
        Requests per second, all processes together; None where no stage says what it cost.
    """
    known = [(size, cpu) for size, cpu in stages if cpu is not None]
    busy = sum(cpu for _, cpu in known)
    return USABLE * processes * sum(size for size, _ in known) / busy if busy > 0 else None
