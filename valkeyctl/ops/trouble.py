"""What the runtimes know of servers that do not answer, or that were killed."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from valkeyctl.errors import UnreachableError, ValkeyctlError
from valkeyctl.ops.deployed import look_up
from valkeyctl.ops.statefolder import StateFolder
from valkeyctl.runtime.protocol import Runtime


@dataclass(frozen=True)
class UnitTrouble:
    """What is wrong with one unit of a deployment, or was.

    Attributes:
        unit: Its name.
        what: A clause with the unit as its subject.
        hint: What to do, as one imperative sentence; empty when that depends.
        now: Whether it keeps the unit from answering at this moment.
    """

    unit: str
    what: str
    hint: str
    now: bool

    def __str__(self) -> str:
        return f"{self.unit} {self.what}"


def troubles(
    name: str,
    state: StateFolder,
    runtime: Runtime | None = None,
    *,
    units: Sequence[str] | None = None,
) -> tuple[UnitTrouble, ...]:
    """Return what is wrong with the units of *name*, in the order of their ports.

    Nothing is known of a deployment that is not there, or whose runtime cannot be asked.

    Args:
        name: Of the deployment.
        state: Our own files.
        runtime: The one that has it, where that is known already.
        units: Those to ask about; None for all.

    Raises:
        UsageError: *name* cannot be the name of a deployment.
    """
    runtime = runtime or look_up(name, state).runtime
    if runtime is None:
        return ()
    if units is None:
        made = state.last_good(name)
        units = [unit.name for unit in made.units] if made is not None else [name]
    if not units:
        return ()
    # All at once: to find out why one does not answer takes a second.
    with ThreadPoolExecutor(len(units)) as pool:
        found = list(pool.map(partial(_trouble, runtime), units))
    return tuple(one for one in found if one is not None)


def _trouble(runtime: Runtime, unit: str) -> UnitTrouble | None:
    try:
        trouble = runtime.trouble(unit)
    except ValkeyctlError:  # this is an explanation, and must not become the failure
        return None
    return UnitTrouble(unit, trouble.what, trouble.hint, trouble.now) if trouble else None


def explained(error: UnreachableError, name: str, state: StateFolder) -> UnreachableError:
    """Return *error* with what the runtime of *name* knows of its cause; or *error* itself."""
    found = [trouble for trouble in troubles(name, state) if trouble.now]
    if not found:
        return error
    hint = next((trouble.hint for trouble in found if trouble.hint), None) or error.hint
    return UnreachableError(f"{error}: {'; '.join(str(one) for one in found)}", hint=hint)
