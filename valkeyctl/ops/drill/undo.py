"""Undoing the fault of a drill that could not do it itself, because it was killed."""

from __future__ import annotations

from dataclasses import dataclass

from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import NotFoundError
from valkeyctl.ops.access import access
from valkeyctl.ops.deployed import look_up
from valkeyctl.ops.drill.faults import mend_unit
from valkeyctl.ops.drill.load import SILENCE, KeyNames
from valkeyctl.ops.drill.readback import remove
from valkeyctl.ops.drill.shards import Finder
from valkeyctl.ops.faultmark import Mark, clear_mark, read_mark
from valkeyctl.ops.faultmend import hit_units
from valkeyctl.ops.orders import orders_for
from valkeyctl.ops.statefolder import StateFolder
from valkeyctl.profile.schema import Profile


@dataclass(frozen=True)
class Undone:
    """What undoing has done.

    Attributes:
        name: Of the deployment.
        found: Whether a fault was known to be in force.
        drill: Which drill had left it; empty when unknown.
        node: On which unit; empty when unknown.
        done: One line per unit that was looked after.
    """

    name: str
    found: bool
    drill: str
    node: str
    done: tuple[str, ...]


def undo(profile: Profile, state: StateFolder, *, dry_run: bool = False) -> Undone:
    """Undo what a drill has left in force on a deployment; nothing when there is nothing.

    Args:
        profile: Of the deployment, for its passwords and certificates.
        state: Our own files.
        dry_run: Only say what there is to be undone.

    Raises:
        LockedError: The drill, or another command, works on it at this moment.
        NotFoundError: Nothing is deployed under that name any more.
        MissingError, StartError, ToolError, FolderError: It cannot be undone.
        UnreachableError, AuthError, TlsError, ServerReplyError: Keys that fill the memory
            cannot be removed; they expire by themselves.
    """
    name = profile.name
    with state.lock(name):
        mark = read_mark(state, name)
        if mark is None:
            return Undone(name, found=False, drill="", node="", done=())
        if dry_run:
            return Undone(name, found=True, drill=mark.drill, node=mark.unit, done=())
        deployed = look_up(name, state)
        artefacts = state.last_good(name)
        if deployed.missing is not None:
            raise deployed.missing
        if artefacts is None or deployed.runtime is None:
            raise NotFoundError(
                f"{name} is not deployed any more", hint="Remove what is left: valkeyctl down"
            )
        material = orders_for(profile, state).material
        done = [
            mend_unit(deployed.runtime, unit, material(unit)) for unit in hit_units(artefacts, mark)
        ]
        if mark.fills:
            done.append(_without_fill(mark, access(profile, state)))
        clear_mark(state, name)
        return Undone(name, found=True, drill=mark.drill, node=mark.unit, done=tuple(done))


def _without_fill(mark: Mark, endpoint: Endpoint) -> str:
    finder = Finder(endpoint, timeout=SILENCE)
    names = KeyNames(mark.app, mark.run)
    # On a Cluster only one of so many numbers belongs to the shard that was filled.
    most = mark.fills * 2 * len(finder.shards())
    removed = remove(finder, (names.key(f"fill{number}") for number in range(most)))
    return f"{removed:,} keys removed that filled the memory"
