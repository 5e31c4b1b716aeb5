"""How each unit of a deployment stands: what runs of it, and how that differs from its render."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import AuthError, UnreachableError, ValkeyctlError
from valkeyctl.ops.deployed import Deployed
from valkeyctl.ops.deployment import Access
from valkeyctl.ops.drift import Comparison, Drift, ask_unit, compare
from valkeyctl.ops.endpoints import published, reached
from valkeyctl.ops.statefolder import StateFolder
from valkeyctl.render import Artefacts
from valkeyctl.runtime.protocol import Instance, Runtime


@dataclass(frozen=True)
class Standing:
    """One unit as it is.

    Attributes:
        unit: Its name.
        kind: ``server`` or ``sentinel``.
        endpoint: Where it listens, or would.
        instance: What the runtime has of it; None when there is nothing.
        uptime_s: Seconds that its server is up; None when it cannot be asked.
        comparison: How it differs from its render.
        warning: Why something here is unknown; empty when nothing is.
        silent: Whether it is up and does not answer.
    """

    unit: str
    kind: str
    endpoint: Endpoint
    instance: Instance | None
    uptime_s: int | None
    comparison: Comparison
    warning: str = ""
    silent: bool = False

    @property
    def running(self) -> bool:
        """Whether its process or container is up; says nothing about health."""
        return self.instance is not None and self.instance.running

    @property
    def missing(self) -> tuple[Drift, ...]:
        """What to do when nothing of it runs, or answers; empty when it does."""
        if self.silent:
            return (Drift(self.unit, "answering", "silent", "recreate"),)
        if self.running:
            return ()
        actual = self.instance.detail if self.instance else "not deployed"
        return (Drift(self.unit, "running", actual, "recreate"),)


def stand(
    wanted: Artefacts, deployed: Deployed, state: StateFolder, access: Access
) -> list[Standing]:
    """Return how each unit of *wanted* stands.

    Args:
        wanted: The whole deployment, as its profile renders it now.
        deployed: What is known of it; its runtime is the one asked.
        state: Our own files.
        access: From a unit to its published address, with a login that may use CONFIG.
    """
    runtime = deployed.runtime
    if runtime is None:
        return [_absent(unit) for unit in wanted.units]
    kept = [unit for artefacts in state.history(wanted.name) for unit in artefacts.units]

    def stands(unit: Artefacts) -> Standing:
        instance = deployed.units.get(unit.name)
        if instance is None:
            return _absent(unit)
        same = (one for one in kept if (one.name, one.digest) == (unit.name, instance.digest))
        return _standing(unit, instance, next(same, None), runtime, state, access)

    # All at once: each one that is frozen takes its two seconds.
    with ThreadPoolExecutor(len(wanted.units)) as pool:
        return list(pool.map(stands, wanted.units))


def _absent(unit: Artefacts) -> Standing:
    return Standing(unit.name, unit.kind, published(unit), None, None, Comparison())


def _standing(
    unit: Artefacts,
    instance: Instance,
    made_from: Artefacts | None,
    runtime: Runtime,
    state: StateFolder,
    access: Access,
) -> Standing:
    uptime, reported, warning, silent, locked = None, None, "", False, False
    if instance.running:
        try:
            where = instance.endpoint
            login = access(made_from or unit)
            server = ask_unit(replace(login, host=reached(where.host), port=where.port), unit)
        except ValkeyctlError as error:
            warning = f"drift is unknown: {error}"
            silent, locked = isinstance(error, UnreachableError), isinstance(error, AuthError)
        else:
            uptime, reported = server.uptime_s, server.directives
    comparison = compare(
        *(unit, instance, made_from, reported, runtime),
        excused=state.readings(unit),
        locked=locked,
    )
    return Standing(
        unit=unit.name,
        kind=unit.kind,
        endpoint=instance.endpoint,
        instance=instance,
        uptime_s=uptime,
        comparison=comparison,
        warning=warning,
        silent=silent,
    )
