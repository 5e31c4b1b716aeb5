"""What each drill does to a deployment, when that is over, and how it is undone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from valkeyctl.endpoint import Endpoint
from valkeyctl.ops.deployment import Access
from valkeyctl.ops.drill.plan import Aim
from valkeyctl.ops.faultmend import release
from valkeyctl.ops.topology.forming import Forming
from valkeyctl.ops.topology.handover import hand_over
from valkeyctl.ops.topology.members import member
from valkeyctl.render import Artefacts
from valkeyctl.runtime.material import EMPTY, Material
from valkeyctl.runtime.protocol import Runtime
from valkeyctl.runtime.ready import ask

_RETURN = 20.0  # seconds in which a restart policy has acted, if there is one, on a busy machine
_NOTICED = 0.2  # seconds until nobody takes a killed process for alive


class Fault(Protocol):
    """Something done to a deployment on purpose.

    Attributes:
        text: What was done, for the timeline.
    """

    text: str

    def inflict(self) -> None:
        """Do it; returns as soon as it is in force."""

    def over(self, elapsed: float, *, taken_over: bool) -> bool:
        """Say whether it has lasted long enough.

        Args:
            elapsed: Seconds since `inflict` was called.
            taken_over: Whether another server takes the writes since then.
        """

    def mend(self) -> str:
        """Undo it, whatever has become of it; return what was done, for the timeline.

        Raises:
            StartError, ToolError, FolderError: It cannot be undone.
        """


@dataclass
class UnitFault:
    """A crash, a hang or a partition of one unit.

    Attributes:
        aim: Which one.
        drill: ``kill``, ``hang`` or ``partition``.
        hold: Seconds that it lasts; None until another server has taken over.
        limit: Seconds after which nobody is waited for any more.
        material: The secret files of the unit.
        text: See `Fault`.
        came_back: After a kill, whether the server was started again by its runtime;
            None after another fault.
        policy: Whether the runtime was to do so.
    """

    aim: Aim
    drill: str
    hold: float | None
    limit: float
    material: Material = EMPTY
    text: str = ""
    came_back: bool | None = None
    policy: bool = False

    def inflict(self) -> None:
        """Do it; see `Fault.inflict`."""
        runtime, unit = self.aim.runtime, self.aim.unit.name
        if self.drill == "kill":
            self.policy = runtime.kill(unit, stay_down=self.hold != 0)
            self.text = f"{unit} killed"
        elif self.drill == "hang":
            runtime.pause(unit)
            self.text = f"{unit} paused"
        else:
            runtime.cut(unit)
            self.text = f"{unit} cut off"

    def over(self, elapsed: float, *, taken_over: bool) -> bool:
        """Say whether it has lasted long enough; see `Fault.over`."""
        if self.hold is None:
            return taken_over or elapsed >= self.limit
        if self.policy:
            return elapsed >= _RETURN or (elapsed >= _NOTICED and self._answers())
        return elapsed >= self.hold

    def mend(self) -> str:
        """Undo it; see `Fault.mend`."""
        runtime, unit = self.aim.runtime, self.aim.unit
        if self.drill == "kill":
            self.came_back = self.policy and self._answers()
            if self.came_back:
                return f"{unit.name} was started again by its restart policy"
            runtime.revive(unit, self.material)
            return f"{unit.name} started again"
        done = runtime.resume(unit.name) if self.drill == "hang" else runtime.join(unit.name)
        if done and self._answers():
            return f"{unit.name} {'resumed' if self.drill == 'hang' else 'connected again'}"
        # Something else has happened to it meanwhile.
        return mend_unit(runtime, unit, self.material)

    def _answers(self) -> bool:
        unit = self.aim.unit
        return ask(Endpoint(host=unit.host, port=unit.port, tls=unit.tls)) == "ready"


def mend_unit(runtime: Runtime, unit: Artefacts, material: Material) -> str:
    """Undo whatever a drill may have done to *unit*; return what that was.

    Raises:
        StartError, ToolError, FolderError: It cannot be undone.
    """
    done = release(runtime, unit.name)
    found = runtime.find(unit.name)
    if found is None or not found.running:
        runtime.revive(unit, material)
        done.append("started again")
    return f"{unit.name} {' and '.join(done)}" if done else f"{unit.name} runs"


@dataclass
class Takeover:
    """A planned failover, as `restart` and `deploy` do it before they stop a primary.

    Attributes:
        aim: The primary.
        access: From a unit to its address, with a login that may administer it.
        text: See `Fault`.
    """

    aim: Aim
    access: Access
    text: str = "planned failover begins"

    def inflict(self) -> None:
        """Do it; returns when the old primary follows the new one."""
        aim = self.aim
        forming = Forming(aim.artefacts, aim.runtime, self.access, lambda _: None)
        heir = hand_over(forming, member(aim.unit, aim.runtime, self.access))
        self.text = f"{heir} has taken over from {aim.unit.name}"

    def over(self, elapsed: float, *, taken_over: bool) -> bool:
        """Say yes: it is over when `inflict` returns."""
        del elapsed, taken_over
        return True

    def mend(self) -> str:
        """Do nothing: the new primary stays one; see `Fault.mend`."""
        return ""


@dataclass
class Restart:
    """A clean restart of the deployment.

    Attributes:
        again: Does it.
        text: See `Fault`.
    """

    again: Callable[[], object]
    text: str = "clean restart begins"

    def inflict(self) -> None:
        """Do it; returns when it is done."""
        self.again()

    def over(self, elapsed: float, *, taken_over: bool) -> bool:
        """Say yes: it is over when `inflict` returns."""
        del elapsed, taken_over
        return True

    def mend(self) -> str:
        """Do nothing; see `Fault.mend`."""
        return ""
