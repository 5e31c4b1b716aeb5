"""What runs, and how it differs from its profile."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from valkeyctl.endpoint import Endpoint, Topology
from valkeyctl.errors import NotFoundError
from valkeyctl.ops.deployed import Deployed, find_units, look_up
from valkeyctl.ops.deployment import Access
from valkeyctl.ops.drift import Drift
from valkeyctl.ops.endpoints import endpoint_of
from valkeyctl.ops.fallback import render_of
from valkeyctl.ops.faultmark import mark_warning
from valkeyctl.ops.orders import access_to
from valkeyctl.ops.secrets import passwords
from valkeyctl.ops.standing import Standing, stand
from valkeyctl.ops.statefolder import StateFolder
from valkeyctl.ops.topology.parts import UNKNOWN, Part, Parts, look_at_parts
from valkeyctl.ops.topology.picture import Ranges, Role
from valkeyctl.ops.trouble import UnitTrouble, troubles
from valkeyctl.profile.schema import Profile
from valkeyctl.render import Artefacts, render
from valkeyctl.render.acl import APP
from valkeyctl.runtime.protocol import Runtime

__all__ = ["Drift", "Status", "Unit", "status"]

_DEADLINE = 2.0  # seconds for the look at who is primary; as long as units are asked for drift


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
        uptime_s: Seconds that it is up; None when it cannot be asked.
        role: ``primary``, ``replica`` or ``sentinel`` by its own word, by the others' where
            it does not answer; ``unknown`` where nobody knows.
        reachable: Whether it answered through its address, in time, and let us in.
        silent: Whether it is up and does not answer at all.
        primary: The unit that a replica follows, or a sentinel names; an address where
            that is none of the deployment's.
        link: ``up`` or ``down``, of a replica to its primary; else empty.
        link_down_s: Seconds that it is down.
        syncing: Whether it fetches a full copy.
        loading: Whether it loads its data and cannot serve.
        lag_bytes: How far a replica is behind its primary; None when nobody knows.
        lag_s: Seconds since its primary last heard that it follows.
        replicas: Replicas that follow a primary and have all its data.
        slots: Slots that a primary of a Cluster serves.
        slot_ranges: Which, both ends included.
    """

    name: str
    kind: str
    address: str
    running: bool
    detail: str
    version: str
    drift: tuple[Drift, ...]
    uptime_s: int | None = None
    role: Role = "unknown"
    reachable: bool = False
    silent: bool = False
    primary: str = ""
    link: str = ""
    link_down_s: int | None = None
    syncing: bool = False
    loading: bool = False
    lag_bytes: int | None = None
    lag_s: int | None = None
    replicas: int | None = None
    slots: int | None = None
    slot_ranges: Ranges = ()


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
        topology: ``standalone``, ``sentinel`` or ``cluster``, as it was deployed.
        primary: The unit that takes the writes, as the sentinels say, or it itself while
            none of them answers; empty in a Cluster, for one server, and where nobody knows.
        hints: What to do about what keeps units from answering, where that is known.
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
    topology: Topology = "standalone"
    primary: str = ""
    hints: tuple[str, ...] = ()


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
    access = access_to(whose, state)
    with ThreadPoolExecutor(1) as pool:
        # Beside the other look: what is frozen would keep each of them waiting.
        looked = pool.submit(_look, kept or wanted, deployed, access)
        standings = stand(wanted, deployed, state, access)
        parts = looked.result()
    warnings += [one.warning for one in standings if one.warning]
    known = _troubles(standings, name, state, deployed.runtime)
    warnings += [str(trouble) for trouble in known]
    found = _status(deployed, _endpoint(deployed, wanted), standings, warnings)
    hints = dict.fromkeys(trouble.hint for trouble in known if trouble.now and trouble.hint)
    found = replace(found, topology=(kept or wanted).topology, hints=tuple(hints))
    if parts is not None:
        units = tuple(_with_part(unit, parts.of.get(unit.name, UNKNOWN)) for unit in found.nodes)
        found = replace(found, nodes=units, primary=parts.primary)
    if not wanted.auth:
        return found
    return replace(found, password_file=passwords(state, name).file(APP))


def _look(made: Artefacts, deployed: Deployed, access: Access) -> Parts | None:
    """Return what part each unit plays; None of one server, and where none is up."""
    running = any(instance.running for instance in deployed.units.values())
    if deployed.runtime is None or not made.nodes or not running:
        return None
    return look_at_parts(made, deployed.runtime, access, deadline=_DEADLINE)


def _troubles(
    standings: Sequence[Standing], name: str, state: StateFolder, runtime: Runtime | None
) -> tuple[UnitTrouble, ...]:
    """Return what is wrong with units; those that answer and never ended are not asked about."""
    suspects = [
        one.unit
        for one in standings
        if one.instance is not None and (one.silent or not one.running or one.instance.restarts)
    ]
    return troubles(name, state, runtime, units=suspects)


def _with_part(unit: Unit, part: Part) -> Unit:
    # What answers at the address of a unit that has ended is another server.
    if not unit.running and part.reachable:
        return unit
    return replace(unit, **asdict(part))


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
        uptime_s=one.uptime_s,
        silent=one.silent,
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
