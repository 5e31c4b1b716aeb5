"""A backup put in the place of a deployment's data; on any failure the old data runs again.

All that can be known beforehand is: the backup is read to its end, and loaded by the very
server that is to run it, while the deployment still serves.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import (
    StartError,
    ValkeyctlError,
)
from valkeyctl.ops.backup.contents import Progress, check_files, pour_shard, unheard
from valkeyctl.ops.backup.create import Origin
from valkeyctl.ops.backup.manifest import Manifest, Shard, read_manifest
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
from valkeyctl.ops.backup.restoreplan import artefacts_of, usable
from valkeyctl.ops.backup.restoreunits import UnitsRestore
from valkeyctl.ops.backup.seal import Key
from valkeyctl.ops.backup.shelf import stamp
from valkeyctl.ops.backup.trial import require_memory
from valkeyctl.ops.deployed import count_keys, find_units, look_up
from valkeyctl.ops.deployment import Orders
from valkeyctl.ops.fallback import runtime_for, stop, uninterrupted
from valkeyctl.ops.orders import orders_for
from valkeyctl.ops.rollout import Rollout
from valkeyctl.ops.statefolder import StateFolder
from valkeyctl.profile.schema import Profile
from valkeyctl.render import Artefacts
from valkeyctl.runtime.datafolder import DataFolder, kept, replaced
from valkeyctl.runtime.loadtrial import Loaded
from valkeyctl.runtime.select import Wanted
from valkeyctl.units import format_size, several


def restore(
    folder: Path,
    profile: Profile,
    state: StateFolder,
    *,
    key: Key | None = None,
    runtime: Wanted = "auto",
    say: Say = lambda _text: None,
    progress: Progress = unheard,
) -> Restoration:
    """Put the backup in *folder* in the place of the data of *profile*'s deployment.

    A deployment that runs is copied first, while its writers wait; the copy is a backup
    like any other. One that does not run is started with the data of the backup.

    Args:
        folder: Of the backup.
        profile: Of the deployment; one that runs keeps the render that it runs with.
        state: Our own files.
        key: Of an encrypted backup.
        runtime: Which one to use when none is known to have the deployment.
        say: Called with one line per step.
        progress: Told how far a long step is.

    Raises:
        NotFoundError, UsageError, FolderError: As `plan_restore`.
        RefusedError: The deployment's server cannot read the backup, or its maxmemory
            cannot hold it; nothing was touched.
        LockedError: Another command works on the deployment.
        StartError: The server did not come up with the data; says whether the old data
            runs again.
        MissingError, PortTakenError, ToolError: As `deploy`; nothing was touched.
    """
    manifest = usable(folder, profile, key)
    wanted = profile.runtime if runtime == "auto" else runtime
    with state.lock(profile.name):
        deployed = look_up(profile.name, state)
        artefacts = artefacts_of(profile, deployed, state)
        orders = orders_for(profile, state, yes=True)
        if artefacts.nodes:
            units = find_units(artefacts, state)
            chosen = runtime_for(units, state, wanted).runtime
            way_of_units = UnitsRestore(
                folder, manifest, key, artefacts, state, chosen, orders, say, progress
            )
            return way_of_units.run()
        # Before the first deploy from here, this makes the passwords that the login needs.
        orders.material(artefacts)
        rollout = Rollout.plan(artefacts, state, wanted, say, orders)
        way = _Restore(folder, manifest, key, artefacts, state, rollout, orders, say, progress)
        return way.run()


@dataclass
class _Restore:
    """The way of one backup into one deployment."""

    folder: Path
    manifest: Manifest
    key: Key | None
    artefacts: Artefacts
    state: StateFolder
    rollout: Rollout
    orders: Orders
    say: Say
    progress: Progress

    def __post_init__(self) -> None:
        self.shard: Shard = self.manifest.shards[0]
        self.data: DataFolder = self.rollout.runtime.data(self.artefacts)
        self.warnings: list[str] = list(self.rollout.warnings)
        self.stamp = stamp(time.time())
        self.was_running = self.rollout.deployed.running
        self.safety: Path | None = None

    @property
    def _address(self) -> Endpoint:
        unit = self.artefacts
        return Endpoint(host=unit.host, port=unit.port, tls=unit.tls)

    def login(self) -> Endpoint:
        """Return where the deployment is, with a login that may do all of this."""
        return self.orders.access(self.artefacts)

    def run(self) -> Restoration:
        name = self.artefacts.name
        with self._discarding():
            loaded = self._prepare()
        if not self.was_running:
            began = time.monotonic()
            keys_before = None
            keys, expired, version = self._replace(loaded)
        else:
            with WritePause(self.login()) as pause:
                with self._discarding():
                    keys_before = count_keys(self.login())
                    self._copy_present(pause)
                began = time.monotonic()
                keys, expired, version = self._replace(loaded)
        down = time.monotonic() - began
        kept_at = self._settle()
        return Restoration(
            name=name,
            folder=self.folder,
            url=self._address.url(),
            keys=keys,
            expired=expired,
            keys_replaced=keys_before,
            safety=self.safety,
            removed=prune(name, self.state, self.folder, self.warnings),
            kept=kept_at,
            version=version,
            down_s=down,
            warnings=tuple(self.warnings),
        )

    def _prepare(self) -> Loaded:
        """Put the backup beside the data, and prove that it can take its place."""
        name = self.artefacts.name
        self.say(f"reading {self.folder}")
        check_files(self.folder, self.manifest, self.progress)
        # The rest of what a start needs; a running server has proven it by running.
        if not self.was_running:
            self.rollout.runtime.prove(self.artefacts, self.orders.material(self.artefacts))
        require_memory(
            self.shard.data_bytes or self.shard.rdb_bytes,
            f"Stop the deployment first: valkeyctl down -p {name}",
        )
        self.say(f"putting {format_size(self.shard.rdb_bytes)} beside the data of {name}")
        self._stage(self.folder, self.shard, self.key)
        self.say(f"loading it in a throwaway server of {name}")
        return tried(self.data, self.artefacts, self.folder, self.shard)

    @contextlib.contextmanager
    def _discarding(self) -> Iterator[None]:
        """Remove what was put beside the data when what is done inside fails."""
        try:
            yield
        except BaseException:  # Ctrl-C too: it may be as large as the data
            with uninterrupted(), contextlib.suppress(ValkeyctlError):
                self.data.undo(self._old)
            raise

    def _stage(self, folder: Path, shard: Shard, key: Key | None) -> None:
        self.data.stage(lambda sink: pour_shard(folder, shard, key, sink), shard.rdb_bytes)

    def _copy_present(self, pause: WritePause) -> None:
        """Take a backup of what is about to be replaced."""
        name = self.artefacts.name
        self.say(f"copying the present data of {name}; its writers wait")
        origin = Origin(f"{name}-{SAFETY}", self.login(), self.artefacts.app, self.artefacts.image)
        self.safety = copy_present(name, origin, self.state, self.key, self.progress)
        if not pause.held:
            self.warnings.append(writers_went_on(name))

    def _replace(self, expected: Loaded) -> tuple[int, int, str]:
        """Stop, switch, start; return keys loaded, keys expired and the server's version."""
        name, runtime = self.artefacts.name, self.rollout.runtime
        try:
            if self.was_running:
                self.say(f"stopping {name}")
                stop(runtime, name, self.artefacts.stop_grace, self.warnings)
            self.data.switch(self._old)
            self._start()
            keys, expired = loaded_keys(self.login())
            if keys + expired != expected.total:
                raise StartError(  # noqa: TRY301 - handled like any other failed start
                    f"{name} has loaded {several(keys + expired, 'key')} of "
                    f"{several(expected.total, 'key')}"
                )
        except BaseException as error:  # Ctrl-C too: the deployment must not be left down
            outcome = self._go_back()
            if isinstance(error, ValkeyctlError):
                log = error.log if isinstance(error, StartError) else ()
                raise StartError(f"{error}; {outcome}", log=log, hint=error.hint) from error
            raise
        instance = runtime.find(name)
        return keys, expired, instance.version if instance else ""

    def _start(self) -> None:
        """Start the server, which is proven already, and write down one that is new here."""
        name, runtime = self.artefacts.name, self.rollout.runtime
        if self.was_running:
            self.say(f"starting {name}")
            runtime.start(self.artefacts, self.orders.material(self.artefacts))
        else:
            self.rollout.run()

    def _go_back(self) -> str:
        """Let the old data run again; return what has become of it."""
        name, runtime = self.artefacts.name, self.rollout.runtime
        self.say(f"putting the old data of {name} back")
        with uninterrupted():
            try:
                stop(runtime, name, self.artefacts.stop_grace, self.warnings)
                self.data.undo(self._old)
                if self.safety is not None and not self.artefacts.keeps_data:
                    # Its files never held the data: the copy that was taken does.
                    shard = read_manifest(self.safety).shards[0]
                    self._stage(self.safety, shard, self.key)
                    self.data.switch(self._old)
                if not self.was_running:
                    return "the data is what it was, and the deployment is stopped as before"
                self._start()
                self._settle()
            except ValkeyctlError as again:
                copy = f"; it is in the backup {self.safety}" if self.safety else ""
                return f"the old data could not be put back: {again}{copy}"
        return "the old data runs again"

    def _settle(self) -> str:
        """Remove what is not needed any more; return where the replaced files are kept, if so."""
        try:
            # A server that keeps no data must not find this again at its next start.
            return self.data.settle(self._old, clear=not self.artefacts.keeps_data)
        except ValkeyctlError as error:
            # The data is in place; only what it replaced is still beside it.
            self.warnings.append(f"{self._old} is still beside the data: {error}")
            return ""

    @property
    def _old(self) -> str:
        """Name of the folder that the replaced files are in."""
        return replaced(self.stamp) if self.safety else kept(self.stamp)
