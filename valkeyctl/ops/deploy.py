"""From a profile to a server that runs it, and away again; never half way.

The order is the point: everything that can be proven is proven while the old server
still serves; what fails afterwards puts the last good render back.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from valkeyctl.errors import MissingError, NotFoundError
from valkeyctl.ops.deployed import Deployed, count_keys, look_up
from valkeyctl.ops.rollout import Deployment, Progress, Rollout, render_of, stop
from valkeyctl.ops.statefolder import StateFolder
from valkeyctl.profile.schema import Profile
from valkeyctl.render import render
from valkeyctl.runtime.select import NAMES, Wanted, runtime_named

__all__ = ["Deployment", "Removal", "deploy", "read_logs", "restart", "take_down"]

_GRACE = 60.0  # for a server whose record is lost


@dataclass(frozen=True)
class Removal:
    """What taking a deployment down has done.

    Attributes:
        name: Of the deployment.
        found: Whether anything was known of it.
        runtime: That had it; empty when none was known.
        stopped: Whether a running server was stopped.
        purged: Whether data was removed.
        keys: Keys that it held when it was stopped; None when it could not be asked.
        warnings: What the operator should know although it worked.
    """

    name: str
    found: bool
    runtime: str
    stopped: bool
    purged: bool
    keys: int | None = None
    warnings: tuple[str, ...] = ()


def quiet(_text: str) -> None:
    """Say nothing: the progress of a caller that does not want to hear any."""


def deploy(
    profile: Profile,
    state: StateFolder,
    *,
    runtime: Wanted = "auto",
    dry_run: bool = False,
    progress: Progress = quiet,
) -> Deployment:
    """Bring the machine to what *profile* says, and return what that took.

    Args:
        profile: What to deploy.
        state: Our own files.
        runtime: Which runtime to use; ``auto`` leaves it to the profile, and then to
            this machine. A deployment that exists stays on the runtime that has it.
        dry_run: Prove, and say what would be done, without doing it.
        progress: Called with one line per step.

    Raises:
        ProfileError: The profile cannot be deployed.
        LockedError: Another command works on the same deployment.
        RefusedError: It is on another runtime than the one asked for, or a pod of its
            name was not made by valkeyctl.
        MissingError: The runtime or the image is not there.
        PortTakenError: Something else has the port.
        StartError: The server refuses its configuration, ended, or did not answer. The
            message says whether the previous one runs again.
        ToolError: podman failed.
        FolderError: Our own files cannot be written.
    """
    artefacts = render(profile)
    wanted = profile.runtime if runtime == "auto" else runtime
    if dry_run:
        return Rollout.plan(artefacts, state, wanted, progress).outline()
    with state.lock(profile.name):
        return Rollout.plan(artefacts, state, wanted, progress).run()


def restart(
    name: str, state: StateFolder, progress: Progress = quiet, *, runtime: Wanted = "auto"
) -> Deployment:
    """Start the server of *name* anew from its last good render, data saved where it persists.

    Args:
        name: Of the deployment.
        state: Our own files.
        progress: Called with one line per step.
        runtime: Which one to use when none is known to have it.

    Raises:
        NotFoundError: Nothing is known of it.
        LockedError, MissingError, PortTakenError, StartError, ToolError, FolderError:
            As `deploy`.
    """
    with state.lock(name):
        deployed = look_up(name, state)
        digest = deployed.instance.digest if deployed.instance else ""
        artefacts = render_of(state, name, digest)
        if artefacts is None:
            raise NotFoundError(
                f"there is no render of {name} to start",
                hint=f"Deploy it: valkeyctl deploy -p {name}",
            )
        return Rollout.plan(artefacts, state, runtime, progress, anew=True).run()


def take_down(
    name: str, state: StateFolder, *, purge: bool = False, progress: Progress = quiet
) -> Removal:
    """Stop *name*, and with *purge* remove its data and all that is known of it.

    Raises:
        LockedError: Another command works on it.
        MissingError: Its runtime is not there any more.
        RefusedError: A volume of its name was not made by valkeyctl.
        ToolError: podman failed.
        FolderError: Something cannot be removed.
    """
    with state.lock(name):
        deployed = look_up(name, state)
        if deployed.missing is not None:
            raise deployed.missing
        warnings = [deployed.warning] if deployed.warning else []
        stopped, keys = False, None
        if deployed.runtime is not None and deployed.instance is not None:
            progress(f"stopping {name} ({deployed.instance.detail})")
            keys = count_keys(deployed.instance.endpoint) if deployed.running else None
            stopped = stop(deployed.runtime, name, _grace(deployed), warnings)
        found = deployed.record is not None or deployed.instance is not None
        purged = False
        if purge:
            progress(f"removing the data of {name}")
            purged = _purge(deployed, state)
            # Last: whatever fails before it can be tried again.
            found = state.forget(name) or purged or found
        return Removal(
            name=name,
            found=found,
            runtime=deployed.runtime.name if deployed.runtime else "",
            stopped=stopped,
            purged=purged,
            keys=keys,
            warnings=tuple(warnings),
        )


def read_logs(
    name: str, state: StateFolder, *, lines: int = 100, follow: bool = False
) -> Iterator[str]:
    """Return the last *lines* lines that the server wrote, oldest first, then new ones to its end.

    Raises:
        NotFoundError: There is no server of that name, and no log of one.
        MissingError: Its runtime is not there any more.
    """
    deployed = look_up(name, state)
    if deployed.missing is not None:
        raise deployed.missing
    if deployed.runtime is None:
        raise NotFoundError(f"there is no log of {name}", hint="Deploy it: valkeyctl deploy")
    return deployed.runtime.logs(name, lines, follow=follow)


def _purge(deployed: Deployed, state: StateFolder) -> bool:
    """Remove the data from the runtime that has it; from each, when none is known to."""
    if deployed.runtime is not None:
        return deployed.runtime.purge(deployed.name)
    purged = False
    for known in NAMES:
        try:
            purged = runtime_named(known, state.runtimes).purge(deployed.name) or purged
        except MissingError:  # a runtime that is not here keeps nothing either
            continue
    return purged


def _grace(deployed: Deployed) -> float:
    return deployed.record.stop_grace if deployed.record else _GRACE
