"""One rollout of a topology, unit by unit.

What is missing is started, what can be set live is set, and what must be restarted is,
replicas first, and each primary after it has handed over to one of them.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Self

from valkeyctl.errors import PartialError, ValkeyctlError
from valkeyctl.ops.backup.halfway import undo_switch
from valkeyctl.ops.deployed import Deployed, count_keys, find_units
from valkeyctl.ops.deployment import PLAIN, Action, Deployment, Orders, Progress
from valkeyctl.ops.drift import Drift, Kind, worst
from valkeyctl.ops.endpoints import endpoint_of
from valkeyctl.ops.fallback import runtime_for, uninterrupted
from valkeyctl.ops.rollout import Rollout
from valkeyctl.ops.statefolder import Record, StateFolder
from valkeyctl.ops.topology.form import require_same_form
from valkeyctl.ops.topology.forming import Forming
from valkeyctl.ops.topology.handover import hand_over
from valkeyctl.ops.topology.members import Member, members, sentinels_of, servers_of
from valkeyctl.ops.topology.shardprobes import shard_probes
from valkeyctl.render import Artefacts
from valkeyctl.runtime.port import require_free_port
from valkeyctl.runtime.select import Choice, Wanted


@dataclass
class TopologyRollout:
    """The way of a whole topology onto this machine.

    Attributes:
        artefacts: What is to run.
        state: Our own files.
        deployed: What was found of the deployment before.
        choice: The runtime, and why that one.
        progress: Called with one line per step.
        orders: How it is to be done.
        warnings: Collected on the way.
    """

    artefacts: Artefacts
    state: StateFolder
    deployed: Deployed
    choice: Choice
    progress: Progress
    orders: Orders = PLAIN
    warnings: list[str] = field(default_factory=list)

    @classmethod
    def plan(
        cls,
        artefacts: Artefacts,
        state: StateFolder,
        wanted: Wanted,
        progress: Progress,
        orders: Orders = PLAIN,
    ) -> Self:
        """Return the rollout, its runtime chosen; nothing is done yet.

        Raises:
            RefusedError: It runs on another runtime than the *wanted* one, or what runs
                cannot be turned into it.
            MissingError: The runtime is not there.
        """
        deployed = find_units(artefacts, state)
        rollout = cls(
            artefacts, state, deployed, runtime_for(deployed, state, wanted), progress, orders
        )
        if deployed.warning:
            rollout.warnings.append(deployed.warning)
        before = state.last_good(artefacts.name)
        if before is not None and rollout._started:
            require_same_form(before, artefacts)
        return rollout

    def outline(self) -> Deployment:
        """Return what `run` would do, everything proven that can be."""
        action: Action
        if self._complete and not self._takes:
            return self._result("unchanged")
        proofs = self._prove()
        if not self._started:
            action = "would start"
        elif self._complete and self._takes == "live":
            action = "would update"
        else:
            action = "would replace"
        return self._result(action, proofs=proofs, keys_before=self._count())

    def run(self) -> Deployment:
        """Do it, and return what was done.

        Raises:
            PartialError: A unit could not be changed; it runs its last good render again,
                the units before it are done. Deploying again goes on.
            StartError: It runs as it should, and health finds that it is not whole.
        """
        self.warnings += undo_switch(self.artefacts.name, self.choice.runtime, self.state)
        takes, anew = self._takes, self.orders.anew
        new = not self._started
        missing = self._missing()  # asked once: one that hangs takes its time each time
        proofs = self._prove() if takes or anew or missing else ()
        keys_before = self._count(but=missing)
        with contextlib.ExitStack() as stack:
            writers = [] if new else shard_probes(self.artefacts, self.orders.access)
            probes = [stack.enter_context(writer) for writer in writers]
            started = self._start(missing)
            changed = self._change_units()
            if not new:
                self.warnings += self._forming.wait_until_whole()
        gaps = [probe.gap_ms for probe in probes if probe.gap_ms is not None]
        self._write_down()
        action: Action = "unchanged"
        if new:
            action = "started"
        elif anew:
            action = "restarted"
        elif started or "replaced" in changed.values():
            action = "replaced"
        elif changed:
            action = "updated"
        return self._result(
            action,
            proofs=proofs,
            write_gap_ms=max(gaps) if gaps and action != "unchanged" else None,
            keys_before=keys_before,
            keys_after=self._count() if action != "unchanged" else keys_before,
        )

    @cached_property
    def _rollouts(self) -> dict[str, Rollout]:
        """A rollout for each unit, by its name."""
        return {unit.name: self._rollout(unit) for unit in self.artefacts.units}

    def _rollout(self, unit: Artefacts, *, anew: bool = False) -> Rollout:
        runtime = self.choice.runtime
        deployed = Deployed(unit.name, None, runtime, runtime.find(unit.name))
        orders = Orders(
            anew=anew,
            yes=self.orders.yes,
            proven=True,  # one of its kind is, before any is touched
            material=self.orders.material,
            access=self.orders.access,
        )
        return Rollout(unit, self.state, deployed, self.choice, self.progress, orders)

    @cached_property
    def _forming(self) -> Forming:
        return Forming(self.artefacts, self.choice.runtime, self.orders.access, self.progress)

    @cached_property
    def _drift(self) -> tuple[Drift, ...]:
        return tuple(
            Drift(f"{name}: {one.field}", one.wanted, one.actual, one.kind)
            for name, rollout in self._rollouts.items()
            for one in rollout.comparison.drift
        )

    @property
    def _takes(self) -> Kind | None:
        return worst(self._drift)

    @property
    def _started(self) -> bool:
        """Whether anything of it runs."""
        return any(rollout.deployed.running for rollout in self._rollouts.values())

    @property
    def _complete(self) -> bool:
        """Whether all of it runs and answers."""
        return not self._missing()

    def _missing(self) -> list[Artefacts]:
        """Return the units that do not run, or hang."""
        return [
            one.artefacts
            for one in self._rollouts.values()
            if not (one.deployed.running and one.before.answers())
        ]

    def _prove(self) -> tuple[str, ...]:
        """Prove one unit of each kind, and that no port of those that do not run is taken."""
        runtime = self.choice.runtime
        proofs: dict[str, None] = {}
        seen: set[tuple[str, str]] = set()
        for rollout in self._rollouts.values():
            unit = rollout.artefacts
            if rollout.deployed.instance is None:
                require_free_port(unit.host, unit.port)
                if unit.bus_port and runtime.peer(unit).bus_port == unit.bus_port:
                    require_free_port(unit.host, unit.bus_port)
            shape = (unit.kind, unit.image)
            if shape in seen:
                continue
            seen.add(shape)
            self.progress(f"proving {unit.name} on {runtime.name}")
            for line in runtime.prove(unit, self.orders.material(unit)):
                proofs.setdefault(f"{unit.name}: {line}")
        return tuple(proofs)

    def _start(self, missing: Sequence[Artefacts]) -> list[str]:
        """Start the *missing* units, and form the whole; return their names.

        On a first deploy it is all of them or none: what a failed one has started is
        stopped, and what it has made for data is removed, so that it is not in the way of
        the next one, which may have other ports or addresses.
        """
        # Servers first. A sentinel that waits for a primary to start lets another server
        # take over, and that one may have less of the data.
        missing = sorted(missing, key=lambda unit: unit.kind == "sentinel")
        new = not self._started
        empty = [unit.name for unit in missing if not self.choice.runtime.keeps(unit.name)]
        try:
            for unit in missing:
                # Fresh facts: a rollout remembers how it found its unit.
                self._rollout(unit).run()
            self._forming.form()
            if new:
                self.warnings += self._forming.wait_until_whole()
        except BaseException:
            if new:
                with uninterrupted():
                    self._take_back(missing, empty)
            raise
        return [unit.name for unit in missing]

    def _take_back(self, units: Sequence[Artefacts], empty: Sequence[str]) -> None:
        """Stop *units*, sentinels first, and remove the data of those that had none."""
        self.progress(f"stopping what has been started of {self.artefacts.name}")
        for unit in reversed(units):
            with contextlib.suppress(ValkeyctlError):  # the first failure is the one to tell
                self.choice.runtime.stop(unit.name, unit.stop_grace)
            with contextlib.suppress(ValkeyctlError):
                if unit.name in empty:
                    self.choice.runtime.purge(unit.name)

    def _change_units(self) -> dict[str, Action]:
        """Bring every unit to its render; sentinels last, so that they watch the others.

        Returns:
            Action by unit, of those that were changed.
        """
        anew = self.orders.anew
        running = {name: one for name, one in self._rollouts.items() if one.deployed.running}
        kinds = {name: one.comparison.kind for name, one in running.items()}
        # A sentinel takes a new certificate only when it is started anew.
        outdated = {name for name, one in running.items() if one.outdated}
        kinds |= dict.fromkeys(outdated, "restart")
        heavy = [name for name, kind in kinds.items() if anew or kind in {"restart", "recreate"}]
        done: dict[str, Action] = {}
        # Also those that nothing differs of: their secret files may be new.
        for name in [name for name in kinds if name not in heavy]:
            self._bring(name, done)
        for name in heavy:  # before one shows a certificate that the others do not know
            running[name].deliver()
        for name in self._replicas_first(heavy, done):
            self._bring(name, done, anew=anew)
            with self._partial(name, done):
                self._forming.wait_in_sync()
        sentinels = [unit.name for unit in sentinels_of(self.artefacts) if unit.name in heavy]
        for name in sentinels:
            self._bring(name, done, anew=anew or name in outdated)
            # Until all of them show the new certificate, they may not meet.
            if name not in outdated or name == sentinels[-1]:
                with self._partial(name, done):
                    self._forming.form()
        return done

    def _replicas_first(self, names: list[str], done: Mapping[str, Action]) -> Iterator[str]:
        """Yield data servers of *names*: replicas, then each primary, handed over before."""
        waiting = [unit.name for unit in servers_of(self.artefacts) if unit.name in names]
        while waiting:
            # Anew each time: a server may have taken over meanwhile.
            now = {one.unit: one for one in self._members()}
            replicas = [name for name in waiting if name in now and now[name].role == "replica"]
            name = (replicas or waiting)[0]
            if not replicas and name in now:
                with self._partial(name, done):
                    self._hand_over(now[name])
            waiting.remove(name)
            yield name

    def _hand_over(self, primary: Member) -> None:
        servers = servers_of(self.artefacts)
        if len(servers) == sum(unit.primary for unit in servers):
            self.warnings.append(f"{primary.unit} has no replica; it was restarted as it was")
            return
        heir = hand_over(self._forming, primary)
        self.progress(f"{heir} has taken over from {primary.unit}")

    def _bring(self, name: str, done: dict[str, Action], *, anew: bool = False) -> None:
        unit = self._rollouts[name].artefacts
        with self._partial(name, done):
            found = self._rollout(unit, anew=anew).run()
        self.warnings += [line for line in found.warnings if line not in self.warnings]
        if found.changed:
            done[name] = "updated" if found.action == "updated" else "replaced"

    @contextlib.contextmanager
    def _partial(self, name: str, done: Mapping[str, Action]) -> Iterator[None]:
        """Turn a failure at the unit *name* into one that says how far the change has come.

        Raises:
            PartialError: Units were changed before; the one that failed, too, perhaps.
        """
        try:
            yield
        except ValkeyctlError as error:
            changed = [other for other in done if other != name]
            if not changed:
                raise
            raise PartialError(
                f"{len(changed)} of {len(self._rollouts)} units are changed; {name} is not: "
                f"{error}",
                hint=f"Mend it and go on: valkeyctl deploy -p {self.artefacts.name}",
            ) from error

    def _members(self, but: Sequence[Artefacts] = ()) -> list[Member]:
        asked = [unit for unit in servers_of(self.artefacts) if unit not in but]
        return members(asked, self.choice.runtime, self.orders.access)

    def _count(self, but: Sequence[Artefacts] = ()) -> int | None:
        """Return the keys of all primaries *but* those; None when one cannot be asked."""
        found = [one for one in self._members(but) if one.role == "primary"]
        counts = [count_keys(one.endpoint) for one in found]
        return sum(count or 0 for count in counts) if counts and None not in counts else None

    def _write_down(self) -> None:
        artefacts = self.artefacts
        version = next(
            (
                found.version
                for unit in servers_of(artefacts)
                if (found := self.choice.runtime.find(unit.name)) is not None
            ),
            "",
        )
        record = self.deployed.record
        if record is None or record.digest != artefacts.digest or record.version != version:
            self.state.write(
                Record(
                    name=artefacts.name,
                    runtime=self.choice.runtime.name,
                    reason=self.choice.reason,
                    url=endpoint_of(artefacts).url(),
                    digest=artefacts.digest,
                    image=artefacts.image,
                    version=version,
                    app=artefacts.app,
                    deployed_at=time.time(),
                    stop_grace=artefacts.stop_grace,
                    directives=dict(artefacts.directives),
                )
            )
        self.state.remember(artefacts)

    def _result(
        self,
        action: Action,
        *,
        proofs: tuple[str, ...] = (),
        write_gap_ms: float | None = None,
        keys_before: int | None = None,
        keys_after: int | None = None,
    ) -> Deployment:
        record = self.state.read(self.artefacts.name).record
        if keys_before and keys_after is not None and keys_after < keys_before:
            self.warnings.append(
                f"{keys_before:,} keys before, {keys_after:,} after: entries may have expired "
                "meanwhile"
            )
        return Deployment(
            name=self.artefacts.name,
            runtime=self.choice.runtime.name,
            runtime_reason=self.choice.reason,
            url=endpoint_of(self.artefacts).url(),
            changed=action in {"started", "updated", "replaced", "restarted"},
            action=action,
            digest=self.artefacts.digest,
            version=record.version if record else "",
            changes=self._drift,
            proofs=proofs,
            write_gap_ms=write_gap_ms,
            keys_before=keys_before,
            keys_after=keys_after,
            warnings=tuple(self.warnings),
        )
