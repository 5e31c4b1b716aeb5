"""A drill's fault alone, for somebody else's load: `valkeyctl bench` brings its own.

As in a drill, the deployment is locked while the fault is in force, a mark tells other
commands of it, and `drill undo` undoes what a killed process has left.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import get_args

from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import RefusedError, UsageError, ValkeyctlError
from valkeyctl.ops.deploy import restart
from valkeyctl.ops.drill.faults import Fault, Restart, Takeover, UnitFault
from valkeyctl.ops.drill.plan import Aim, Drill, take_aim, usual_hold
from valkeyctl.ops.fallback import uninterrupted
from valkeyctl.ops.faultmark import Mark, clear_mark, require_nothing_left, set_mark
from valkeyctl.ops.keyspace.nodes import primaries
from valkeyctl.ops.orders import access_to, orders_for
from valkeyctl.ops.statefolder import StateFolder
from valkeyctl.ops.takedown import quiet
from valkeyctl.profile.schema import Profile

KINDS: tuple[Drill, ...] = tuple(kind for kind in get_args(Drill) if kind != "full-memory")
_LIMIT = 30.0  # seconds after which nobody is waited for who could take over
_LOOK_EVERY = 0.25
_LOOK_TIMEOUT = 0.5


def ready_fault(
    kind: str, profile: Profile, state: StateFolder, *, yes: bool = False
) -> Disturbance:
    """Return the fault *kind* of the deployment of *profile*; nothing is done yet.

    It lasts as long as the drill of that name does: until another server has taken over
    from a primary with replicas; else a kill is undone at once, and others after 5 s.

    Args:
        kind: One of `KINDS`.
        profile: Of the deployment.
        state: Our own files.
        yes: Whether disturbing production is meant.

    Raises:
        UsageError: There is no such fault, or it makes no sense there.
        RefusedError: The deployment is labelled as production, and there is no yes; or an
            earlier drill has left a fault in force.
        NotFoundError: Nothing is deployed under that name.
        MissingError: The runtime is not there, or cannot do it.
        UnreachableError, AuthError, TlsError: The deployment does not answer us.
    """
    drill = named_kind(kind)
    aim = take_aim(drill, profile, state)
    if aim.production and not yes:
        raise RefusedError(
            f"{profile.name} is labelled as production: disturbing it ({kind}) needs --yes",
            hint="Measure another deployment, or add --yes",
        )
    require_nothing_left(profile.name, state)
    return Disturbance(drill, aim, profile, state)


def named_kind(kind: str) -> Drill:
    """Return the drill called *kind*.

    Raises:
        UsageError: There is none, or it is none for somebody else's load.
    """
    found = next((one for one in KINDS if one == kind), None)
    if found is None:
        raise UsageError(
            f"there is no fault {kind!r} for a load run", hint=f"Use one of {', '.join(KINDS)}"
        )
    return found


class Disturbance:
    """One fault of one deployment; made by `inflict`, and undone by `mend` in any case."""

    def __init__(self, drill: Drill, aim: Aim, profile: Profile, state: StateFolder) -> None:
        self._drill = drill
        self._aim = aim
        self._state = state
        self._held = contextlib.ExitStack()
        self._begun = False
        replicated = aim.artefacts.topology != "standalone" and aim.role == "primary"
        self._hold = usual_hold(drill, until_taken_over=replicated)
        self._fault = self._made(profile)
        self._watch = _Watch(aim.endpoint)

    def inflict(self) -> str:
        """Do it; return what was done as soon as it is in force.

        Raises:
            LockedError: Another command works on the deployment.
            RefusedError: An earlier drill has left a fault in force.
            ValkeyctlError: It could not be done.
        """
        if self._drill != "restart":  # which locks the deployment itself
            self._held.enter_context(self._state.lock(self._aim.name))
            require_nothing_left(self._aim.name, self._state)
        if isinstance(self._fault, UnitFault):
            set_mark(self._state, self._aim.name, self._mark())
        self._begun = True
        self._fault.inflict()
        return self._fault.text

    def over(self, elapsed: float) -> bool:
        """Say whether it has lasted long enough, *elapsed* seconds after it began."""
        taken_over = self._hold is None and self._watch.changed()
        return self._fault.over(elapsed, taken_over=taken_over)

    def mend(self) -> str:
        """Undo it; return what was done. A fault that never began needs nothing.

        Raises:
            StartError, ToolError, FolderError: It cannot be undone; `drill undo` may.
        """
        with self._held, uninterrupted():
            if not self._begun:
                return ""
            done = self._fault.mend()
            if isinstance(self._fault, UnitFault):
                clear_mark(self._state, self._aim.name)
            return done

    def _made(self, profile: Profile) -> Fault:
        aim, state = self._aim, self._state
        if self._drill == "restart":
            return Restart(lambda: restart(aim.name, state, quiet, profile=profile, yes=True))
        if self._drill == "failover":
            return Takeover(aim, access_to(profile, state))
        material = orders_for(profile, state).material
        return UnitFault(aim, self._drill, self._hold, _LIMIT, material=material(aim.unit))

    def _mark(self) -> Mark:
        return Mark(self._drill, self._aim.unit.name, run="", app=self._aim.artefacts.app)


class _Watch:
    """Looks now and then whether other servers than before are the primaries."""

    def __init__(self, endpoint: Endpoint, clock: Callable[[], float] = time.monotonic) -> None:
        self._endpoint = endpoint
        self._clock = clock
        self._before = self._look()
        self._looked = clock()
        self._changed = False

    def changed(self) -> bool:
        """Say whether the primaries are others than in the beginning."""
        if not self._changed and self._clock() - self._looked >= _LOOK_EVERY:
            now = self._look()
            self._looked = self._clock()
            self._changed = bool(now) and now != self._before
        return self._changed

    def _look(self) -> frozenset[str]:
        try:
            found = primaries(self._endpoint, timeout=_LOOK_TIMEOUT)
        except ValkeyctlError:
            return frozenset()  # nobody can tell at this moment
        return frozenset(node.address for node in found.nodes)
