"""From started units to one deployment: replicas follow, sentinels agree, slots are served.

Every step looks first and does only what is missing, so that a deploy that was killed
half way is completed by the next one, and a deployment that is formed is not touched.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

from valkeyctl.caching.driver.slots import SLOTS
from valkeyctl.caching.wire import Reply, Wire
from valkeyctl.endpoint import Endpoint, Node
from valkeyctl.errors import RefusedError, ServerReplyError, ValkeyctlError
from valkeyctl.ops.deployment import Access, Progress
from valkeyctl.ops.topology import readings
from valkeyctl.ops.topology.members import (
    TIMEOUT,
    members,
    sentinels_of,
    servers_of,
)
from valkeyctl.ops.topology.patience import wait_until
from valkeyctl.ops.topology.picture import Peer
from valkeyctl.render import Artefacts
from valkeyctl.runtime.protocol import Runtime

_PATIENCE = 60.0


@dataclass(frozen=True)
class Forming:
    """The making of one deployment out of the units of *artefacts*.

    Attributes:
        artefacts: The whole deployment; all of its units run.
        runtime: Where they run.
        access: From a unit to its address, with a login that may administer it.
        progress: Called with one line per step.
        patience: Seconds for each thing that is waited for.
    """

    artefacts: Artefacts
    runtime: Runtime
    access: Access
    progress: Progress
    patience: float = _PATIENCE

    def form(self) -> None:
        """Return when the deployment serves, all replicas in sync.

        Raises:
            StartError: It did not come about in time; says what was missing.
            RefusedError: The Cluster has slots and keys that would have to move.
            UnreachableError, AuthError, TlsError: A unit cannot be asked.
        """
        if self.artefacts.topology == "cluster":
            self._form_cluster()
        else:
            self._form_sentinel()
        self.wait_in_sync()

    def wait_in_sync(self) -> None:
        """Return when every data server answers, and every replica is in sync.

        Raises:
            StartError: Not in time.
        """
        self._wait(self._out_of_sync)

    def _wait(self, missing: Callable[[], str]) -> None:
        hint = f"See why: valkeyctl logs -p {self._name}; then deploy again, which goes on"
        wait_until(missing, patience=self.patience, hint=hint)

    def _out_of_sync(self) -> str:
        servers = servers_of(self.artefacts)
        found = members(servers, self.runtime, self.access)
        silent = {unit.name for unit in servers} - {one.unit for one in found}
        behind = [one.unit for one in found if not one.in_sync]
        if silent or behind:
            state = "does not answer" if silent else "is not in sync yet"
            return f"{', '.join(sorted(silent) or behind)} {state}"
        return ""

    # -- Sentinel ---------------------------------------------------------------------

    def _form_sentinel(self) -> None:
        self.progress("waiting until the sentinels know each other and all replicas")
        self._follow_the_primary()
        self._wait(self._disagreement)

    def _follow_the_primary(self) -> None:
        """Point servers at the primary that nobody has told of it, such as added ones.

        Sentinel corrects the replicas that it knows. One that was started beside a
        deployment whose primary has changed follows a replica, or nobody.
        """
        primary = self.agreed_primary()
        if primary is None:
            return  # the rendered files say who follows whom, and Sentinel what else is so
        found = members(servers_of(self.artefacts), self.runtime, self.access)
        if not any(one.inner == primary and one.role == "primary" for one in found):
            return  # a server that is turned into a replica loses what its primary has not
        for one in found:
            astray = one.role == "primary" or one.primary != primary
            if one.inner == primary or not astray:
                continue
            self.progress(f"{one.unit} follows {primary[0]}:{primary[1]}")
            with Wire(one.endpoint, timeout=TIMEOUT) as wire:
                wire.call("REPLICAOF", *primary)
                wire.call("CONFIG", "REWRITE")

    def agreed_primary(self) -> Node | None:
        """Return where more than half of all sentinels say that the primary is; None if none."""
        votes: Counter[Node] = Counter()
        sentinels = sentinels_of(self.artefacts)
        for unit in sentinels:
            with contextlib.suppress(ValkeyctlError):  # the others have a say all the same
                place = self.primary_by(unit)
                votes.update([place] if place is not None else [])
        place, count = max(votes.items(), key=lambda vote: vote[1], default=(None, 0))
        # One sentinel alone may have slept through a failover.
        return place if count > len(sentinels) // 2 else None

    def primary_by(self, sentinel: Artefacts) -> Node | None:
        """Return where *sentinel* says that the primary is; None when it knows none.

        Raises:
            UnreachableError, AuthError, TlsError, ServerReplyError: It cannot be asked.
        """
        with Wire(self.access(sentinel), timeout=TIMEOUT) as wire:
            return _node(wire.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._name))

    def _disagreement(self) -> str:
        """Return what the sentinels do not know yet; empty when they know all."""
        sentinels, servers = sentinels_of(self.artefacts), servers_of(self.artefacts)
        places: dict[Node | None, str] = {}
        for unit in sentinels:
            try:
                with Wire(self.access(unit), timeout=TIMEOUT) as wire:
                    said = readings.fields(wire.call("SENTINEL", "MASTER", self._name))
                    wire.call("SENTINEL", "CKQUORUM", self._name)
                places.setdefault(self.primary_by(unit), unit.name)
            except ServerReplyError as error:
                return f"{unit.name} says {error}"
            except ValkeyctlError as error:
                return f"{unit.name}: {error}"
            others = readings.number(said, "num-other-sentinels")
            replicas = readings.number(said, "num-slaves")
            if others is None or others < len(sentinels) - 1:
                return f"{unit.name} knows {others} of {len(sentinels) - 1} other sentinels"
            if replicas is None or replicas < len(servers) - 1:
                return f"{unit.name} knows {replicas} of {len(servers) - 1} replicas"
        if len(places) > 1:
            return f"{' and '.join(places.values())} name different primaries"
        primary = next(iter(places), None)
        found = members(servers, self.runtime, self.access)
        if not any(one.inner == primary and one.role == "primary" for one in found):
            return f"the sentinels name {_shown(primary)}, which is no primary"
        return ""

    @property
    def _name(self) -> str:
        return self.artefacts.name

    # -- Cluster ----------------------------------------------------------------------

    def _form_cluster(self) -> None:
        servers = servers_of(self.artefacts)
        # By name, not by address: a node learns its own address from the others.
        ids = {unit.name: self._id(unit) for unit in servers}
        self._meet(servers, ids)
        wait_until(lambda: self._strangers(servers, ids), patience=self.patience)
        self._give_slots(servers)
        self._give_replicas(servers, ids)
        self.progress("waiting until all nodes agree on the slots")
        self._wait(self._uncovered)

    def _id(self, unit: Artefacts) -> str:
        with Wire(self.access(unit), timeout=TIMEOUT) as wire:
            return readings.text(wire.call("CLUSTER", "MYID"))

    def _meet(self, servers: tuple[Artefacts, ...], ids: Mapping[str, str]) -> None:
        seed = self.access(servers[0])
        known = {peer.node_id for peer in _peers(seed)}
        with Wire(seed, timeout=TIMEOUT) as wire:
            for unit in servers[1:]:
                if ids[unit.name] in known:
                    continue
                self.progress(f"{unit.name} joins")
                peer = self.runtime.peer(unit)
                bus = (peer.bus_port,) if peer.bus_port else ()
                wire.call("CLUSTER", "MEET", peer.host, peer.port, *bus)

    def _strangers(self, servers: tuple[Artefacts, ...], ids: Mapping[str, str]) -> str:
        """Return which node does not know all others yet."""
        for unit in servers:
            known = {peer.node_id for peer in _peers(self.access(unit))}
            unknown = [name for name, node_id in ids.items() if node_id not in known]
            if unknown:
                return f"{unit.name} does not know {', '.join(unknown)}"
        return ""

    def _give_slots(self, servers: tuple[Artefacts, ...]) -> None:
        """Serve the slots that nobody serves, each by the primary it was meant for."""
        served = _served(_peers(self.access(servers[0])))
        if len(served) == SLOTS:
            return
        primaries = [unit for unit in servers if unit.primary]
        for unit, (first, last) in zip(primaries, shares(len(primaries)), strict=True):
            missing = ranges(slot for slot in range(first, last + 1) if slot not in served)
            if not missing:
                continue
            self.progress(f"{unit.name} serves slots {first} to {last}")
            words = [number for pair in missing for number in pair]
            with Wire(self.access(unit), timeout=TIMEOUT) as wire:
                wire.call("CLUSTER", "ADDSLOTSRANGE", *words)

    def _give_replicas(self, servers: tuple[Artefacts, ...], ids: Mapping[str, str]) -> None:
        """Let each node without slots follow the primary that has the fewest replicas."""
        for unit in servers:
            # Who serves what reaches a node by gossip, a second or two later.
            wait_until(partial(self._unaware, unit), patience=self.patience)
            peers = _peers(self.access(unit))
            mine = next((peer for peer in peers if peer.node_id == ids[unit.name]), None)
            if mine is None or mine.role != "primary" or mine.ranges or unit.primary:
                continue
            target = _poorest(peers)
            self.progress(f"{unit.name} follows {target.address}")
            self._replicate(unit, target.node_id)
            # The next choice needs to know of this one.
            wait_until(partial(self._unheard, servers, ids[unit.name]), patience=self.patience)

    def _unaware(self, unit: Artefacts) -> str:
        served = len(_served(_peers(self.access(unit))))
        return f"{unit.name} knows who serves {served} of {SLOTS} slots" if served < SLOTS else ""

    def _unheard(self, servers: tuple[Artefacts, ...], node_id: str) -> str:
        for unit in servers:
            for peer in _peers(self.access(unit)):
                if peer.node_id == node_id and peer.role != "replica":
                    return f"{unit.name} has not heard that {peer.address} is a replica"
        return ""

    def _replicate(self, unit: Artefacts, node_id: str) -> None:
        refused: list[ServerReplyError] = []

        def attempt() -> str:
            # A node that was met a moment ago does not know the other by name yet.
            try:
                with Wire(self.access(unit), timeout=TIMEOUT) as wire:
                    wire.call("CLUSTER", "REPLICATE", node_id)
            except ServerReplyError as error:
                refused.append(error)
                return f"{unit.name} cannot follow {node_id}: {error}"
            return ""

        wait_until(attempt, patience=self.patience)

    def _uncovered(self) -> str:
        for unit in servers_of(self.artefacts):
            try:
                with Wire(self.access(unit), timeout=TIMEOUT) as wire:
                    said = readings.info_of(wire.call("CLUSTER", "INFO"))
            except ValkeyctlError as error:
                return f"{unit.name}: {error}"
            if said.get("cluster_state") != "ok":
                covered = said.get("cluster_slots_assigned", "?")
                return f"{unit.name} sees {covered} of {SLOTS} slots served"
        return ""


def shares(primaries: int) -> list[tuple[int, int]]:
    """Return the first and last slot of each of *primaries*, all slots spread evenly."""
    edges = [round(SLOTS * index / primaries) for index in range(primaries + 1)]
    return [(low, high - 1) for low, high in pairwise(edges)]


def ranges(slots: Iterable[int]) -> list[tuple[int, int]]:
    """Return ascending *slots* as first and last of each unbroken run."""
    runs: list[tuple[int, int]] = []
    for slot in slots:
        if runs and runs[-1][1] == slot - 1:
            runs[-1] = (runs[-1][0], slot)
        else:
            runs.append((slot, slot))
    return runs


def _peers(endpoint: Endpoint) -> tuple[Peer, ...]:
    with Wire(endpoint, timeout=TIMEOUT) as wire:
        nodes, said = wire.call("CLUSTER", "NODES"), wire.call("CLUSTER", "INFO")
    return readings.cluster_opinion(nodes, said, (endpoint.host, endpoint.port)).peers


def _served(peers: tuple[Peer, ...]) -> set[int]:
    return {
        slot for peer in peers for first, last in peer.ranges for slot in range(first, last + 1)
    }


def _poorest(peers: tuple[Peer, ...]) -> Peer:
    followed = [peer.primary_id for peer in peers]
    owners = [peer for peer in peers if peer.role == "primary" and peer.ranges]
    if not owners:
        raise RefusedError("no node of the Cluster serves a slot")
    return min(owners, key=lambda peer: followed.count(peer.node_id))


def _shown(place: Node | None) -> str:
    return f"{place[0]}:{place[1]}" if place is not None else "nobody"


def _node(place: Reply) -> Node | None:
    if not isinstance(place, list) or len(place) != 2:
        return None
    host, port = (readings.text(word) for word in place)
    return host, int(port)
