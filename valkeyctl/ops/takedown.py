"""Taking a deployment away: stopped cleanly, its data kept unless told otherwise."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from valkeyctl.errors import MissingError, ProfileError, ValkeyctlError
from valkeyctl.ops.deployed import Deployed, count_keys, find_named
from valkeyctl.ops.deployment import Access, Progress
from valkeyctl.ops.fallback import unit_render_of
from valkeyctl.ops.orders import access_to
from valkeyctl.ops.statefolder import StateFolder
from valkeyctl.ops.topology.members import Member, members
from valkeyctl.profile.schema import Profile
from valkeyctl.render import Artefacts, render
from valkeyctl.runtime.protocol import Runtime
from valkeyctl.runtime.select import NAMES, runtime_named
from valkeyctl.runtime.stopping import killed

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

    Of a topology the primaries are stopped last, and all else at once before them, so that
    nobody takes over from a server that is meant to end. Units of earlier renders go too,
    where they still run or have data. Who is interrupted may call it again: it goes on
    with what is left.

    Args:
        name: Of the deployment.
        state: Our own files.
        purge: Whether to remove its data, passwords and certificates too.
        profile: Of the deployment, where it is at hand: it names the units that a deploy
            has started which was killed before it had written down any.
        progress: Called with one line per step.

    Raises:
        ProfileError: The profile cannot be rendered, and no render of before is kept.
        LockedError: Another command works on it.
        MissingError: Its runtime is not there any more.
        RefusedError: A volume of its name was not made by valkeyctl.
        ToolError: podman failed.
        FolderError: Something cannot be removed.
    """
    with state.lock(name):
        kept = state.history(name)
        made = next(iter(kept), None)
        warnings: list[str] = []
        planned = _rendered(profile, made, warnings) if profile else None
        known = [one for one in (made, planned) if one is not None]
        units = {unit.name: unit for one in reversed(known) for unit in one.units}
        older = [unit.name for one in kept for unit in one.units]
        # The name itself too: one server whose record is lost is called so.
        deployed = find_named(name, list(dict.fromkeys([*units, *older, name])), state)
        if deployed.missing is not None:
            raise deployed.missing
        warnings += [deployed.warning] if deployed.warning else []
        access = access_to(profile, state)
        runtime, stopped, keys = deployed.runtime, False, None
        names = list(dict.fromkeys([*units, *older, *deployed.units])) or [name]
        if runtime is not None and deployed.instance is not None:
            primaries = _primaries(units.values(), runtime, access)
            keys = _count(made, deployed, state, access, primaries)
            groups = _groups(names, {one.unit for one in primaries})
            grace = deployed.record.stop_grace if deployed.record else _GRACE
            done = runtime.stop_all(groups, grace, partial(_tell, progress, deployed))
            stopped = bool(done.units)
            warnings += [str(killed(unit, grace)) for unit in done.killed]
        found = deployed.record is not None or deployed.instance is not None
        purged = False
        if purge:
            progress(f"removing the data of {name}")
            purged = _purge(runtime, names, state)
            # Last: whatever fails before it can be tried again.
            found = state.forget(name) or purged or found
        return Removal(
            name=name,
            found=found,
            runtime=runtime.name if runtime else "",
            stopped=stopped,
            purged=purged,
            keys=keys,
            warnings=tuple(warnings),
        )


def _rendered(profile: Profile, made: Artefacts | None, warnings: list[str]) -> Artefacts | None:
    """Return the render of *profile*; None, and a warning, where *made* has to do."""
    try:
        return render(profile)
    except ProfileError as error:
        if made is None:
            raise
        warnings.append(f"the profile is left aside: {error}")
        return None


def _primaries(units: Iterable[Artefacts], runtime: Runtime, access: Access) -> list[Member]:
    """Return the servers of a topology that say that they are primaries; none of one server."""
    servers = [unit for unit in units if unit.kind == "server" and unit.is_node]
    return [one for one in members(servers, runtime, access) if one.role == "primary"]


def _groups(names: Sequence[str], primaries: Collection[str]) -> list[list[str]]:
    """Return the units that may be stopped at once, in the order in which they are stopped.

    While a primary is there nobody takes over; when it ends, no sentinel is left that could
    decide on it, and no replica to which a node of a Cluster would hand over.
    """
    last = [name for name in names if name in primaries]
    first = [name for name in names if name not in primaries]
    return [group for group in (first, last) if group]


def _tell(progress: Progress, deployed: Deployed, units: Sequence[str]) -> None:
    if list(units) == [deployed.name] and deployed.instance is not None:
        progress(f"stopping {deployed.name} ({deployed.instance.detail})")
        return
    short = (unit.removeprefix(f"{deployed.name}-") for unit in units)
    progress(f"stopping {', '.join(short)}")


def _count(
    made: Artefacts | None,
    deployed: Deployed,
    state: StateFolder,
    access: Access,
    primaries: Sequence[Member],
) -> int | None:
    """Return the keys of all primaries; None when one cannot be asked."""
    instance = deployed.instance
    if instance is None or not any(one.running for one in deployed.units.values()):
        return None
    if made is not None and made.nodes:
        counts = [count_keys(one.endpoint) for one in primaries]
        return sum(count or 0 for count in counts) if counts and None not in counts else None
    made_from = unit_render_of(state, made, instance.digest) if made else None
    try:
        return count_keys(access(made_from) if made_from else instance.endpoint)
    except ValkeyctlError:
        return None  # its certificates are not named as they must be


def _purge(runtime: Runtime | None, names: Sequence[str], state: StateFolder) -> bool:
    """Remove the data from the runtime that has it; from each, when none is known to."""
    if runtime is not None:
        return runtime.purge_all(names)
    purged = False
    for known in NAMES:
        try:
            purged = runtime_named(known, state.runtimes).purge_all(names) or purged
        except MissingError:  # a runtime that is not here keeps nothing either
            continue
    return purged
