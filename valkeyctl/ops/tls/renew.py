"""A new certificate on servers that run, without a connection being dropped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from valkeyctl.endpoint import Endpoint
from valkeyctl.ops.deployed import look_up
from valkeyctl.ops.statefolder import StateFolder
from valkeyctl.ops.tls.reload import reload
from valkeyctl.render.artefacts import Artefacts
from valkeyctl.runtime.material import Material


@dataclass(frozen=True)
class Renewed:
    """What giving running servers their new certificate has done.

    Attributes:
        reloaded: The units that use it now.
        restarted: The sentinels among them, which had to be started anew.
        stopped: The units that do not run; they read it when they start.
    """

    reloaded: tuple[str, ...] = ()
    restarted: tuple[str, ...] = ()
    stopped: tuple[str, ...] = ()


def renew_running(
    name: str,
    state: StateFolder,
    material: Callable[[Artefacts], Material],
    access: Callable[[Artefacts], Endpoint],
) -> Renewed:
    """Bring the secret files to the servers of *name* that run, and let each read them again.

    The caller holds the deployment's lock. Connections to servers go on; a sentinel is
    started anew. What fails half way is finished by calling it again.

    Args:
        name: Of the deployment.
        state: Our own files.
        material: Returns the secret files of a unit, as they are now.
        access: Returns how to reach a unit, with a login that may use CONFIG and with the
            CA to trust.

    Raises:
        MissingError: Its runtime is not there any more.
        TlsError: A server refuses the certificate, and goes on with the old one.
        UnreachableError, AuthError: A server cannot be asked.
        StartError: A sentinel did not come back.
        ToolError, FolderError: The files cannot be brought there.
    """
    artefacts = state.last_good(name)
    deployed = look_up(name, state)
    if deployed.missing is not None:
        raise deployed.missing
    runtime = deployed.runtime
    if artefacts is None or runtime is None or not artefacts.tls:
        return Renewed()
    reloaded, restarted, stopped = [], [], []
    for unit in artefacts.units:
        instance = runtime.find(unit.name)
        if instance is None or not instance.running:
            stopped.append(unit.name)
            continue
        if unit.kind == "sentinel":
            # It has no CONFIG SET, and holds no data: one after the other starts anew, and
            # the others meanwhile watch the primary.
            runtime.stop(unit.name, unit.stop_grace)
            runtime.start(unit, material(unit))
            restarted.append(unit.name)
        else:
            runtime.deliver(unit, material(unit))
            reload(access(unit))
        reloaded.append(unit.name)
    return Renewed(tuple(reloaded), tuple(restarted), tuple(stopped))
