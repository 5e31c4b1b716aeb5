"""What runs, and how it differs from its profile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import NotFoundError
from valkeyctl.ops.deployed import Deployed, find_units, look_up
from valkeyctl.ops.drift import Drift
from valkeyctl.ops.endpoints import endpoint_of
from valkeyctl.ops.fallback import render_of
from valkeyctl.ops.faultmark import mark_warning
from valkeyctl.ops.orders import access_to
from valkeyctl.ops.secrets import passwords
from valkeyctl.ops.standing import Standing, stand
from valkeyctl.ops.statefolder import StateFolder
from valkeyctl.ops.trouble import troubles
from valkeyctl.profile.schema import Profile
from valkeyctl.render import Artefacts, render
from valkeyctl.render.acl import APP

__all__ = ["Drift", "Status", "Unit", "status"]


@dataclass(frozen=True)
class Unit:
    """One server or sentinel of a topology.

    Attributes:
        name: Of the unit.
        kind: ``server`` or ``sentinel``.
        address: Where it is published.
        running: Whether its process or container is up.
        detail: For a person: its pid, or its container's state.
        version: Of the server; empty when it does not run.
        drift: What differs from the profile.
    """

    name: str
    kind: str
    address: str
    running: bool
    detail: str
    version: str
    drift: tuple[Drift, ...]


@dataclass(frozen=True)
class Status:
    """A deployment as it is.

    Attributes:
        name: Of the deployment.
        running: Whether its process or container is up; says nothing about health.
        url: Where it listens; never with a password.
        password_file: Where its password is kept; None without one.
        runtime: ``podman`` or ``process``; empty when it was never deployed.
        runtime_reason: Why that one.
        detail: For a person: its pid, or its container's state.
        version: Of the server; empty when it does not run.
        uptime_s: Seconds that it is up; None when it cannot be asked.
        digest: Of the artefacts that it was made from; empty when unknown.
        image: That its container was made from; empty for a process.
        nodes: The units of a topology; empty for one server.
        drift: What differs from the profile, by field; of a topology unit by unit.
        unchecked: Directives of the profile that this server does not report.
        warnings: Why something here is unknown.
    """

    name: str
    running: bool
    url: str
    password_file: Path | None
    runtime: str
    runtime_reason: str
    detail: str
    version: str
    uptime_s: int | None
    digest: str
    image: str
    nodes: tuple[Unit, ...]
    drift: tuple[Drift, ...]
    unchecked: tuple[str, ...]
    warnings: tuple[str, ...]


def status(profile: Profile | str, state: StateFolder) -> Status:
    """Return how the deployment stands that *profile*, or its name, describes.

    Args:
        profile: A profile, to compare with what runs; or the name of a deployment,
            which is compared with the render that it was made from.
        state: Our own files.

    Raises:
        NotFoundError: A name that nothing is known of.
        ProfileError: The profile cannot be rendered.
        MissingError: The runtime that has it is not there any more.
    """
    name = profile if isinstance(profile, str) else profile.name
    reading = state.read(name)
    kept = render_of(state, name, reading.record.digest if reading.record else "")
    wanted = kept if isinstance(profile, str) else render(profile)
    deployed = find_units(wanted, state) if wanted else look_up(name, state)
    if deployed.missing is not None:
        raise deployed.missing
    whose = None if isinstance(profile, str) else profile
    warnings = [text for text in (deployed.warning, mark_warning(state, name)) if text]
    if wanted is None:
        if deployed.record is None and deployed.instance is None:
            raise NotFoundError(
                f"nothing is known of a deployment called {name}",
                hint="Deploy it: valkeyctl deploy",
            )
        warnings.append(f"drift is unknown: no render of {name} is kept")
        return _status(deployed, _endpoint(deployed, None), (), warnings)
    standings = stand(wanted, deployed, state, access_to(whose, state))
    warnings += [one.warning for one in standings if one.warning]
    warnings += [str(trouble) for trouble in troubles(name, state, deployed.runtime)]
    found = _status(deployed, _endpoint(deployed, wanted), standings, warnings)
    if not wanted.auth:
        return found
    return replace(found, password_file=passwords(state, name).file(APP))


def _status(
    deployed: Deployed, endpoint: Endpoint, standings: Sequence[Standing], warnings: Sequence[str]
) -> Status:
    record = deployed.record
    instances = [one.instance for one in standings if one.instance is not None]
    instance = deployed.instance or (instances[0] if instances else None)
    topology = len(standings) > 1
    units = tuple(_unit(one) for one in standings) if topology else ()
    running = all(one.running for one in standings) if standings else deployed.running
    uptimes = [one.uptime_s for one in standings if one.uptime_s is not None]
    down = [one for one in standings if topology and not one.running and instances]
    drift = tuple(
        Drift(f"{one.unit}: {found.field}", found.wanted, found.actual, found.kind)
        if topology
        else found
        for one in standings
        for found in one.comparison.drift
    )
    return Status(
        name=deployed.name,
        running=running,
        url=endpoint.url(),
        password_file=None,
        runtime=deployed.runtime.name if deployed.runtime else "",
        runtime_reason=record.reason if record else "",
        detail=instance.detail if instance and not topology else _whole(standings, instances),
        version=instance.version if instance else "",
        # Of a topology the server that was started last: the whole is as old as that.
        uptime_s=min(uptimes, default=None),
        digest=_digest(deployed, topology=topology),
        image=instance.facts.get("image", "") if instance else "",
        nodes=units,
        drift=(*(missing for one in down for missing in one.missing), *drift),
        unchecked=tuple(dict.fromkeys(u for one in standings for u in one.comparison.unchecked)),
        warnings=tuple(warnings),
    )


def _unit(one: Standing) -> Unit:
    return Unit(
        name=one.unit,
        kind=one.kind,
        address=one.endpoint.address,
        running=one.running,
        detail=one.instance.detail if one.instance else "not deployed",
        version=one.instance.version if one.instance else "",
        drift=one.comparison.drift,
    )


def _whole(standings: Sequence[Standing], instances: Sequence[object]) -> str:
    if not instances:
        return "not deployed"
    return f"{sum(one.running for one in standings)} of {len(standings)} units run"


def _digest(deployed: Deployed, *, topology: bool) -> str:
    """Return what the server was made from; by our record where the runtime cannot say."""
    if not topology and deployed.instance is not None and deployed.instance.digest:
        return deployed.instance.digest
    return deployed.record.digest if deployed.record else ""


def _endpoint(deployed: Deployed, wanted: Artefacts | None) -> Endpoint:
    if wanted is not None and wanted.nodes:
        return endpoint_of(wanted)
    if deployed.instance is not None:
        return replace(deployed.instance.endpoint, tls=wanted.tls if wanted else False)
    if wanted is not None:
        return endpoint_of(wanted)
    return Endpoint.parse(deployed.record.url) if deployed.record else Endpoint()
