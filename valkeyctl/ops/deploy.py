"""From a profile to a server that runs it, and away again; never half way.

The order is the point: everything that can be proven is proven while the old server
still serves; what fails afterwards puts the last good render back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from valkeyctl.errors import NotFoundError
from valkeyctl.ops.changes import Changes, changes_of
from valkeyctl.ops.deployed import find_units, look_up
from valkeyctl.ops.deployment import Deployment, Orders, Progress
from valkeyctl.ops.fallback import render_of
from valkeyctl.ops.faultmend import release_left
from valkeyctl.ops.logs import read_logs
from valkeyctl.ops.orders import access_to, orders_for
from valkeyctl.ops.rollout import Rollout
from valkeyctl.ops.secrets import exposed
from valkeyctl.ops.statefolder import StateFolder
from valkeyctl.ops.takedown import Removal, quiet, take_down
from valkeyctl.ops.tls.check import check_tls
from valkeyctl.ops.topology.form import require_same_form
from valkeyctl.ops.topology.rolling import TopologyRollout
from valkeyctl.profile.schema import Profile
from valkeyctl.render import Artefacts, render
from valkeyctl.runtime.select import Wanted

__all__ = [
    "Changes",
    "Deployment",
    "Removal",
    "changes",
    "deploy",
    "read_logs",
    "restart",
    "roll_back",
    "take_down",
]


def deploy(
    profile: Profile,
    state: StateFolder,
    *,
    runtime: Wanted = "auto",
    dry_run: bool = False,
    yes: bool = False,
    progress: Progress = quiet,
) -> Deployment:
    """Bring the machine to what *profile* says, and return what that took.

    What can be set on the running server is set there; else it is stopped cleanly and
    replaced.

    Args:
        profile: What to deploy.
        state: Our own files.
        runtime: Which runtime to use; ``auto`` leaves it to the profile, and then to
            this machine. A deployment that exists stays on the runtime that has it.
        dry_run: Prove, and say what would be done, without doing it.
        yes: Whether losing data, or evicting it, is meant.
        progress: Called with one line per step.

    Raises:
        ProfileError: The profile cannot be deployed.
        LockedError: Another command works on the same deployment.
        RefusedError: It is on another runtime than the one asked for, a pod of its
            name was not made by valkeyctl, or data would be lost without a yes.
        MissingError: The runtime or the image is not there.
        PortTakenError: Something else has the port.
        StartError: The server refuses its configuration, ended, or did not answer. The
            message says whether the previous one runs again.
        TlsError: No client would accept the certificate, or no server its key.
        ToolError: podman failed.
        FolderError: Our own files cannot be written.
    """
    artefacts = render(profile)
    wanted = profile.runtime if runtime == "auto" else runtime
    orders = orders_for(profile, state, yes=yes, dry_run=dry_run)
    if dry_run:
        rollout = plan(artefacts, state, wanted, progress, orders)
        proofs, warnings = _certificates(profile, artefacts, state, rollout.choice.runtime.name)
        return _told(rollout.outline(), proofs, warnings)
    with state.lock(profile.name):
        release_left(profile.name, state, progress)
        rollout = plan(artefacts, state, wanted, progress, orders)
        # First of all: a change of certificates alone is brought to servers that run.
        proofs, warnings = _certificates(profile, artefacts, state, rollout.choice.runtime.name)
        return _told(rollout.run(), proofs, [*warnings, *exposed(profile.name, state)])


def _certificates(
    profile: Profile, artefacts: Artefacts, state: StateFolder, runtime: str
) -> tuple[list[str], list[str]]:
    """Return what is proven of the certificates, and what to warn of; see `check_tls`."""
    # Of a topology on Podman, clients on this machine are sent to addresses on the bridge.
    bridged = [unit.address for unit in artefacts.units if unit.address]
    return check_tls(profile, state, addresses=bridged if runtime == "podman" else ())


def _certificates_of_kept(
    profile: Profile | None, kept: Artefacts, state: StateFolder, runtime: str
) -> tuple[list[str], list[str]]:
    """Return the same for a render of before, which may be published elsewhere."""
    if profile is None or not (kept.tls and profile.tls.enabled):
        return [], []
    host = f"[{kept.host}]" if ":" in kept.host else kept.host
    there = profile.model_copy(update={"publish": f"{host}:{kept.port}"})
    return _certificates(there, kept, state, runtime)


def _told(found: Deployment, proofs: Sequence[str], warnings: Sequence[str]) -> Deployment:
    return replace(
        found,
        proofs=(*proofs, *found.proofs),
        warnings=(*found.warnings, *warnings),
    )


def plan(
    artefacts: Artefacts,
    state: StateFolder,
    wanted: Wanted,
    progress: Progress,
    orders: Orders,
) -> Rollout | TopologyRollout:
    """Return the rollout of one server, or of a topology; nothing is done yet.

    Raises:
        RefusedError: It runs on another runtime than the *wanted* one, or as another
            topology.
        MissingError: The runtime is not there.
    """
    before = state.last_good(artefacts.name)
    if before is not None and before.topology != artefacts.topology:
        there = find_units(before, state).units.values()
        # They have other names: beside the new units nobody would end them any more.
        if any(one.running for one in there):
            require_same_form(before, artefacts)
    if artefacts.nodes:
        return TopologyRollout.plan(artefacts, state, wanted, progress, orders)
    return Rollout.plan(artefacts, state, wanted, progress, orders)


def changes(profile: Profile, state: StateFolder) -> Changes:
    """Return how what runs differs from *profile*, and what a deploy would do about it.

    Raises:
        ProfileError: The profile cannot be rendered.
        MissingError: The runtime that has it is not there any more.
    """
    return changes_of(render(profile), state, access_to(profile, state))


def roll_back(
    profile: Profile, state: StateFolder, *, yes: bool = False, progress: Progress = quiet
) -> Deployment:
    """Deploy the last good render before the current one; done twice, it is undone.

    Args:
        profile: Of the deployment, for its name, passwords and certificates.
        state: Our own files.
        yes: As for `deploy`.
        progress: Called with one line per step.

    Raises:
        NotFoundError: There is no earlier render.
        LockedError, RefusedError, MissingError, PortTakenError, StartError, ToolError,
        FolderError: As `deploy`.
    """
    name = profile.name
    with state.lock(name):
        release_left(name, state, progress)
        history, instance = state.history(name), look_up(name, state).instance
        # What runs, where that is known: who was killed before it was written down has left
        # a server that the history does not name.
        current = history[0].digest if history else ""
        if history and not history[0].nodes and instance is not None and instance.running:
            current = instance.digest or current
        earlier = next((kept for kept in history if kept.digest != current), None)
        if earlier is None:
            raise NotFoundError(
                f"there is no earlier render of {name} to go back to",
                hint="Renders are kept by each deploy that works; change the profile instead",
            )
        rollout = plan(earlier, state, "auto", progress, orders_for(profile, state, yes=yes))
        told = _certificates_of_kept(profile, earlier, state, rollout.choice.runtime.name)
        return _told(rollout.run(), *told)


def restart(
    name: str,
    state: StateFolder,
    progress: Progress = quiet,
    *,
    runtime: Wanted = "auto",
    profile: Profile | None = None,
    yes: bool = False,
) -> Deployment:
    """Start the server of *name* anew from its last good render, data saved where it persists.

    Of a topology one unit after the other, each primary handed over before.

    Args:
        name: Of the deployment.
        state: Our own files.
        progress: Called with one line per step.
        runtime: Which one to use when none is known to have it.
        profile: Of the deployment, where it names certificates of its own.
        yes: Whether losing data is meant.

    Raises:
        NotFoundError: Nothing is known of it.
        RefusedError: A store, or what serves production, would lose its keys.
        TlsError: No client would accept the certificate that it would be started with.
        LockedError, MissingError, PortTakenError, StartError, ToolError, FolderError:
            As `deploy`.
    """
    with state.lock(name):
        release_left(name, state, progress)
        deployed = look_up(name, state)
        digest = deployed.instance.digest if deployed.instance else ""
        artefacts = render_of(state, name, digest)
        if artefacts is None:
            raise NotFoundError(
                f"there is no render of {name} to start",
                hint=f"Deploy it: valkeyctl deploy -p {name}",
            )
        orders = orders_for(profile, state, anew=True, yes=yes)
        rollout = plan(artefacts, state, runtime, progress, orders)
        told = _certificates_of_kept(profile, artefacts, state, rollout.choice.runtime.name)
        return _told(rollout.run(), *told)
