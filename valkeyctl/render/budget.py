"""Proof that what the server may take fits what the container may have.

The terms and their defaults are those of docs/explanation/memory-budget.md:
maxmemory counts neither buffers, nor the pages that a save copies, nor
fragmentation, and it is the whole that the kernel kills for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from valkeyctl.errors import BudgetError
from valkeyctl.profile.schema import Profile
from valkeyctl.units import format_size

BASE = 16 * 2**20  # an empty server, its libraries and its stacks
AOF_REWRITE = 8 * 2**20  # the buffer that an AOF rewrite fills
WARN_SHARE = 0.85
# maxmemory: auto is cut to whole MiB below this, so that it stays under the warning.
_MIN_MAXMEMORY = 2 * 2**20
_ROUNDING = 16  # bytes; more than rounding the shares up, and floats, can add


@dataclass(frozen=True)
class MemoryBudget:
    """Every share of the container's memory, in bytes.

    Attributes:
        limit: What the container may have.
        maxmemory: What the data may take.
        copy_on_write: Pages rewritten while a save runs.
        fragmentation: Memory lost between allocations.
        clients: Client buffers (maxmemory-clients).
        replicas: Replica output buffers and the backlog.
        aof: AOF rewrite buffer.
    """

    limit: int
    maxmemory: int
    copy_on_write: int
    fragmentation: int
    clients: int
    replicas: int
    aof: int

    @property
    def total(self) -> int:
        """All that may be in use at the same moment, in bytes."""
        return (
            self.maxmemory
            + self.copy_on_write
            + self.fragmentation
            + self.clients
            + self.replicas
            + self.aof
            + BASE
        )

    @property
    def share(self) -> float:
        """The total as a share of the limit; 1 is full."""
        return self.total / self.limit

    @property
    def tight(self) -> bool:
        """Whether the budget fits, with less than 15 % to spare."""
        return self.share > WARN_SHARE

    def lines(self) -> list[str]:
        """Return the arithmetic, one term a line, for a person."""
        terms = (
            ("maxmemory", self.maxmemory),
            ("copy on write", self.copy_on_write),
            ("fragmentation", self.fragmentation),
            ("client buffers", self.clients),
            ("replica buffers", self.replicas),
            ("aof rewrite", self.aof),
            ("server itself", BASE),
        )
        rows = [f"{name:<16}{format_size(size):>12}" for name, size in terms if size]
        whole = f"{'sum':<16}{format_size(self.total):>12}"
        return [*rows, f"{whole} of {format_size(self.limit)} ({self.share:.0%})"]


def plan_memory(profile: Profile) -> MemoryBudget:
    """Return the budget of *profile*, solved for maxmemory where it says ``auto``.

    Raises:
        BudgetError: It does not fit the limit; the message has the arithmetic.
    """
    memory, persistence = profile.memory, profile.persistence.mode
    saves = persistence != "none" or profile.replication.replicas > 0
    cow_share = memory.copy_on_write if saves else 0.0
    replicas = profile.replication.replicas
    replica_buffers = replicas * profile.replication.output_buffer
    if replicas:
        replica_buffers += profile.replication.backlog
    aof = AOF_REWRITE if "aof" in persistence else 0
    fixed = memory.clients + replica_buffers + aof + BASE
    reserved = fixed + _ROUNDING
    growth = 1 + cow_share + memory.fragmentation
    if memory.maxmemory == "auto":
        room = memory.limit * WARN_SHARE - reserved
        maxmemory = math.floor(room / growth / 2**20) * 2**20
    else:
        maxmemory = memory.maxmemory
    budget = MemoryBudget(
        limit=memory.limit,
        maxmemory=max(maxmemory, 0),
        copy_on_write=math.ceil(maxmemory * cow_share),
        fragmentation=math.ceil(maxmemory * memory.fragmentation),
        clients=memory.clients,
        replicas=replica_buffers,
        aof=aof,
    )
    # Zero would mean "no limit" to the server.
    if memory.maxmemory != "auto" and maxmemory < _MIN_MAXMEMORY:
        text = (
            f"{format_size(maxmemory)} is too little to hold data; write auto, or "
            f"{_MIN_MAXMEMORY // 2**20}Mi or more"
        )
        raise _refuse(profile, "memory.maxmemory", text)
    if maxmemory < _MIN_MAXMEMORY:
        needed = math.ceil((reserved + _MIN_MAXMEMORY * growth) / WARN_SHARE)
        text = (
            f"{format_size(memory.limit)} leaves no room for data: {format_size(fixed)} go to the "
            f"server and its buffers; write at least {math.ceil(needed / 2**20)}Mi"
        )
        raise _refuse(profile, "memory.limit", text)
    if budget.share > 1:
        most = math.floor((memory.limit - reserved) / growth / 2**20)
        needed = math.ceil(budget.total / 2**20)
        most_text = f", or {most}Mi at most" if most * 2**20 >= _MIN_MAXMEMORY else ""
        text = (
            f"{format_size(maxmemory)} of data may take {format_size(budget.total)} in all, more "
            f"than memory.limit {format_size(memory.limit)}; write auto{most_text}, or raise "
            f"memory.limit to {needed}Mi"
        )
        raise _refuse(profile, "memory.maxmemory", text)
    return budget


def _refuse(profile: Profile, key: str, text: str) -> BudgetError:
    return BudgetError(
        (profile.problem(key, text),),
        hint="See how it adds up: docs/explanation/memory-budget.md",
    )
