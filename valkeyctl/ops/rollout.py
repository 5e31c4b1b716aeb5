"""One rollout of artefacts: prove, compare, replace, wait, write down, or put back."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import FrameType
from typing import Literal, Self

from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import FolderError, RefusedError, StartError, ToolError, ValkeyctlError
from valkeyctl.ops.deployed import Deployed, count_keys, look_up
from valkeyctl.ops.statefolder import Record, StateFolder
from valkeyctl.ops.writeprobe import WriteProbe
from valkeyctl.render import Artefacts
from valkeyctl.runtime.protocol import Instance, Runtime
from valkeyctl.runtime.ready import ask
from valkeyctl.runtime.select import Choice, Wanted, choose

Action = Literal["started", "replaced", "restarted", "unchanged", "would start", "would replace"]
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Deployment:
    """What a deploy or restart has done, or would do.

    Attributes:
        name: Of the deployment.
        runtime: ``podman`` or ``process``.
        runtime_reason: Why that one.
        url: Where it listens; never with a password.
        changed: Whether anything was done.
        action: What was done, or would be.
        digest: Of the artefacts that run, or would.
        version: Of the server; empty when it is not known yet.
        proofs: One line per thing proven beforehand.
        write_gap_ms: Milliseconds in which a writer was not acknowledged; None when
            nothing was replaced, or the server took no write before it.
        keys_before: Keys in all databases before a replacement; None when not asked.
        keys_after: And after it.
        warnings: What the operator should know although it worked.
    """

    name: str
    runtime: str
    runtime_reason: str
    url: str
    changed: bool
    action: Action
    digest: str
    version: str
    proofs: tuple[str, ...] = ()
    write_gap_ms: float | None = None
    keys_before: int | None = None
    keys_after: int | None = None
    warnings: tuple[str, ...] = ()


@dataclass
class Rollout:
    """The way of *artefacts* onto this machine.

    Attributes:
        artefacts: What is to run.
        state: Our own files.
        deployed: What was found before.
        choice: The runtime, and why that one.
        progress: Called with one line per step.
        anew: Whether to stop and start a server that needs no change, too.
        warnings: Collected on the way.
        after: The server as it was found when it was written down; None before.
    """

    artefacts: Artefacts
    state: StateFolder
    deployed: Deployed
    choice: Choice
    progress: Progress
    anew: bool = False
    warnings: list[str] = field(default_factory=list)
    after: Instance | None = None

    @classmethod
    def plan(
        cls,
        artefacts: Artefacts,
        state: StateFolder,
        wanted: Wanted,
        progress: Progress,
        *,
        anew: bool = False,
    ) -> Self:
        """Return the rollout, its runtime chosen; nothing is done yet.

        Raises:
            RefusedError: It runs on another runtime than the *wanted* one.
            MissingError: The runtime is not there.
        """
        deployed = look_up(artefacts.name, state)
        rollout = cls(artefacts, state, deployed, _choice(deployed, state, wanted), progress, anew)
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

    @property
    def _running(self) -> Instance | None:
        """The server that ran before, if one did."""
        return self.deployed.instance if self.deployed.running else None

    def outline(self) -> Deployment:
        """Return what `run` would do, everything proven that can be."""
        running = self._running
        if self._is_there():
            return self._result("unchanged")
        proofs = self._prove()
        keys = count_keys(running.endpoint) if running else None
        previous = self._previous()
        if keys and previous is not None and not previous.keeps_data:
            self.warnings.append(f"{keys:,} keys would be lost: the running server keeps no data")
        action: Action = "would replace" if running else "would start"
        return self._result(action, proofs=proofs, keys_before=keys)

    def run(self) -> Deployment:
        """Do it, and return what was done; on failure what ran before runs again."""
        if not self.anew and self._is_there():
            self._write_down()
            return self._result("unchanged")
        proofs = self._prove()
        running = self._running
        keys_before = count_keys(running.endpoint) if running else None
        gap_ms = None
        try:
            if running is None:
                self.progress(f"starting {self.artefacts.name}")
                self.runtime.start(self.artefacts)
            else:
                self.progress(f"replacing {self.artefacts.name} ({running.detail})")
                endpoints = (running.endpoint, self._endpoint)
                with WriteProbe(endpoints, self.artefacts.app) as probe:
                    # One that is up and silent would be waited for in vain.
                    if self.anew or running.digest == self.artefacts.digest:
                        stop(self.runtime, self.artefacts.name, self._grace(), self.warnings)
                    self.runtime.start(self.artefacts)
                gap_ms = probe.gap_ms
            self._write_down()
        except BaseException as error:  # Ctrl-C too: the cache must not be left down
            outcome = self._recover(error)
            if outcome and isinstance(error, ValkeyctlError):
                log = error.log if isinstance(error, StartError) else ()
                raise StartError(f"{error}; {outcome}", log=log, hint=error.hint) from error
            raise
        if running is None:
            return self._result("started", proofs=proofs)
        keys_after = count_keys(self._endpoint)
        self._compare(keys_before, keys_after)
        return self._result(
            "restarted" if self.anew else "replaced",
            proofs=proofs,
            write_gap_ms=gap_ms,
            keys_before=keys_before,
            keys_after=keys_after,
        )

    @property
    def _endpoint(self) -> Endpoint:
        artefacts = self.artefacts
        return Endpoint(host=artefacts.host, port=artefacts.port, tls=artefacts.tls)

    def _is_there(self) -> bool:
        """Say whether exactly this runs already, and answers."""
        running = self._running
        return (
            running is not None
            and running.digest == self.artefacts.digest
            and ask(running.endpoint) == "ready"
        )

    def _prove(self) -> tuple[str, ...]:
        self.progress(f"proving {self.artefacts.name} on {self.runtime.name}")
        return tuple(self.runtime.prove(self.artefacts))

    def _previous(self) -> Artefacts | None:
        """Return the render that ran before."""
        running = self._running
        return render_of(self.state, self.artefacts.name, running.digest) if running else None

    def _grace(self) -> float:
        previous = self._previous()
        return (previous or self.artefacts).stop_grace

    def _recover(self, error: BaseException) -> str:
        """Bring back what ran before *error*; return what has become of it, or "".

        Empty too when nothing that ran was touched, so that *error* says it all.
        """
        before = self._running
        with _uninterrupted():
            try:
                now = self.runtime.find(self.artefacts.name)
                if now is not None and now.running:
                    # Not touched yet; or done, and then Ctrl-C or a full disk came.
                    if now.digest == self.artefacts.digest and ask(now.endpoint) == "ready":
                        self.progress(f"{self.artefacts.name} runs as the profile says")
                        with contextlib.suppress(FolderError):  # it is the error, then
                            self._write_down()
                    return ""
                if before is None:
                    return ""
                previous = self._previous()
                if previous is None:
                    return "the server that ran before cannot be put back: its render is not kept"
                if previous.digest == self.artefacts.digest and isinstance(error, Exception):
                    return "the server that ran before had the same configuration and is gone"
                self.progress("putting the last good render back")
                self.runtime.start(previous)
            except ValkeyctlError as again:
                return f"the last good render cannot be put back: {again}"
        return "the last good render runs again"

    def _write_down(self) -> None:
        """Record what runs, and keep its render as the last good one."""
        artefacts = self.artefacts
        record = self.deployed.record
        if record is None or record.digest != artefacts.digest or self.anew or not self._running:
            self.after = self.runtime.find(artefacts.name)
            self.state.write(
                Record(
                    name=artefacts.name,
                    runtime=self.runtime.name,
                    reason=self.choice.reason,
                    url=self._endpoint.url(),
                    digest=artefacts.digest,
                    image=artefacts.image,
                    version=self.after.version if self.after else "",
                    app=artefacts.app,
                    deployed_at=time.time(),
                    stop_grace=artefacts.stop_grace,
                    directives=dict(artefacts.directives),
                )
            )
        self.state.remember(artefacts)

    def _compare(self, before: int | None, after: int | None) -> None:
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
            url=self._endpoint.url(),
            changed=action in {"started", "replaced", "restarted"},
            action=action,
            digest=self.artefacts.digest,
            version=instance.version if instance else "",
            proofs=proofs,
            write_gap_ms=write_gap_ms,
            keys_before=keys_before,
            keys_after=keys_after,
            warnings=tuple(self.warnings),
        )


def render_of(state: StateFolder, name: str, digest: str) -> Artefacts | None:
    """Return the kept render of *name* with *digest*, else the last good one, else None."""
    history = state.history(name)
    matching = (artefacts for artefacts in history if artefacts.digest == digest)
    return next(matching, history[0] if history else None)


def stop(runtime: Runtime, name: str, grace: float, warnings: list[str]) -> bool:
    """Stop *name*; a server that had to be killed is a warning, for it is stopped.

    Raises:
        ToolError: It still runs.
    """
    try:
        return runtime.stop(name, grace)
    except ToolError as error:
        if runtime.find(name) is not None:
            raise
        warnings.append(str(error))
        return True


def _choice(deployed: Deployed, state: StateFolder, wanted: Wanted) -> Choice:
    """Return the runtime to use: the one that has the deployment, where one has it."""
    here, record = deployed.runtime, deployed.record
    reason = record.reason if record else ""
    if here is not None and deployed.instance is not None:
        if wanted not in ("auto", here.name):
            raise RefusedError(
                f"{deployed.name} is on {here.name}; {wanted} would start a second server",
                hint=f"Take it down first: valkeyctl down -p {deployed.name}",
            )
        return Choice(here, reason or f"{here.name}: it is there already")
    if here is not None and wanted == "auto":
        here.check()  # its data is there, and nowhere else
        return Choice(here, reason)
    return choose(wanted, state.runtimes)


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Put off Ctrl-C: whoever presses it twice must not stop the server from coming back."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def wait(_number: int, _frame: FrameType | None) -> None:
        """Do nothing; the exception that we are handling goes on afterwards."""

    before = signal.signal(signal.SIGINT, wait)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
