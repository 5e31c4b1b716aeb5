"""One rollout of one unit: prove, compare, change live or replace, write down, or put back."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Self

from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import FolderError, RefusedError, ServerReplyError, StartError, ValkeyctlError
from valkeyctl.ops.before import Before
from valkeyctl.ops.delivery import deliver, outdated
from valkeyctl.ops.deployed import Deployed, count_keys, look_up
from valkeyctl.ops.deployment import PLAIN, Action, Deployment, Orders, Progress
from valkeyctl.ops.drift import Comparison, Drift, ask_unit, compare
from valkeyctl.ops.endpoints import published
from valkeyctl.ops.fallback import runtime_for, uninterrupted
from valkeyctl.ops.live import require_room, set_live
from valkeyctl.ops.losses import gone, refuse_loss, require_readable
from valkeyctl.ops.persistence import loaded_from
from valkeyctl.ops.statefolder import Record, StateFolder
from valkeyctl.ops.writeprobe import WriteProbe
from valkeyctl.render import Artefacts
from valkeyctl.runtime.directives import differences
from valkeyctl.runtime.pod import IMAGE_ID
from valkeyctl.runtime.protocol import Instance, Runtime
from valkeyctl.runtime.ready import ask
from valkeyctl.runtime.select import Choice, Wanted
from valkeyctl.units import several


@dataclass
class Rollout:
    """The way of *artefacts* onto this machine.

    Attributes:
        artefacts: What is to run.
        state: Our own files.
        deployed: What was found before.
        choice: The runtime, and why that one.
        progress: Called with one line per step.
        orders: How it is to be done.
        warnings: Collected on the way.
        after: The server as it was found when it was written down; None before.
    """

    artefacts: Artefacts
    state: StateFolder
    deployed: Deployed
    choice: Choice
    progress: Progress
    orders: Orders = PLAIN
    warnings: list[str] = field(default_factory=list)
    after: Instance | None = None

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
            RefusedError: It runs on another runtime than the *wanted* one.
            MissingError: The runtime is not there.
        """
        deployed = look_up(artefacts.name, state)
        rollout = cls(
            artefacts, state, deployed, runtime_for(deployed, state, wanted), progress, orders
        )
        if deployed.warning:
            rollout.warnings.append(deployed.warning)
        record = deployed.record
        if record is not None and record.runtime != rollout.runtime.name:
            rollout.warnings.append(
                f"data that {record.runtime} keeps of {artefacts.name} is not moved"
            )
        if artefacts.budget.tight:
            rollout.warnings.append(
                f"the memory budget is tight: {artefacts.budget.share:.0%} of memory.limit may be "
                "in use at once"
            )
        return rollout

    @property
    def runtime(self) -> Runtime:
        """The runtime that the server goes to."""
        return self.choice.runtime

    @cached_property
    def before(self) -> Before:
        """What was there of it."""
        running = self.deployed.instance if self.deployed.running else None
        return Before(self.artefacts, running, self.state, self.orders.access)

    def outline(self) -> Deployment:
        """Return what `run` would do, everything proven that can be."""
        before, kind = self.before, self.comparison.kind
        running = before.instance
        if running is not None and kind is None and before.answers():
            return self._result("unchanged")
        proofs = self._prove()
        keys = self._count() if running else None
        if kind == "live" and before.answers():
            return self._result("would update", proofs=proofs, keys_before=keys)
        if keys and before.loses_data:
            self.warnings.append(f"{keys:,} keys would be lost: the running server keeps no data")
        action: Action = "would replace" if running else "would start"
        return self._result(action, proofs=proofs, keys_before=keys)

    def run(self) -> Deployment:
        """Do it, and return what was done; on failure what ran before runs again.

        Raises:
            RefusedError: It would lose data that is not to be lost, and no yes was given.
        """
        running, kind = self.before.instance, self.comparison.kind
        if running is not None and not self.orders.anew and self.before.answers():
            fresh = self.deliver()
            if fresh is None:
                return self._replace(self._prove())
            if kind is None:
                if running.digest != self.artefacts.digest:
                    self.runtime.adopt(self.artefacts)
                self._write_down(fresh=False)
                return self._result("updated" if fresh else "unchanged")
            if kind == "live":
                proofs = self._prove()
                if done := self._update(proofs):
                    return done
                return self._replace(proofs)
        proofs = self._prove()
        asked = self.orders.yes or self.orders.anew
        if not asked and self.before.lies_elsewhere and self.runtime.keeps(self.artefacts.name):
            return self._carry_over()
        return self._replace(proofs)

    @cached_property
    def comparison(self) -> Comparison:
        """How the server that runs differs from the render; nothing when none runs."""
        before = self.before
        if before.instance is None:
            return Comparison()
        excused = self.state.readings(self.artefacts)
        told = (before.instance, before.made_from, before.reported)
        return compare(self.artefacts, *told, self.runtime, excused=excused, locked=before.locked)

    def _update(self, proofs: tuple[str, ...]) -> Deployment | None:
        """Change the running server without a restart; None when it refuses a directive."""
        drift = [one for one in self.comparison.drift if one.field != "files"]
        name, endpoint = self.artefacts.name, self.before.endpoint
        self.progress(f"setting {several(len(drift), 'directive')} of {name} while it runs")
        keys_before = self._count()
        with self._probe(endpoint) as probe:
            try:
                if not self.orders.yes:
                    require_room(endpoint, drift)
                self.before.write_for_the_next(self.progress)
                notes = set_live(endpoint, self.artefacts, drift)
            except ServerReplyError as error:
                self.warnings.append(f"not changed while it runs, but by a restart: {error}")
                return None
            try:
                self.runtime.adopt(self.artefacts)
            except BaseException:
                # What is set and not kept would be gone after a crash: rather not set.
                back = [Drift(one.field, one.actual, one.wanted, one.kind) for one in drift]
                with uninterrupted(), contextlib.suppress(ValkeyctlError):
                    set_live(endpoint, self.artefacts, back)
                raise
        self.warnings += notes
        self._write_down()
        return self._result(
            "updated",
            proofs=proofs,
            write_gap_ms=probe.gap_ms if probe else None,
            keys_before=keys_before,
            keys_after=self._count(),
        )

    def _replace(self, proofs: tuple[str, ...]) -> Deployment:
        """Start the server, or stop the one that runs and start it anew."""
        before, anew = self.before, self.orders.anew
        running = before.instance
        keys_before = self._count() if running else None
        if not self.orders.yes:
            refuse_loss(before, keys_before)
            if before.reported is not None:
                require_room(before.endpoint, self.comparison.drift)
        gap_ms = None
        try:
            if running is None:
                self.progress(f"starting {self.artefacts.name}")
                self.warnings += gone(self.runtime, self.artefacts, self.deployed.record)
                self.runtime.start(self.artefacts, self.orders.material(self.artefacts))
            else:
                if before.answers():
                    self.before.write_for_the_next(self.progress)
                self.progress(f"replacing {self.artefacts.name} ({running.detail})")
                with self._probe(before.endpoint, self._endpoint) as probe:
                    self._start_again()
                gap_ms = probe.gap_ms if probe else None
            self._write_down()
        except BaseException as error:  # Ctrl-C too: the cache must not be left down
            outcome = self._recover()
            if outcome and isinstance(error, ValkeyctlError):
                log = error.log if isinstance(error, StartError) else ()
                raise StartError(f"{error}; {outcome}", log=log, hint=error.hint) from error
            raise
        if running is None:
            return self._result("started", proofs=proofs)
        keys_after = self._count()
        self._compare_keys(keys_before, keys_after)
        return self._result(
            "restarted" if anew else "replaced",
            proofs=proofs,
            write_gap_ms=gap_ms,
            keys_before=keys_before,
            keys_after=keys_after,
        )

    def _start_again(self) -> None:
        """Start the server from the new render, in place of the one that runs."""
        unit, made_from, shape = self.artefacts, self.before.made_from, self.runtime.shape
        same = made_from is not None and shape(made_from) == shape(unit)
        # A silent one may have lost its published port, which only a new container renews.
        in_place = same and self.comparison.kind != "recreate" and self.before.answers()
        grace = max(self.before.grace, unit.stop_grace)
        files = self.orders.material(unit)
        if not self.runtime.restart(unit, files, grace=grace, in_place=in_place):
            self.warnings.append(
                f"{unit.name} did not end within {grace:g} s and was killed; what it had not "
                "saved is lost"
            )

    def _carry_over(self) -> Deployment:
        """Start the server as it was, and go on from there."""
        then, unit = self.before.render, self.artefacts
        assert then is not None  # noqa: S101 - the caller has looked
        self.progress(f"starting {unit.name} as it was, to carry its data over")
        try:
            self.runtime.start(then, self.orders.material(then))
        except ValkeyctlError as error:
            raise RefusedError(
                f"the data of {unit.name} lies in its {loaded_from(then.directives)}, and the "
                f"server cannot be started as it was to carry it over: {error}",
                hint="Say that it may begin without that data: valkeyctl deploy --yes",
            ) from error
        found = replace(self.deployed, runtime=self.runtime, instance=self.runtime.find(unit.name))
        return replace(self, deployed=found).run()

    @property
    def _endpoint(self) -> Endpoint:
        """Where the new server listens, with a login."""
        return self.orders.access(self.artefacts)

    def _probe(self, *endpoints: Endpoint) -> contextlib.AbstractContextManager[WriteProbe | None]:
        """Return what writes meanwhile; a node is watched by its topology's own rollout."""
        if self.artefacts.is_node:
            return contextlib.nullcontext()
        return WriteProbe(endpoints, self.artefacts.app)

    def _count(self) -> int | None:
        return count_keys(self._endpoint if self.after else self.before.endpoint)

    @property
    def outdated(self) -> bool:
        """Whether its certificate is an old one that only a new start changes."""
        unit = self.artefacts
        files = self.orders.material(unit)
        return self.before.answers() and outdated(unit, files, self.before.endpoint)

    def deliver(self) -> bool | None:
        """Bring the secret files to the running server; see `deliver`."""
        unit, made_from = self.artefacts, self.before.made_from
        if made_from is None or made_from.material != unit.material or not unit.material:
            return False  # it mounts other files; it is made anew, or nothing is known of it
        files, told = self.orders.material(unit), (self.progress, self.warnings)
        return deliver(self.runtime, unit, files, self.before.endpoint, *told)

    def _prove(self) -> tuple[str, ...]:
        if not self.orders.yes:
            require_readable(self.runtime, self.artefacts, self.deployed.record, self.before)
        if self.orders.proven:
            return ()
        self.progress(f"proving {self.artefacts.name} on {self.runtime.name}")
        return tuple(self.runtime.prove(self.artefacts, self.orders.material(self.artefacts)))

    def _recover(self) -> str:
        """Bring back what ran before a failure; return what has become of it, or "".

        Empty too when nothing that ran was touched, so that the failure says it all.
        """
        before = self.before
        with uninterrupted():
            try:
                now = self.runtime.find(self.artefacts.name)
                if now is not None and now.running:
                    # Not touched yet; or done, and then Ctrl-C or a full disk came.
                    if now.digest == self.artefacts.digest and ask(self._endpoint) == "ready":
                        self.progress(f"{self.artefacts.name} runs as the profile says")
                        with contextlib.suppress(FolderError):  # it is the error, then
                            self._write_down()
                    return ""
                if before.instance is None:
                    return ""
                previous = before.to_put_back
                if previous is None:
                    return "the server that ran before cannot be put back: its render is not kept"
                self.progress("putting the last good render back")
                self.runtime.start(previous, self.orders.material(previous))
            except ValkeyctlError as again:
                return f"the last good render cannot be put back: {again}"
        return "the last good render runs again"

    def _write_down(self, *, fresh: bool = True) -> None:
        """Record what runs, and keep its render as the last good one.

        Args:
            fresh: Whether the server is another one now, or changed; else it is written
                down only where that was missing.
        """
        artefacts = self.artefacts
        if fresh:
            self.state.write_readings(artefacts, self._readings())
        if artefacts.is_node:
            return  # the topology's own rollout writes down the whole
        record = self.deployed.record
        if fresh or record is None or record.digest != artefacts.digest:
            self.after = self.runtime.find(artefacts.name)
            self.state.write(
                Record(
                    name=artefacts.name,
                    runtime=self.runtime.name,
                    reason=self.choice.reason,
                    url=published(self.artefacts).url(),
                    digest=artefacts.digest,
                    image=artefacts.image,
                    version=self.after.version if self.after else "",
                    app=artefacts.app,
                    deployed_at=time.time(),
                    stop_grace=artefacts.stop_grace,
                    directives=dict(artefacts.directives),
                    image_id=self.after.facts.get(IMAGE_ID, "") if self.after else "",
                )
            )
        self.state.remember(artefacts)

    def _readings(self) -> dict[str, tuple[str, str]]:
        """Return what the server reads otherwise than it is written, so that it can be excused."""
        wanted = self.artefacts.directives
        try:
            reported = ask_unit(self._endpoint, self.artefacts).directives
        except ValkeyctlError:
            return {}  # then it shows as drift, and the next deploy tries again
        return {name: (wanted[name], reported[name]) for name in differences(wanted, reported)}

    def _compare_keys(self, before: int | None, after: int | None) -> None:
        if before is None or after is None or after >= before:
            return
        why = "the server kept no data" if after == 0 else "entries may have expired meanwhile"
        self.warnings.append(f"{before:,} keys before, {after:,} after: {why}")

    def _result(
        self,
        action: Action,
        *,
        proofs: tuple[str, ...] = (),
        write_gap_ms: float | None = None,
        keys_before: int | None = None,
        keys_after: int | None = None,
    ) -> Deployment:
        instance = self.after or self.deployed.instance
        return Deployment(
            name=self.artefacts.name,
            runtime=self.runtime.name,
            runtime_reason=self.choice.reason,
            url=published(self.artefacts).url(),
            changed=action in {"started", "updated", "replaced", "restarted"},
            action=action,
            digest=self.artefacts.digest,
            version=instance.version if instance else "",
            changes=self.comparison.drift,
            proofs=proofs,
            write_gap_ms=write_gap_ms,
            keys_before=keys_before,
            keys_after=keys_after,
            warnings=tuple(self.warnings),
        )
