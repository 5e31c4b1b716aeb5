"""What part each unit of a deployment plays: its role, whom it follows, its slots."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from valkeyctl.endpoint import Node
from valkeyctl.errors import ValkeyctlError
from valkeyctl.ops.deployment import Access
from valkeyctl.ops.endpoints import reached
from valkeyctl.ops.topology.members import whole_endpoint
from valkeyctl.ops.topology.picture import NodeView, Ranges, Role, TopologyView, count_slots
from valkeyctl.ops.topology.readings import Lead, join
from valkeyctl.ops.topology.view import look
from valkeyctl.render import Artefacts
from valkeyctl.runtime.protocol import Runtime


@dataclass(frozen=True)
class Part:
    """What one unit does in its deployment; what nobody knows is None or empty.

    Attributes:
        role: By its own word; by the others' where it does not answer.
        reachable: Whether it answered what it was asked, in time.
        primary: Whom it follows, or whom it names if it is a sentinel: a unit, or an
            address where that is none of ours.
        link: ``up`` or ``down``, of a replica to its primary.
        link_down_s: Seconds that it is down.
        syncing: Whether it fetches a full copy.
        loading: Whether it loads its data and cannot serve.
        lag_bytes: How far a replica is behind its primary.
        lag_s: Seconds since its primary last heard that it follows; see `look`.
        replicas: Replicas that follow a primary and have all its data.
        slots: How many it serves; None outside of a Cluster, and of a replica.
        slot_ranges: Which, both ends included.
    """

    role: Role = "unknown"
    reachable: bool = False
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


UNKNOWN = Part()


@dataclass(frozen=True)
class Parts:
    """The parts of all units at one moment.

    Attributes:
        of: By the unit's name.
        primary: The unit that takes the writes, by the newest word of the sentinels, and
            by its own while none of them answers; empty in a Cluster, and where nobody
            knows.
    """

    of: Mapping[str, Part]
    primary: str = ""


def look_at_parts(
    made: Artefacts, runtime: Runtime, access: Access, *, deadline: float
) -> Parts | None:
    """Return what part each unit of *made* plays; None when none of them can be asked.

    Args:
        made: The deployment as it was made.
        runtime: Where it runs.
        access: From a unit to its published address, with a login that may use INFO.
        deadline: Seconds for all of it, dead and frozen units included.
    """
    units = {_place(unit): unit for unit in made.units}
    # Servers too: while all sentinels are away nobody else tells of them.
    known = [
        Lead(*place, "sentinel" if unit.kind == "sentinel" else "unknown")
        for place, unit in units.items()
    ]
    try:
        view = look(whole_endpoint(made, access), deadline=deadline, known=known)
    except ValkeyctlError:
        return None  # why is told unit by unit, where each is asked for its settings
    return parts_of(view, {unit.name: _addresses(unit, runtime) for unit in made.units})


def parts_of(view: TopologyView, units: Mapping[str, tuple[str, ...]]) -> Parts:
    """Return what *view* shows of each unit; asks nobody.

    Args:
        view: Of a whole deployment.
        units: From a unit's name to the addresses at which it may have been found.
    """
    named = {address: name for name, addresses in units.items() for address in addresses}

    def unit_at(address: str) -> str:
        node = view.at(address)
        known = (address,) if node is None else (address, node.address, *node.aliases)
        return next((named[one] for one in known if one in named), address)

    slots = {id(shard.primary): shard.ranges for shard in view.shards if shard.primary}
    of = {}
    for name, addresses in units.items():
        node = _best(view, addresses)
        if node is not None:
            follows = node.sentinel.primary if node.sentinel else node.primary
            of[name] = _part(node, unit_at(follows) if follows else "", slots.get(id(node), ()))
    primary = ""
    if view.topology != "cluster" and view.shards[0].name:
        primary = unit_at(view.shards[0].name)
    return Parts(of, primary)


def _part(node: NodeView, primary: str, ranges: Ranges) -> Part:
    is_primary = node.role == "primary"
    online = sum(follower.state == "online" for follower in node.followers)
    return Part(
        role=node.role,
        reachable=node.reachable,
        primary=primary,
        link=node.link,
        link_down_s=node.link_down_s,
        syncing=node.syncing,
        loading=node.loading,
        lag_bytes=node.lag_bytes,
        lag_s=node.lag_s,
        replicas=online if is_primary and node.reachable else None,
        slots=count_slots(ranges) if is_primary and ranges else None,
        slot_ranges=ranges if is_primary else (),
    )


def _best(view: TopologyView, addresses: tuple[str, ...]) -> NodeView | None:
    """Return the node at one of *addresses*, the one that says most of itself.

    A unit that does not answer is known twice where its published address differs from
    the one that the others have: only they know its role.
    """
    found = [node for node in view.nodes if any(node.answers_to(address) for address in addresses)]
    return max(found, key=lambda node: (node.reachable, node.role != "unknown"), default=None)


def _place(unit: Artefacts) -> Node:
    return reached(unit.host), unit.port


def _addresses(unit: Artefacts, runtime: Runtime) -> tuple[str, ...]:
    peer = runtime.peer(unit)
    return join(*_place(unit)), join(peer.host, peer.port)
