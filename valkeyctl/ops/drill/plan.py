"""What a drill would do to whom; asked of the deployment, and nothing is done yet."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Literal

from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import MissingError, NotFoundError, RefusedError, UsageError
from valkeyctl.ops.access import access
from valkeyctl.ops.deployed import look_up
from valkeyctl.ops.drill.limits import require_confirmers, require_time
from valkeyctl.ops.drill.load import KeyNames
from valkeyctl.ops.fallback import render_of
from valkeyctl.ops.faultmark import require_nothing_left
from valkeyctl.ops.statefolder import StateFolder
from valkeyctl.ops.topology.picture import NodeView, Role, TopologyView
from valkeyctl.ops.topology.view import look
from valkeyctl.profile.schema import Profile
from valkeyctl.render import Artefacts
from valkeyctl.runtime.protocol import Runtime
from valkeyctl.runtime.select import runtime_named
from valkeyctl.units import format_duration, format_size

Drill = Literal["kill", "hang", "partition", "full-memory", "failover", "restart"]

_LOOK = 2.0
_HOLD = 5.0  # seconds of a fault that nobody takes over from


@dataclass(frozen=True)
class LoadPlan:
    """How a drill asks the deployment meanwhile.

    Attributes:
        rate: Writes a second of each of the two pairs of probes, and as many reads.
        confirm: Replicas that must confirm a write for it to count as confirmed (WAIT);
            0 asks none.
        before: Seconds of load before the fault, so that there is something to lose.
        after: Seconds of load after all is well again.
    """

    rate: float = 200.0
    confirm: int = 0
    before: float = 1.5
    after: float = 1.0


@dataclass(frozen=True)
class Aim:
    """What a drill is done to.

    Attributes:
        name: Of the deployment.
        artefacts: What it was made from.
        runtime: That has it.
        endpoint: With a login that may do all of it.
        production: Whether it is labelled as production.
        unit: The server or sentinel that is hit.
        role: Of it at this moment.
        address: Where it was asked.
        replicas: Of each primary; of the one with the fewest.
    """

    name: str
    artefacts: Artefacts
    runtime: Runtime
    endpoint: Endpoint
    production: bool
    unit: Artefacts
    role: Role
    address: str
    replicas: int = 0

    def names(self) -> dict[str, str]:
        """Return the units by the addresses that they are known by."""
        found: dict[str, str] = {}
        for unit in self.artefacts.units:
            found.update(dict.fromkeys(_addresses(unit, self.runtime), unit.name))
        return found


@dataclass(frozen=True)
class DrillPlan:
    """What a drill would do.

    Attributes:
        name: Of the deployment.
        drill: Which one.
        topology: Of the deployment.
        runtime: That has it.
        node: The unit that is hit; the deployment, where all of them are.
        role: Of it at this moment; ``deployment`` for all of them.
        address: Of it.
        production: Whether the deployment is labelled as production.
        does: What is done, as a sentence.
        undoes: How it is undone.
        hold_s: Seconds that the fault lasts; None until another server has taken over.
        timeout_s: Seconds after the fault until the drill gives up waiting.
        rate: Writes a second of each of the two pairs of probes, and as many reads.
        confirm_replicas: Replicas that confirm a write; 0 asks none.
        before_s: Seconds of load before the fault.
        after_s: Seconds of load after all is well again.
        keys: Pattern of the keys that are written, and removed at the end.
    """

    name: str
    drill: Drill
    topology: str
    runtime: str
    node: str
    role: str
    address: str
    production: bool
    does: str
    undoes: str
    hold_s: float | None
    timeout_s: float
    rate: float
    confirm_replicas: int
    before_s: float
    after_s: float
    keys: str


def new_run() -> str:
    """Return a word that no other drill has."""
    return secrets.token_hex(4)


def take_aim(drill: Drill, profile: Profile, state: StateFolder, *, node: str = "") -> Aim:
    """Return what *drill* would be done to.

    Args:
        drill: Which one.
        profile: Of the deployment.
        state: Our own files, with the login.
        node: Which unit; the primary, or the first shard's, when empty.

    Raises:
        NotFoundError: Nothing is deployed under that name, or there is no such node.
        UsageError: The drill makes no sense there.
        RefusedError: An earlier drill has left its fault in force.
        MissingError: The runtime is not there, or cannot do it.
        UnreachableError, AuthError, TlsError: The deployment does not answer us.
    """
    name = profile.name
    # Before the server is asked: one that was left paused would only not answer.
    require_nothing_left(name, state, locked=False)
    deployed = look_up(name, state)
    if deployed.missing is not None:
        raise deployed.missing
    digest = deployed.instance.digest if deployed.instance else ""
    artefacts = render_of(state, name, digest)
    runtime = deployed.runtime
    if runtime is None and deployed.record is not None:
        runtime = runtime_named(deployed.record.runtime, state.runtimes)
    if artefacts is None or runtime is None:
        raise NotFoundError(
            f"nothing is deployed as {name}", hint=f"Deploy it: valkeyctl deploy -p {name}"
        )
    _require_sense(drill, artefacts, runtime)
    endpoint = access(profile, state)
    production = artefacts.production or profile.security.production
    if artefacts.topology == "standalone":
        unit = _unit_named(artefacts, node) if node else artefacts.units[0]
        _require_reachable(endpoint)
        address = endpoint.address
        return Aim(name, artefacts, runtime, endpoint, production, unit, "primary", address)
    view = look(endpoint, deadline=_LOOK)
    unit, seen = _chosen(artefacts, runtime, view, node)
    if drill == "full-memory" and seen.role != "primary":
        raise UsageError(
            f"{unit.name} is a {seen.role}, and memory is filled through a primary",
            hint=f"Name a primary: {_primaries(artefacts, runtime, view)}",
        )
    if drill == "failover":
        _require_heir(view, seen, unit)
    replicas = min((len(shard.replicas) for shard in view.shards), default=0)
    return Aim(
        name, artefacts, runtime, endpoint, production, unit, seen.role, seen.address, replicas
    )


def plan_drill(
    drill: Drill,
    aim: Aim,
    *,
    hold: float | None = None,
    timeout: float = 60.0,
    load: LoadPlan = LoadPlan(),
) -> DrillPlan:
    """Return what *drill* would do to *aim*.

    Args:
        drill: Which one.
        aim: Whom to.
        hold: Seconds that the fault lasts; None for the usual.
        timeout: Seconds after the fault until the drill gives up waiting.
        load: How the deployment is asked meanwhile.

    Raises:
        UsageError: More replicas are to confirm writes than there are, or the times do
            not fit.
    """
    require_confirmers(aim.name, load.confirm, aim.replicas)
    until_taken_over = aim.artefacts.topology != "standalone" and aim.role == "primary"
    seconds = usual_hold(drill, until_taken_over=until_taken_over) if hold is None else hold
    require_time(drill, seconds, timeout)
    does, undoes = _sentences(drill, aim, seconds)
    everyone = drill == "restart" and aim.artefacts.topology != "standalone"
    return DrillPlan(
        name=aim.name,
        drill=drill,
        topology=aim.artefacts.topology,
        runtime=aim.runtime.name,
        node=aim.name if everyone else aim.unit.name,
        role="deployment" if everyone else aim.role,
        address=aim.endpoint.address if everyone else aim.address,
        production=aim.production,
        does=does,
        undoes=undoes,
        hold_s=seconds,
        timeout_s=timeout,
        rate=load.rate,
        confirm_replicas=load.confirm,
        before_s=load.before,
        after_s=load.after,
        keys=f"{KeyNames(aim.artefacts.app, '*').prefix}*",
    )


def usual_hold(drill: Drill, *, until_taken_over: bool) -> float | None:
    """Return how long the fault of *drill* lasts, when nobody says; None until a failover."""
    if drill in ("failover", "restart"):
        return 0.0
    if drill == "full-memory":
        return _HOLD
    if until_taken_over:
        return None
    # A crash: whatever restarts a server that crashed does so at once.
    return 0.0 if drill == "kill" else _HOLD


def _sentences(drill: Drill, aim: Aim, hold: float | None) -> tuple[str, str]:
    """Return what is done, and how it is undone."""
    unit = aim.unit.name
    if hold is None:
        lasts = "until another server has taken over"
    else:
        lasts = f"for {format_duration(hold)}"
    back = "starts it again where the runtime does not"
    if drill == "kill" and hold == 0:
        return f"ends the process of {unit} with SIGKILL, as a crash would{_cost(drill, aim)}", back
    if drill == "kill":
        return f"ends the process of {unit} with SIGKILL and keeps it down {lasts}", "starts it"
    if drill == "hang":
        return f"pauses {unit} {lasts}: it takes connections and answers nothing", "resumes it"
    if drill == "partition":
        return f"cuts {unit} off from its peers and from all clients {lasts}", "connects it again"
    if drill == "full-memory":
        policy = aim.unit.directives.get("maxmemory-policy", "noeviction")
        size = format_size(aim.unit.budget.maxmemory)
        effect = (
            "writes are refused"
            if policy == "noeviction"
            else f"{policy} evicts entries of the applications, too"
        )
        return f"fills {unit} up to maxmemory ({size}) {lasts}; {effect}", "removes what it wrote"
    if drill == "failover":
        return f"lets a replica take over from {unit}, as planned", "nothing is to be undone"
    whole = "every server in turn" if aim.artefacts.topology != "standalone" else unit
    done = f"stops {whole} cleanly and starts it again{_cost(drill, aim)}"
    return done, "nothing is to be undone"


def _cost(drill: Drill, aim: Aim) -> str:
    """Return which keys, of the applications, a primary that comes back will not have."""
    directives = aim.unit.directives
    alone = aim.artefacts.topology == "standalone"
    if aim.role != "primary" or directives.get("appendonly") == "yes":
        return ""
    if not aim.artefacts.keeps_data:
        lost = alone or drill == "kill"  # a planned restart of a topology hands over first
        return "; all its keys are lost, those of the applications too" if lost else ""
    if drill == "restart":
        return ""
    return "; what is newer than its last snapshot is lost, of the applications too"


def _require_sense(drill: Drill, artefacts: Artefacts, runtime: Runtime) -> None:
    """Refuse a drill that cannot be done to such a deployment."""
    if drill == "failover" and artefacts.topology == "standalone":
        raise UsageError(
            f"{artefacts.name} is one server: nobody could take over from it",
            hint="Try drill restart, or a profile with topology: sentinel or cluster",
        )
    if drill == "partition" and runtime.name != "podman":
        raise MissingError(
            f"{artefacts.name} runs on the {runtime.name} runtime, whose servers share one "
            "network: there is nothing to cut",
            hint="Deploy it on Podman for this drill, or use drill hang instead",
        )
    if drill == "full-memory" and not artefacts.units[-1].budget.maxmemory:
        raise RefusedError(
            f"{artefacts.name} has no maxmemory: filling it would fill the machine",
            hint="Set memory.maxmemory in the profile",
        )


def _require_reachable(endpoint: Endpoint) -> None:
    with Wire(endpoint, timeout=_LOOK) as wire:
        wire.call("PING")


def _unit_named(artefacts: Artefacts, node: str) -> Artefacts:
    wanted = (node, f"{artefacts.name}-{node}")
    found = next((unit for unit in artefacts.units if unit.name in wanted), None)
    if found is None:
        known = ", ".join(unit.name for unit in artefacts.units)
        raise NotFoundError(f"{artefacts.name} has no node {node}", hint=f"Name one of {known}")
    return found


def _chosen(
    artefacts: Artefacts, runtime: Runtime, view: TopologyView, node: str
) -> tuple[Artefacts, NodeView]:
    """Return the unit that *node* names, or that of the first primary; and its picture."""
    if node:
        unit = _unit_named(artefacts, node)
        seen = _seen(view, unit, runtime)
    else:
        seen = next((shard.primary for shard in view.shards), None)
        mine = (one for one in artefacts.units if _seen(view, one, runtime) is seen)
        unit = next(mine, artefacts) if seen is not None else artefacts
        if unit is artefacts:
            raise NotFoundError(
                f"the primary of {artefacts.name} is none of its own servers",
                hint="Look at it first: valkeyctl health",
            )
    if seen is None or not seen.reachable:
        raise RefusedError(
            f"{unit.name} does not answer, so a drill of it would prove nothing",
            hint="Look at it first: valkeyctl health",
        )
    return unit, seen


def _seen(view: TopologyView, unit: Artefacts, runtime: Runtime) -> NodeView | None:
    """Return the picture of *unit*, by the address that its peers or its clients use."""
    found = (view.at(address) for address in _addresses(unit, runtime))
    return next((node for node in found if node is not None), None)


def _addresses(unit: Artefacts, runtime: Runtime) -> tuple[str, str]:
    """Return where the peers of *unit* reach it, and where its clients do."""
    peer = runtime.peer(unit)
    inner = Endpoint(host=peer.host, port=peer.port)
    return inner.address, Endpoint(host=unit.host, port=unit.port).address


def _primaries(artefacts: Artefacts, runtime: Runtime, view: TopologyView) -> str:
    """Return the units that are primaries, with commas."""
    found = [
        unit.name
        for unit in artefacts.units
        if (seen := _seen(view, unit, runtime)) is not None and seen.role == "primary"
    ]
    return ", ".join(found) or "none is known"


def _require_heir(view: TopologyView, primary: NodeView, unit: Artefacts) -> None:
    """Make sure that somebody could take over from *unit*.

    Raises:
        UsageError: It is no primary.
        RefusedError: It has no replica in sync.
    """
    if primary.role != "primary":
        raise UsageError(
            f"{unit.name} is a {primary.role}: a failover takes the role from a primary",
            hint="Leave --node out, or name a primary",
        )
    replicas = [one for shard in view.shards if shard.primary is primary for one in shard.replicas]
    if not any(one.online for one in replicas):
        raise RefusedError(
            f"no replica of {unit.name} follows it, so nobody could take over",
            hint="Look at it first: valkeyctl health",
        )
