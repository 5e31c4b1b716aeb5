"""A backup put in the place of the data of a Sentinel topology or a Cluster.

Every server gets it, the replicas too: whichever of them is the primary afterwards has
the data. No sentinel runs meanwhile, and no replica of a primary that is stopped, so
that nobody takes over from a server that is meant to end.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from valkeyctl.errors import RefusedError, StartError, UsageError, ValkeyctlError
from valkeyctl.ops.backup.contents import Progress, check_files, pour_shard
from valkeyctl.ops.backup.create import Origin
from valkeyctl.ops.backup.halfway import begin_switch, end_switch
from valkeyctl.ops.backup.manifest import Manifest, Shard
from valkeyctl.ops.backup.pause import WritePause
from valkeyctl.ops.backup.restoration import (
    SAFETY,
    Restoration,
    Say,
    copy_present,
    loaded_keys,
    prune,
    tried,
    writers_went_on,
)
from valkeyctl.ops.backup.seal import Key
from valkeyctl.ops.backup.shelf import stamp
from valkeyctl.ops.backup.trial import require_memory
from valkeyctl.ops.deployed import count_keys
from valkeyctl.ops.deployment import Orders
from valkeyctl.ops.endpoints import endpoint_of
from valkeyctl.ops.fallback import stop, uninterrupted
from valkeyctl.ops.keyspace.nodes import primaries
from valkeyctl.ops.statefolder import StateFolder
from valkeyctl.ops.topology.members import Member, members, sentinels_of, servers_of
from valkeyctl.ops.topology.rolling import TopologyRollout
from valkeyctl.render import Artefacts
from valkeyctl.runtime.datafolder import DataFolder, replaced
from valkeyctl.runtime.protocol import Runtime
from valkeyctl.runtime.select import Wanted
from valkeyctl.units import format_size, several

Slots = frozenset[tuple[int, int]]


@dataclass
class UnitsRestore:
    """The way of one backup into a deployment of several servers.

    Attributes:
        folder: Of the backup.
        manifest: Of it.
        key: Of an encrypted one.
        artefacts: What runs.
        state: Our own files.
        runtime: That has it.
        orders: How it is to be started.
        say: Called with one line per step.
        progress: Told how far a long step is.
    """

    folder: Path
    manifest: Manifest
    key: Key | None
    artefacts: Artefacts
    state: StateFolder
    runtime: Runtime
    orders: Orders
    say: Say
    progress: Progress

    def __post_init__(self) -> None:
        self.servers = servers_of(self.artefacts)
        self.data: Mapping[str, DataFolder] = {
            unit.name: self.runtime.data(unit) for unit in self.servers
        }
        self.old = replaced(stamp(time.time()))
        self.warnings: list[str] = []
        self.safety: Path | None = None

    def run(self) -> Restoration:
        """Do it, and return what was done; on failure the old data runs again.

        Raises:
            RefusedError: Not all of it runs, the backup does not fit, or what it would
                replace cannot be copied; nothing was touched.
            StartError: It did not come up with the data; says what runs now.
        """
        name = self.artefacts.name
        found = self._all_members()
        places = self._places(found)
        leaders = [one for one in found if one.role == "primary"]
        with contextlib.ExitStack() as stack:
            with self._discarding():
                expected = self._prepare(places, leaders)
                pauses = [stack.enter_context(WritePause(one.endpoint)) for one in leaders]
                counts = [count_keys(one.endpoint) for one in leaders]
                self._copy_present(leaders[0], pauses)
            began = time.monotonic()
            keys, expired = self._replace(leaders, expected)
            down = time.monotonic() - began
        self._settle()
        instance = self.runtime.find(self.servers[0].name)
        return Restoration(
            name=name,
            folder=self.folder,
            url=endpoint_of(self.artefacts).url(),
            keys=keys,
            expired=expired,
            keys_replaced=None if None in counts else sum(count or 0 for count in counts),
            safety=self.safety,
            removed=prune(name, self.state, self.folder, self.warnings),
            kept="",
            version=instance.version if instance else "",
            down_s=down,
            warnings=tuple(self.warnings),
        )

    def _all_members(self) -> list[Member]:
        """Return all servers; each has to answer, and every replica to follow."""
        name = self.artefacts.name
        if not self.artefacts.keeps_data:
            raise RefusedError(
                f"{name} keeps no data over a restart, so that its servers would lose it again",
                hint="Set persistence.mode, and deploy that first",
            )
        found = members(self.servers, self.runtime, self.orders.access)
        answering = {one.unit for one in found}
        bad = [unit.name for unit in self.servers if unit.name not in answering]
        bad += [one.unit for one in found if not one.in_sync]
        if bad:
            raise RefusedError(
                f"{', '.join(bad)} of {name} cannot be asked, or is not in sync; all servers "
                "have to run, for each gets the data",
                hint=f"Bring it up first: valkeyctl deploy -p {name}",
            )
        return found

    def _places(self, found: list[Member]) -> Mapping[str, Shard]:
        """Return which shard each server gets: its primary's."""
        leaders = {one.inner: one for one in found if one.role == "primary"}
        if self.artefacts.topology == "sentinel":
            if len(leaders) != 1:
                raise RefusedError(
                    f"{self.artefacts.name} has {len(leaders)} primaries",
                    hint=f"See who follows whom: valkeyctl health -p {self.artefacts.name}",
                )
            return {one.unit: self.manifest.shards[0] for one in found}
        shards = {_joined(shard.slots): shard for shard in self.manifest.shards}
        slots = primaries(next(iter(leaders.values())).endpoint).slots
        ranges = slots.ranges if slots else ()
        places: dict[str, Shard] = {}
        for node, leader in leaders.items():
            mine = _joined((part.first, part.last) for part in ranges if part.primary == node)
            if mine not in shards:
                raise UsageError(
                    f"{leader.unit} serves slots {_text(mine)}, and no shard of {self.folder} "
                    "has just these",
                    hint="Restore into a Cluster whose primaries share the slots as they did "
                    "then, or bring back keys: valkeyctl keys export and keys import",
                )
            places |= {one.unit: shards[mine] for one in found if node in (one.inner, one.primary)}
        return places

    def _prepare(self, places: Mapping[str, Shard], leaders: list[Member]) -> int:
        """Put the backup beside all data, prove that it loads, and return its keys."""
        self.say(f"reading {self.folder}")
        check_files(self.folder, self.manifest, self.progress)
        require_memory(
            max(shard.data_bytes or shard.rdb_bytes for shard in self.manifest.shards),
            "Restore it on a machine with more memory",
        )
        leading = {one.unit for one in leaders}
        expected = 0
        for unit in self.servers:
            shard = places[unit.name]
            self.say(f"putting {format_size(shard.rdb_bytes)} beside the data of {unit.name}")
            self.data[unit.name].stage(
                lambda sink, shard=shard: pour_shard(self.folder, shard, self.key, sink),  # type: ignore[misc]  # mypy sees no default in a lambda
                shard.rdb_bytes,
            )
            if unit.name in leading:
                self.say(f"loading it in a throwaway server of {unit.name}")
                expected += tried(self.data[unit.name], unit, self.folder, shard).total
        return expected

    @contextlib.contextmanager
    def _discarding(self) -> Iterator[None]:
        """Remove what was put beside the data when what is done inside fails."""
        try:
            yield
        except BaseException:  # Ctrl-C too: it may be as large as the data
            with uninterrupted():
                for data in self.data.values():
                    with contextlib.suppress(ValkeyctlError):
                        data.undo(self.old)
            raise

    def _copy_present(self, leader: Member, pauses: list[WritePause]) -> None:
        name = self.artefacts.name
        self.say(f"copying the present data of {name}; its writers wait")
        # One node of a Cluster leads to all of its primaries.
        origin = Origin(
            f"{name}-{SAFETY}", leader.endpoint, self.artefacts.app, self.artefacts.image
        )
        self.safety = copy_present(name, origin, self.state, self.key, self.progress)
        if not all(pause.held for pause in pauses):
            self.warnings.append(writers_went_on(name))

    def _replace(self, leaders: list[Member], expected: int) -> tuple[int, int]:
        """Stop, switch, start all; return keys loaded and keys expired."""
        try:
            self._stop(leaders)
            begin_switch(self.artefacts, self.runtime, self.state, self.old)
            for data in self.data.values():
                data.switch(self.old)
            end_switch(self.artefacts, self.runtime, self.state)
            self._start()
            keys, expired = self._loaded()
            if keys + expired != expected:
                raise StartError(  # noqa: TRY301 - handled like any other failed start
                    f"{self.artefacts.name} has loaded {several(keys + expired, 'key')} of "
                    f"{several(expected, 'key')}"
                )
        except BaseException as error:  # Ctrl-C too: the deployment must not be left down
            outcome = self._go_back()
            if isinstance(error, ValkeyctlError):
                log = error.log if isinstance(error, StartError) else ()
                raise StartError(f"{error}; {outcome}", log=log, hint=error.hint) from error
            raise
        return keys, expired

    def _stop(self, leaders: list[Member]) -> None:
        """Stop all units: who could call an election first, and primaries last."""
        leading = {one.unit for one in leaders}
        self._stop_units(unit.name for unit in sentinels_of(self.artefacts))
        now = members(self.servers, self.runtime, self.orders.access)
        if {one.unit for one in now if one.role == "primary"} != leading:
            raise StartError(
                f"another server of {self.artefacts.name} has become primary meanwhile, and "
                "its last writes are not in the copy"
            )
        self._stop_units(unit.name for unit in self.servers if unit.name not in leading)
        self._stop_units(unit.name for unit in self.servers if unit.name in leading)

    def _stop_units(self, names: Iterable[str]) -> None:
        for name in names:
            self.say(f"stopping {name}")
            stop(self.runtime, name, self.artefacts.stop_grace, self.warnings)

    def _start(self) -> None:
        here = cast("Wanted", self.runtime.name)
        plan = TopologyRollout.plan(self.artefacts, self.state, here, self.say, self.orders)
        done = plan.run()
        self.warnings += [line for line in done.warnings if line not in self.warnings]

    def _loaded(self) -> tuple[int, int]:
        found = members(self.servers, self.runtime, self.orders.access)
        counts = [loaded_keys(one.endpoint) for one in found if one.role == "primary"]
        return sum(keys for keys, _ in counts), sum(expired for _, expired in counts)

    def _go_back(self) -> str:
        """Let the old data run again; return what has become of it."""
        self.say(f"putting the old data of {self.artefacts.name} back")
        with uninterrupted():
            try:
                self._stop_units(unit.name for unit in sentinels_of(self.artefacts))
                self._stop_units(unit.name for unit in reversed(self.servers))
                # Killed between two of them, the next deploy goes on.
                begin_switch(self.artefacts, self.runtime, self.state, self.old)
                for data in self.data.values():
                    data.undo(self.old)
                end_switch(self.artefacts, self.runtime, self.state)
                self._start()
            except ValkeyctlError as again:
                copy = f"; it is in the backup {self.safety}" if self.safety else ""
                return f"the old data could not be put back: {again}{copy}"
        return "the old data runs again"

    def _settle(self) -> None:
        """Remove what was replaced: it is in a backup."""
        for name, data in self.data.items():
            try:
                data.settle(self.old)
            except ValkeyctlError as error:
                self.warnings.append(f"{self.old} is still beside the data of {name}: {error}")


def _joined(slots: Iterable[tuple[int, int]]) -> Slots:
    """Return *slots* with neighbouring ranges made one, to be compared."""
    found: list[tuple[int, int]] = []
    for first, last in sorted(slots):
        if found and found[-1][1] + 1 == first:
            found[-1] = (found[-1][0], last)
        else:
            found.append((first, last))
    return frozenset(found)


def _text(slots: Slots) -> str:
    return ", ".join(f"{first}-{last}" for first, last in sorted(slots)) or "none"
