"""Taking a deployment away: stopped cleanly, its data kept unless told otherwise."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from valkeyctl.errors import MissingError
from valkeyctl.ops.deployed import Deployed, count_keys, find_units, look_up
from valkeyctl.ops.deployment import Access, Progress
from valkeyctl.ops.fallback import stop, unit_render_of
from valkeyctl.ops.orders import access_to
from valkeyctl.ops.statefolder import StateFolder
from valkeyctl.ops.topology.members import members, servers_of
from valkeyctl.profile.schema import Profile
from valkeyctl.render import Artefacts, render
from valkeyctl.runtime.protocol import Runtime
from valkeyctl.runtime.select import NAMES, runtime_named

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


def take_down(
    name: str,
    state: StateFolder,
    *,
    purge: bool = False,
    profile: Profile | None = None,
    progress: Progress = quiet,
) -> Removal:
    """Stop *name*, and with *purge* remove its data and all that is known of it.

    Of a topology the sentinels are stopped first and the primaries last, so that nobody
    takes over from a server that is meant to end.

    Args:
        name: Of the deployment.
        state: Our own files.
        purge: Whether to remove its data, passwords and certificates too.
        profile: Of the deployment, where it is at hand: it names the units that a deploy
            has started which was killed before it had written down any.
        progress: Called with one line per step.

    Raises:
        LockedError: Another command works on it.
        MissingError: Its runtime is not there any more.
        RefusedError: A volume of its name was not made by valkeyctl.
        ToolError: podman failed.
        FolderError: Something cannot be removed.
    """
    with state.lock(name):
        made = state.last_good(name)
        known = [one for one in (made, render(profile) if profile else None) if one is not None]
        deployed = _find(name, known, state)
        if deployed.missing is not None:
            raise deployed.missing
        warnings = [deployed.warning] if deployed.warning else []
        access = access_to(profile, state)
        stopped, keys = False, None
        names = _order(name, known, deployed.runtime, access)
        if deployed.runtime is not None and deployed.instance is not None:
            keys = _count(made, deployed, state, access)
            stopped = _stop(deployed, names, warnings, progress)
        found = deployed.record is not None or deployed.instance is not None
        purged = False
        if purge:
            progress(f"removing the data of {name}")
            purged = _purge(deployed, names, state)
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


def _find(name: str, known: Sequence[Artefacts], state: StateFolder) -> Deployed:
    """Return what is known of *name*, by the units of its renders where its own record is lost."""
    deployed = look_up(name, state)
    for artefacts in known:
        if deployed.instance is None and deployed.missing is None:
            deployed = find_units(artefacts, state)
    return deployed


def _order(
    name: str, known: Sequence[Artefacts], runtime: Runtime | None, access: Access
) -> list[str]:
    """Return the units of all *known* renders in the order in which they are stopped."""
    units = {unit.name: unit for one in reversed(known) for unit in one.units}
    if runtime is None or not any(one.nodes for one in known):
        return list(units) or [name]
    servers = [unit for unit in units.values() if unit.kind == "server" and unit.is_node]
    primaries = {one.unit for one in members(servers, runtime, access) if one.role == "primary"}
    rank = {"sentinel": 0, "server": 1}
    return sorted(units, key=lambda unit: (rank[units[unit].kind], unit in primaries))


def _stop(
    deployed: Deployed, names: Iterable[str], warnings: list[str], progress: Progress
) -> bool:
    """Stop what runs of *names*; False when nothing did."""
    stopped = False
    assert deployed.runtime is not None  # noqa: S101 - the caller has looked
    for name in names:
        instance = deployed.runtime.find(name)
        if instance is None:
            continue
        progress(f"stopping {name} ({instance.detail})")
        grace = deployed.record.stop_grace if deployed.record else _GRACE
        stopped = stop(deployed.runtime, name, grace, warnings) or stopped
    return stopped


def _count(
    made: Artefacts | None, deployed: Deployed, state: StateFolder, access: Access
) -> int | None:
    """Return the keys of all primaries; None when one cannot be asked."""
    runtime, instance = deployed.runtime, deployed.instance
    if runtime is None or instance is None or not instance.running:
        return None
    if made is not None and made.nodes:
        found = members(servers_of(made), runtime, access)
        counts = [count_keys(one.endpoint) for one in found if one.role == "primary"]
        return sum(count or 0 for count in counts) if counts and None not in counts else None
    made_from = unit_render_of(state, made, instance.digest) if made else None
    return count_keys(access(made_from) if made_from else instance.endpoint)


def _purge(deployed: Deployed, names: Iterable[str], state: StateFolder) -> bool:
    """Remove the data from the runtime that has it; from each, when none is known to."""
    purged = False
    for unit in names:
        if deployed.runtime is not None:
            purged = deployed.runtime.purge(unit) or purged
            continue
        for known in NAMES:
            try:
                runtime = runtime_named(known, state.runtimes)
                purged = runtime.purge(unit) or purged
            except MissingError:  # a runtime that is not here keeps nothing either
                continue
    return purged
