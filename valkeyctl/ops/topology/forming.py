"""From started units to one deployment: replicas follow, sentinels agree, slots are served.

Every step looks first and does only what is missing, so that a deploy that was killed
half way is completed by the next one, and a deployment that is formed is not touched.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

from valkeyctl.caching.driver.slots import SLOTS
from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint, Node
from valkeyctl.errors import (
    RefusedError,
    ServerReplyError,
    StartError,
    UnreachableError,
    ValkeyctlError,
)
from valkeyctl.ops.deployment import Access, Progress
from valkeyctl.ops.topology import readings
from valkeyctl.ops.topology.members import TIMEOUT, members, servers_of
from valkeyctl.ops.topology.patience import wait_until
from valkeyctl.ops.topology.picture import Peer, count_slots
from valkeyctl.ops.topology.sentinelwords import SentinelWord, agreed_primary, sentinel_words
from valkeyctl.ops.topology.wholeness import Wholeness, wholeness
from valkeyctl.render import Artefacts
from valkeyctl.runtime.protocol import Runtime

_PATIENCE = 60.0
_SOON = 5.0  # a sentinel takes back within a second or two that a server is down


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

    def wait_until_whole(self) -> list[str]:
        """Return when health finds nothing that fails; with what it finds all the same.

        Servers that say that they are formed are not enough: a primary refuses writes until
        it has heard of its replicas again, and a failover may have begun on the way.

        Returns:
            What an operator should know: failures that no waiting mends, and warnings that
            did not go in time.

        Raises:
            StartError: It is not whole in time; says what health finds.
            AuthError, TlsError: It cannot be asked.
        """
        found = Wholeness()

        def broken() -> str:
            nonlocal found
            found = wholeness(self.artefacts, self.access)
            if found.broken and self.artefacts.topology == "sentinel":
                self._unsettled()  # Sentinel would mend this, too, but later
            return f"health finds {'; '.join(found.broken)}" if found.broken else ""

        self._wait(broken)
        if found.passing:
            with contextlib.suppress(StartError):
                soon = min(_SOON, self.patience)
                wait_until(lambda: broken() or "; ".join(found.passing), patience=soon)
            self._wait(broken)  # what may have come of it
        return [
            *(f"health fails: {fault}" for fault in found.lasting),
            *(f"health warns: {warning}" for warning in found.passing),
        ]

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
        self._wait(self._unsettled)

    def _unsettled(self) -> str:
        """Return what keeps Sentinel from its work; servers that are astray are pointed.

        All of it is asked again until nothing is left. A failover that began before we came
        ends after any single look, and leaves the old primary taking writes beside the new.
        """
        words = sentinel_words(self.artefacts, self.access)
        failing = [one.unit for one in words if one.failover]
        if failing:
            # The server that is chosen is a primary before most sentinels have heard of it.
            # Whoever pointed it back to the old one would lose what it has taken meanwhile.
            return f"{', '.join(failing)} tells of a failover"
        self._follow_the_primary(words)
        return self._disagreement(words)

    def _follow_the_primary(self, words: Sequence[SentinelWord]) -> None:
        """Point servers at the primary that nobody has told of it, such as added ones.

        Sentinel corrects the replicas that it knows, in ten seconds or twenty. One that was
        started beside a deployment whose primary has changed follows a replica, or nobody.
        """
        primary = agreed_primary(words)
        newest = max(words, key=lambda one: one.epoch)
        if primary is None or newest.primary != primary:
            return  # the rendered files say who follows whom, and Sentinel what else is so
        found = members(servers_of(self.artefacts), self.runtime, self.access)
        if not any(one.inner == primary and one.role == "primary" for one in found):
            return  # a server that is turned into a replica loses what its primary has not
        for one in found:
            astray = one.role == "primary" or one.primary != primary
            if one.inner == primary or not astray:
                continue
            self.progress(f"{one.unit} follows {primary[0]}:{primary[1]}")
            # Sentinel ends our connection where it is faster; we look again in any case.
            with (
                contextlib.suppress(UnreachableError),
                Wire(one.endpoint, timeout=TIMEOUT) as wire,
            ):
                wire.call("REPLICAOF", *primary)
                wire.call("CONFIG", "REWRITE")

    def agreed_primary(self) -> Node | None:
        """Return where more than half of all sentinels say that the primary is; None if none."""
        return agreed_primary(sentinel_words(self.artefacts, self.access))

    def _disagreement(self, words: Sequence[SentinelWord]) -> str:
        """Return what the sentinels do not know yet; empty when they know all."""
        servers = servers_of(self.artefacts)
        for one in words:
            if one.fault:
                return one.fault
            if one.others < len(words) - 1:
                return f"{one.unit} knows {one.others} of {len(words) - 1} other sentinels"
            if one.replicas < len(servers) - 1:
                return f"{one.unit} knows {one.replicas} of {len(servers) - 1} replicas"
        places = {one.primary: one.unit for one in words}
        if len(places) > 1:
            return f"{' and '.join(places.values())} name different primaries"
        primary = next(iter(places), None)
        found = members(servers, self.runtime, self.access)
        if not any(one.inner == primary and one.role == "primary" for one in found):
            return f"the sentinels name {_shown(primary)}, which is no primary"
        others = [one.unit for one in found if one.role == "primary" and one.inner != primary]
        if others:
            return f"{', '.join(others)} takes itself for a primary beside {_shown(primary)}"
        return ""

    @property
    def _name(self) -> str:
        return self.artefacts.name

    # -- Cluster ----------------------------------------------------------------------

    def _form_cluster(self) -> None:
        servers = servers_of(self.artefacts)
        # By name, not by address: a node learns its own address from the others.
        ids = {unit.name: self._id(unit) for unit in servers}
        # Slots before they meet, as valkey-cli does it: a node tells of its slots when it is
        # met, and after that in a ping now and then, seconds later.
        self._give_slots(servers)
        self._meet(servers, ids)
        wait_until(lambda: self._strangers(servers, ids), patience=self.patience)
        self._give_replicas(servers, ids)
        self.progress("waiting until all nodes agree on the slots")
        self._wait(self._uncovered)

    def _id(self, unit: Artefacts) -> str:
        with Wire(self.access(unit), timeout=TIMEOUT) as wire:
            return readings.text(wire.call("CLUSTER", "MYID"))

    def _meet(self, servers: tuple[Artefacts, ...], ids: Mapping[str, str]) -> None:
        """Introduce nodes to each other; each pair, for gossip takes seconds to do it."""
        for number, unit in enumerate(servers):
            known = {peer.node_id for peer in _peers(self.access(unit))}
            strangers = [one for one in servers[number + 1 :] if ids[one.name] not in known]
            if strangers:
                self.progress(f"{unit.name} meets {', '.join(one.name for one in strangers)}")
            with Wire(self.access(unit), timeout=TIMEOUT) as wire:
                for other in strangers:
                    peer = self.runtime.peer(other)
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
        # By anyone's word: nodes that have not met yet do not know of each other's.
        served = set[int]().union(*(_served(_peers(self.access(unit))) for unit in servers))
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
        """Let each node without slots follow the primary that has the fewest replicas.

        Each is asked of itself: what it thinks of the others reaches it by gossip, a second
        or three later.
        """
        wait_until(lambda: self._unclear(servers, ids), patience=self.patience)
        added = []
        for unit in servers:
            owned = self._own_words(servers, ids)
            mine = owned[unit.name]
            if mine.role != "primary" or mine.ranges or unit.primary:
                continue
            target = _poorest(owned.values())
            self.progress(f"{unit.name} follows {target.address}")
            self._replicate(unit, target.node_id)
            added.append(ids[unit.name])
        for node_id in added:  # or health would miss them in what one of the others thinks
            wait_until(partial(self._unheard, servers, node_id), patience=self.patience)

    def _own_words(self, servers: tuple[Artefacts, ...], ids: Mapping[str, str]) -> dict[str, Peer]:
        """Return what each node says of itself."""
        return {
            unit.name: next(
                peer for peer in _peers(self.access(unit)) if peer.node_id == ids[unit.name]
            )
            for unit in servers
        }

    def _unclear(self, servers: tuple[Artefacts, ...], ids: Mapping[str, str]) -> str:
        """Return why it is not clear yet who serves what."""
        owned = self._own_words(servers, ids).values()
        claimed = sum(count_slots(peer.ranges) for peer in owned if peer.role == "primary")
        # One that comes back claims its slots until it hears who has taken over.
        return f"{claimed} of {SLOTS} slots are claimed" if claimed != SLOTS else ""

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


def _poorest(peers: Collection[Peer]) -> Peer:
    followed = [peer.primary_id for peer in peers]
    owners = [peer for peer in peers if peer.role == "primary" and peer.ranges]
    if not owners:
        raise RefusedError("no node of the Cluster serves a slot")
    return min(owners, key=lambda peer: followed.count(peer.node_id))


def _shown(place: Node | None) -> str:
    return f"{place[0]}:{place[1]}" if place is not None else "nobody"
