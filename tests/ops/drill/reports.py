"""A report of a drill that went well, to be varied."""

from __future__ import annotations

from dataclasses import replace

from valkeyctl.ops.drill.report import DrillReport, Event, Losses, ProbeFigures
from valkeyctl.ops.drill.tally import ErrorCount

_FELT = ProbeFigures(
    writes=1234,
    write_errors=250,
    write_gap_s=6.25,
    reads=1300,
    read_errors=240,
    read_gap_s=6.2,
    errors=(ErrorCount("unreachable", 490, "10.150.12.11:6379 closed the connection"),),
)
_REPORT = DrillReport(
    name="prod",
    drill="kill",
    topology="sentinel",
    runtime="podman",
    node="prod-node-1",
    role="primary",
    address="10.150.12.11:6379",
    run="c0ffee00",
    recovered=True,
    troubles=(),
    write_gap_s=6.25,
    read_gap_s=6.2,
    client_write_gap_s=6.4,
    client_read_gap_s=6.3,
    time_to_healthy_s=19.5,
    held_s=6.4,
    came_back=False,
    primary_after="10.150.12.12:6379",
    losses=Losses(acknowledged=2400, confirmed=1200, lost=0, lost_confirmed=0),
    stale_reads=3,
    evicted_keys=0,
    filled_bytes=None,
    direct=_FELT,
    client=_FELT,
    timeline=(
        Event(0.0, "prod-node-1 killed"),
        Event(0.004, "first write fails"),
        Event(6.2, "prod-node-2 takes the writes of prod-node-1"),
    ),
    status="ok",
    verdict=("recovered in 19.5 s; 6.25 s without an accepted write",),
)


def report(**fields: object) -> DrillReport:
    """Return the report with other *fields*."""
    return replace(_REPORT, **fields)  # type: ignore[arg-type]  # a test names existing fields
