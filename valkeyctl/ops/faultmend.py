"""Letting go of what a drill that was killed still holds, for whoever works on it next."""

from __future__ import annotations

from valkeyctl.errors import ToolError
from valkeyctl.ops.deployed import look_up
from valkeyctl.ops.deployment import Progress
from valkeyctl.ops.faultmark import Mark, clear_mark, read_mark
from valkeyctl.ops.statefolder import StateFolder
from valkeyctl.render import Artefacts
from valkeyctl.runtime.protocol import Runtime


def release(runtime: Runtime, unit: str) -> list[str]:
    """Let *unit* go on, and give it its network back; return what of it was to be done.

    Raises:
        ToolError: podman failed, or nobody knows how it was connected.
    """
    done = []
    if runtime.resume(unit):
        done.append("resumed")
    if runtime.join(unit):
        done.append("connected again")
    return done


def release_left(name: str, state: StateFolder, progress: Progress) -> None:
    """Let go of what a drill has left of *name*, before a command that starts its servers.

    It starts what was killed itself; but one that is paused or cut off looks to it as if
    it ran. Keys that fill the memory are left to `drill undo`.

    Args:
        name: Of the deployment, whose lock the caller holds.
        state: Our own files.
        progress: Called with a line per unit that was let go.

    Raises:
        ToolError, MissingError: podman failed.
    """
    mark = read_mark(state, name)
    made, runtime = state.last_good(name), look_up(name, state).runtime
    if mark is None or made is None or runtime is None:
        return
    for unit in hit_units(made, mark):
        try:
            done = release(runtime, unit.name)
        except ToolError:
            # Nobody knows how it was connected: it is made anew.
            runtime.stop(unit.name, unit.stop_grace)
            done = ["stopped"]
        if done:
            progress(f"{unit.name} {' and '.join(done)}: a drill had left it")
    if not mark.fills:
        clear_mark(state, name)


def hit_units(made: Artefacts, mark: Mark) -> tuple[Artefacts, ...]:
    """Return the unit that *mark* is about; all of them when it cannot be read."""
    return tuple(unit for unit in made.units if unit.name == mark.unit) or made.units
