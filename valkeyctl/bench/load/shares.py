"""How much of a run falls to each of the processes that send its load."""

from __future__ import annotations

from dataclasses import replace

from valkeyctl.bench.plan import Plan


def share(total: int, worker: int, workers: int) -> int:
    """Return worker's part of *total* things; all parts together are *total*."""
    return len(range(worker, total, workers))


def own_part(plan: Plan, worker: int, workers: int) -> Plan:
    """Return *plan* with the users and the places in flight that fall to one worker."""
    return replace(
        plan,
        users=max(1, share(plan.users, worker, workers)),
        max_in_flight=max(1, share(plan.max_in_flight, worker, workers)),
        workers=1,
        remote_workers=0,
    )
