"""One drill from its first write to its report; what it did is undone, however it ends."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from valkeyctl.endpoint import Node
from valkeyctl.errors import DeadlineError, ValkeyctlError
from valkeyctl.ops.deploy import restart
from valkeyctl.ops.deployment import Progress
from valkeyctl.ops.drill.evictions import Evictions
from valkeyctl.ops.drill.faults import Fault, Restart, Takeover, UnitFault
from valkeyctl.ops.drill.fill import Fill, most_fill_keys
from valkeyctl.ops.drill.load import SILENCE, KeyNames, Load
from valkeyctl.ops.drill.plan import Aim, DrillPlan, new_run
from valkeyctl.ops.drill.readback import missing, remove
from valkeyctl.ops.drill.report import (
    DrillReport,
    Event,
    Facts,
    Losses,
    figures,
    judge,
)
from valkeyctl.ops.drill.shards import Finder, Shard
from valkeyctl.ops.drill.watch import Redundancy, Watch
from valkeyctl.ops.fallback import uninterrupted
from valkeyctl.ops.faultmark import Mark, clear_mark, require_nothing_left, set_mark
from valkeyctl.ops.orders import access_to, orders_for
from valkeyctl.ops.statefolder import StateFolder
from valkeyctl.profile.schema import Profile

_WARM_UP_LIMIT = 30.0  # a busy machine may take long to make the connections of a Cluster with TLS
_POLL = 0.05
_MARKED = ("kill", "hang", "partition", "full-memory")


def run_drill(
    plan: DrillPlan,
    aim: Aim,
    state: StateFolder,
    profile: Profile,
    *,
    progress: Progress,
) -> DrillReport:
    """Do what *plan* says to *aim* under load, undo it, and return what clients felt.

    Args:
        plan: What to do.
        aim: Whom to.
        state: Our own files.
        profile: Of the deployment, for its passwords and certificates.
        progress: Called with a line about once a second, from several threads.

    Raises:
        LockedError: Another command works on the deployment.
        RefusedError: It is not healthy, or an earlier drill has left a fault, so that a
            drill would prove nothing.
        UnreachableError, AuthError, TlsError, ServerReplyError: It cannot be reached
            before the fault.
        NotFoundError, MissingError, ToolError, StartError, FolderError: The fault could
            not be inflicted, or not be undone; the message says which.
    """
    # A restart holds the lock itself.
    lock = contextlib.nullcontext() if plan.drill == "restart" else state.lock(plan.name)
    with lock:
        require_nothing_left(plan.name, state)
        return _Run(plan, aim, state, profile, progress).go()


@dataclass
class _Run:
    """A drill under way."""

    plan: DrillPlan
    aim: Aim
    state: StateFolder
    profile: Profile
    progress: Progress
    names: KeyNames = field(init=False)
    run: str = field(default_factory=new_run)
    events: list[tuple[float, str]] = field(default_factory=list)
    began: float = 0.0
    mended: float = 0.0

    def __post_init__(self) -> None:
        self.names = KeyNames(self.aim.artefacts.app, self.run)

    def go(self) -> DrillReport:
        """Do all of it."""
        plan = self.plan
        finder = Finder(self.aim.endpoint, timeout=SILENCE, broken=_node(self.aim.address))
        redundancy = Redundancy(self.aim.endpoint, self.aim.artefacts.app)
        evictions = Evictions(self.aim.endpoint)
        load = Load(finder, self.names, rate=plan.rate, confirm=plan.confirm_replicas)
        shards = tuple(probe.shard for probe in load.direct)
        fault = self._fault(finder, shards)
        watch = Watch(finder, shards, redundancy, lambda: self._tell(load, watch))
        try:
            with watch, load:
                self._warm_up(load)
                evictions.note()
                with self._inflicted(fault):
                    self._wait_until_over(fault, watch, load)
                healthy = self._wait_until_healthy(watch)
                time.sleep(plan.after_s)
                ended = time.monotonic()
            evictions.note()
            report = self._report(fault, watch, load, healthy, ended, finder, evictions.count)
        finally:
            self._clean_up(load, finder)
        return report

    def _fault(self, finder: Finder, shards: tuple[Shard, ...]) -> Fault:
        plan = self.plan
        if plan.drill == "restart":
            return Restart(self._restart)
        if plan.drill == "failover":
            return Takeover(self.aim, access_to(self.profile, self.state))
        if plan.drill == "full-memory":
            owner = _shard_of(finder, shards, self.aim.address)
            return Fill(finder, owner, self.names, plan.hold_s or 0.0, plan.timeout_s)
        material = orders_for(self.profile, self.state).material
        return UnitFault(
            self.aim, plan.drill, plan.hold_s, plan.timeout_s / 2, material=material(self.aim.unit)
        )

    def _restart(self) -> None:
        # The plan, which was agreed to, says what is lost.
        restart(self.plan.name, self.state, self.progress, profile=self.profile, yes=True)

    def _warm_up(self, load: Load) -> None:
        """Return when every probe is answered, and has been for a while.

        Raises:
            ValkeyctlError: They are not; the failure of the last call that failed.
        """
        self.progress(f"warming up: {self.plan.rate:g} writes and reads a second, twice")
        began = time.monotonic()
        time.sleep(self.plan.before_s)
        tallies = load.tallies
        while any(not tally.answers for tally in tallies):
            if time.monotonic() - began > _WARM_UP_LIMIT:
                failures = (tally.last_failure for tally in tallies)
                raise next(
                    (failure for failure in failures if failure is not None),
                    DeadlineError(f"{self.aim.endpoint.address} does not answer all probes"),
                )
            time.sleep(_POLL)

    @contextlib.contextmanager
    def _inflicted(self, fault: Fault) -> Iterator[None]:
        """Have *fault* in force; afterwards, however it ends, it is undone."""
        marked = self.plan.drill in _MARKED
        if marked:
            set_mark(self.state, self.plan.name, self._mark())
        self.began = time.monotonic()
        try:
            if said := fault.text:  # one that takes its time says so beforehand
                self._note(self.began, said)
            fault.inflict()
            if fault.text != said:
                self._note(time.monotonic() if said else self.began, fault.text)
            yield
        finally:
            with uninterrupted():
                mending = time.monotonic()
                if text := fault.mend():
                    self._note(mending, text)
                self.mended = time.monotonic()
                if marked:
                    clear_mark(self.state, self.plan.name)

    def _mark(self) -> Mark:
        unit = self.aim.unit
        return Mark(
            drill=self.plan.drill,
            unit=unit.name,
            run=self.run,
            app=self.aim.artefacts.app,
            fills=most_fill_keys(unit.budget.maxmemory) if self.plan.drill == "full-memory" else 0,
        )

    def _wait_until_over(self, fault: Fault, watch: Watch, load: Load) -> None:
        while True:
            elapsed = time.monotonic() - self.began
            taken_over = _taken_over(watch, load, self.began)
            if fault.over(elapsed, taken_over=taken_over) or elapsed > self.plan.timeout_s:
                return
            time.sleep(_POLL)

    def _wait_until_healthy(self, watch: Watch) -> float | None:
        """Return when all was well again for good; None when it was not in time."""
        # A restart of many servers takes as long as it takes.
        since = self.mended if self.plan.drill == "restart" else self.began
        while True:
            healthy = watch.healthy_since(self.mended)
            if healthy is not None or time.monotonic() - since > self.plan.timeout_s:
                return healthy
            time.sleep(_POLL)

    def _note(self, moment: float, text: str) -> None:
        self.events.append((moment, text))
        self.progress(f"{_offset(moment - self.began)} {text}")

    def _tell(self, load: Load, watch: Watch) -> None:
        """Say how it stands."""
        if not self.began:
            return
        accepted = sum(probe.writes.answers for probe in load.direct)
        failed = sum(probe.writes.failures for probe in load.direct)
        at = _offset(time.monotonic() - self.began)
        self.progress(f"{at} {accepted:,} writes, {failed:,} failed; {watch.state}"[:79])

    def _report(
        self,
        fault: Fault,
        watch: Watch,
        load: Load,
        healthy: float | None,
        ended: float,
        finder: Finder,
        evicted: int,
    ) -> DrillReport:
        plan = self.plan
        direct = figures(
            (probe.writes for probe in load.direct),
            (probe.reads for probe in load.direct),
            self.began,
            ended,
        )
        client = figures(
            (probe.writes for probe in load.client),
            (probe.reads for probe in load.client),
            self.began,
            ended,
        )
        losses = self._losses(load, finder)
        came_back = fault.came_back if isinstance(fault, UnitFault) else None
        policy = isinstance(fault, UnitFault) and fault.policy
        to_healthy = healthy - self.began if healthy is not None else None
        changes = [change for change in watch.changes if change.at > self.began]
        status, verdict = judge(
            Facts(
                drill=plan.drill,
                recovered=healthy is not None,
                troubles=watch.troubles,
                time_to_healthy_s=to_healthy,
                write_gap_s=direct.write_gap_s,
                losses=losses,
                evicted_keys=evicted,
                keeps_data=self.aim.artefacts.keeps_data,
                replicated=self.aim.replicas > 0,
                came_back=came_back,
                policy=policy,
                taken_over=bool(changes),
                should_be_taken_over=plan.hold_s is None or plan.drill == "failover",
            )
        )
        return DrillReport(
            name=plan.name,
            drill=plan.drill,
            topology=plan.topology,
            runtime=plan.runtime,
            node=plan.node,
            role=plan.role,
            address=plan.address,
            run=self.run,
            recovered=healthy is not None,
            troubles=() if healthy is not None else watch.troubles,
            write_gap_s=direct.write_gap_s,
            read_gap_s=direct.read_gap_s,
            client_write_gap_s=client.write_gap_s,
            client_read_gap_s=client.read_gap_s,
            time_to_healthy_s=to_healthy,
            held_s=self.mended - self.began,
            came_back=came_back,
            primary_after=changes[-1].after if changes else "",
            losses=losses,
            stale_reads=sum(probe.stale for probe in load.direct),
            evicted_keys=evicted,
            filled_bytes=fault.written if isinstance(fault, Fill) else None,
            direct=direct,
            client=client,
            timeline=self._timeline(watch, load, healthy),
            status=status,
            verdict=verdict,
        )

    def _losses(self, load: Load, finder: Finder) -> Losses:
        """Read every acknowledged write back."""
        written, confirmed = load.written(), load.confirmed()
        self.progress(f"reading {len(written):,} acknowledged writes back")
        asked = self.plan.confirm_replicas > 0
        try:
            lost: set[bytes] | None = missing(finder, written)
        except ValkeyctlError as error:
            self.progress(f"they cannot be read back: {error}")
            lost = None
        return Losses(
            acknowledged=len(written),
            confirmed=len(confirmed) if asked else None,
            lost=len(lost) if lost is not None else None,
            lost_confirmed=len(lost & confirmed) if lost is not None and asked else None,
        )

    def _timeline(self, watch: Watch, load: Load, healthy: float | None) -> tuple[Event, ...]:
        found, names = list(self.events), self.aim.names()
        for change in watch.changes:
            after, before = (names.get(one, one) for one in (change.after, change.before))
            if change.at > self.began:
                found.append((change.at, f"{after} takes the writes of {before}"))
        writers = [probe.writes for probe in load.direct]
        errors = [moment for tally in writers if (moment := tally.first_error(self.began))]
        if errors:
            first = min(errors)
            found.append((first, "first write fails"))
            hit = next(tally for tally in writers if tally.first_error(self.began) == first)
            if accepted := hit.first_answer(first):
                found.append((accepted, "first write accepted again"))
        if healthy is not None:
            found.append((healthy, "all checks as good as before"))
        return tuple(
            Event(moment - self.began, text) for moment, text in sorted(found, key=_moment)
        )

    def _clean_up(self, load: Load, finder: Finder) -> None:
        """Remove the keys that were written; what cannot be removed expires by itself."""
        load.stop()
        with contextlib.suppress(ValkeyctlError):
            remove(finder, load.sent())


def _taken_over(watch: Watch, load: Load, since: float) -> bool:
    """Say whether another server has taken over after *since*, and takes writes."""
    changes = [change.at for change in watch.changes if change.at > since]
    return bool(changes) and all(
        probe.writes.first_answer(changes[-1]) is not None for probe in load.direct
    )


def _shard_of(finder: Finder, shards: tuple[Shard, ...], address: str) -> Shard:
    servers = finder.all_primaries(shards)
    pairs = zip(shards, servers, strict=True)
    return next((shard for shard, server in pairs if server.address == address), shards[0])


def _node(address: str) -> Node:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _offset(seconds: float) -> str:
    return f"{seconds:+6.1f} s"


def _moment(event: tuple[float, str]) -> float:
    return event[0]
