"""What a drill has shown: gaps, errors, losses, a timeline and a verdict."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from valkeyctl.ops.drill.plan import Drill
from valkeyctl.ops.drill.tally import ErrorCount, Tally, merged, worst
from valkeyctl.units import format_duration, several

Status = Literal["ok", "warn", "fail"]

# Drills in which nothing that the deployment acknowledged may be lost.
PLANNED = ("failover", "restart")


@dataclass(frozen=True)
class ProbeFigures:
    """What one pair of probes has felt.

    Attributes:
        writes: Accepted writes.
        write_errors: Writes that failed.
        write_gap_s: The longest time without an accepted write; on a Cluster of the
            shard that felt most of it.
        reads: Answered reads.
        read_errors: Reads that failed.
        read_gap_s: The longest time without an answered read.
        errors: All of them by kind, the most frequent first.
    """

    writes: int
    write_errors: int
    write_gap_s: float
    reads: int
    read_errors: int
    read_gap_s: float
    errors: tuple[ErrorCount, ...]


@dataclass(frozen=True)
class Event:
    """Something that happened.

    Attributes:
        at_s: Seconds after the fault; below 0 before it.
        text: What.
    """

    at_s: float
    text: str


@dataclass(frozen=True)
class Losses:
    """Acknowledged writes, read back after the drill.

    Attributes:
        acknowledged: Writes that the deployment acknowledged.
        confirmed: How many of them enough replicas confirmed, too; None when none was asked.
        lost: Acknowledged writes that are not there any more; None when they could not
            be read back.
        lost_confirmed: How many of these replicas had confirmed; None when none was
            asked, or they could not be read back.
    """

    acknowledged: int
    confirmed: int | None
    lost: int | None
    lost_confirmed: int | None


@dataclass(frozen=True)
class DrillReport:
    """What a drill has done and shown.

    Attributes:
        name: Of the deployment.
        drill: Which one.
        topology: Of the deployment.
        runtime: That has it.
        node: The unit that was hit.
        role: Of it before.
        address: Of it.
        run: The word in the keys that were written.
        recovered: Whether all is as before, within the time.
        troubles: What is not; empty when all is.
        write_gap_s: The longest time without an accepted write, by the direct probe.
        read_gap_s: Likewise for reads.
        client_write_gap_s: As an application felt it through `ValkeyClient`.
        client_read_gap_s: Likewise.
        time_to_healthy_s: Seconds from the fault until all checks were as good as before,
            replicas included; None when that did not happen in time.
        held_s: Seconds from the fault until it was undone.
        came_back: After a kill, whether the runtime started the server again by itself;
            None after other drills.
        primary_after: Address of the server that took over; empty when none did.
        losses: Of acknowledged writes.
        stale_reads: Direct reads that did not see a write acknowledged before them.
        evicted_keys: Keys that the servers were seen to evict meanwhile, of whomever.
        filled_bytes: Written to fill the memory; None but with full-memory.
        direct: What the direct probes felt.
        client: What `ValkeyClient` felt.
        timeline: What happened, in order.
        status: ``fail`` when it did not recover or lost what it must not lose; ``warn``
            when it lost something that nobody promised to keep.
        verdict: Why, one sentence each.
    """

    name: str
    drill: Drill
    topology: str
    runtime: str
    node: str
    role: str
    address: str
    run: str
    recovered: bool
    troubles: tuple[str, ...]
    write_gap_s: float
    read_gap_s: float
    client_write_gap_s: float
    client_read_gap_s: float
    time_to_healthy_s: float | None
    held_s: float
    came_back: bool | None
    primary_after: str
    losses: Losses
    stale_reads: int
    evicted_keys: int
    filled_bytes: int | None
    direct: ProbeFigures
    client: ProbeFigures
    timeline: tuple[Event, ...]
    status: Status
    verdict: tuple[str, ...]


def figures(
    writes: Iterable[Tally], reads: Iterable[Tally], since: float, until: float
) -> ProbeFigures:
    """Return what probes have felt from *since* to *until*.

    Args:
        writes: Of the writers, one per shard.
        reads: Of the readers.
        since: A moment when all were answered.
        until: The end.
    """
    writers, readers = list(writes), list(reads)
    write_gap = worst(tally.gap(since, until) for tally in writers)
    read_gap = worst(tally.gap(since, until) for tally in readers)
    return ProbeFigures(
        writes=sum(tally.answers for tally in writers),
        write_errors=sum(tally.failures for tally in writers),
        write_gap_s=write_gap.seconds if write_gap else 0.0,
        reads=sum(tally.answers for tally in readers),
        read_errors=sum(tally.failures for tally in readers),
        read_gap_s=read_gap.seconds if read_gap else 0.0,
        errors=merged([*writers, *readers]),
    )


@dataclass(frozen=True)
class Facts:
    """What the verdict depends on.

    Attributes:
        drill: Which one.
        recovered: As in the report.
        troubles: As in the report.
        time_to_healthy_s: As in the report.
        write_gap_s: As in the report.
        losses: As in the report.
        evicted_keys: As in the report.
        keeps_data: Whether the deployment keeps its data over a restart.
        replicated: Whether its primaries have replicas.
        came_back: As in the report.
        policy: Whether the runtime was to start it again by itself.
        taken_over: Whether another server took over.
        should_be_taken_over: Whether one should have.
    """

    drill: Drill
    recovered: bool
    troubles: tuple[str, ...]
    time_to_healthy_s: float | None
    write_gap_s: float
    losses: Losses
    evicted_keys: int
    keeps_data: bool
    replicated: bool
    came_back: bool | None
    policy: bool
    taken_over: bool
    should_be_taken_over: bool


def judge(facts: Facts) -> tuple[Status, tuple[str, ...]]:
    """Return what a drill has shown, and why, the worst first."""
    found = [*_recovery(facts), *_takeover(facts), *_loss(facts)]
    order: tuple[Status, ...] = ("fail", "warn", "ok")
    found.sort(key=lambda sentence: order.index(sentence[0]))
    return found[0][0], tuple(text for _, text in found)


def _recovery(facts: Facts) -> list[tuple[Status, str]]:
    if not facts.recovered:
        why = f": {facts.troubles[0]}" if facts.troubles else ""
        return [("fail", f"it did not recover in time{why}")]
    took = format_duration(facts.time_to_healthy_s or 0.0)
    gap = format_duration(facts.write_gap_s)
    return [("ok", f"recovered in {took}; {gap} without an accepted write")]


def _takeover(facts: Facts) -> list[tuple[Status, str]]:
    if facts.should_be_taken_over and not facts.taken_over:
        return [("fail", "no other server took over")]
    if facts.policy and facts.came_back is False:
        return [("warn", "its runtime did not start it again; the drill did")]
    return []


def _loss(facts: Facts) -> list[tuple[Status, str]]:
    losses = facts.losses
    if losses.lost is None:
        return [("fail", "the acknowledged writes could not be read back")]
    writes = several(losses.acknowledged, "acknowledged write")
    if not losses.lost:
        return [("ok", f"none of {writes} was lost")]
    text = f"{losses.lost:,} of {writes} are gone"
    if facts.evicted_keys:
        text = f"{text}; {several(facts.evicted_keys, 'key')} evicted meanwhile"
        if facts.evicted_keys >= losses.lost:
            return [("warn", text)]
    if losses.lost_confirmed:
        return [("fail", f"{text}, {losses.lost_confirmed:,} of which replicas had confirmed")]
    if facts.drill in PLANNED and facts.keeps_data:
        return [("fail", f"{text}, in a planned {facts.drill}")]
    return [("warn", f"{text}; {_excuse(facts)}")]


def _excuse(facts: Facts) -> str:
    """Return why nobody has promised to keep what was lost."""
    if not facts.keeps_data:
        return "the profile keeps no data over a restart"
    if not facts.replicated:
        return "what a server has not saved yet ends with it"
    if facts.losses.confirmed is None:
        return "replicas were not asked to confirm them (--confirm-replicas)"
    return "no replica had confirmed them"
