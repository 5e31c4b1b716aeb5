"""One frozen picture of a deployment: its nodes, and what each believes of the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from valkeyctl.caching.driver.slots import SLOTS
from valkeyctl.endpoint import Topology

Role = Literal["primary", "replica", "sentinel", "unknown"]
Ranges = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Follower:
    """A replica as its primary keeps account of it.

    Attributes:
        address: Where the primary reaches it.
        state: ``online``, or the step of a full synchronisation.
        offset: Of the last byte that it acknowledged.
        ack_age_s: Seconds since that acknowledgement; replicas send one each second.
    """

    address: str
    state: str
    offset: int
    ack_age_s: int


@dataclass(frozen=True)
class Down:
    """A node that a sentinel holds for down.

    Attributes:
        address: Of the node.
        agreed: Whether as many sentinels as the quorum say so (``o_down``); else it is
            this one's own view (``s_down``).
    """

    address: str
    agreed: bool


@dataclass(frozen=True)
class SentinelOpinion:
    """What one sentinel believes.

    Attributes:
        primary: Address of the primary.
        config_epoch: Number of the election that made it so; a later one overrules.
        quorum: Sentinels that must agree that the primary is down.
        sentinels: How many it knows, itself included.
        replicas: How many it knows.
        quorum_reachable: Its answer to CKQUORUM; None when it could not be asked.
        quorum_says: That answer in its own words.
        failover: The state of the failover that it leads or follows; empty without one.
        tilt: Whether it mistrusts its clock and does nothing.
        down: Nodes that it holds for down.
    """

    primary: str
    config_epoch: int
    quorum: int
    sentinels: int
    replicas: int
    quorum_reachable: bool | None
    quorum_says: str
    failover: str
    tilt: bool
    down: tuple[Down, ...]


@dataclass(frozen=True)
class Move:
    """A slot whose keys are on their way.

    Attributes:
        slot: Which.
        node_id: The other end.
        leaving: Whether they go to the other end; else they come from there.
    """

    slot: int
    node_id: str
    leaving: bool


@dataclass(frozen=True)
class Peer:
    """A node of a Cluster as one of them sees it.

    Attributes:
        node_id: Its name in the Cluster.
        address: Where it serves clients.
        role: As the seeing node has it.
        primary_id: Whom it follows; empty for a primary.
        failed: Whether a majority has agreed that it failed (``fail``).
        suspected: Whether the seeing node alone misses it (``fail?``).
        can_take_over: False where it is told never to (``nofailover``).
        config_epoch: By which claims to slots are compared.
        ranges: Slots that it serves, both ends included.
        moving: Slots on their way; a node tells of its own ones only.
    """

    node_id: str
    address: str
    role: Role
    primary_id: str
    failed: bool
    suspected: bool
    can_take_over: bool
    config_epoch: int
    ranges: Ranges
    moving: tuple[Move, ...]


@dataclass(frozen=True)
class ClusterOpinion:
    """What one node of a Cluster believes.

    Attributes:
        state: ``ok`` or ``fail``; empty when it did not say.
        current_epoch: Number of the last election that it knows of.
        peers: All nodes that it knows, itself included.
    """

    state: str
    current_epoch: int
    peers: tuple[Peer, ...]


@dataclass(frozen=True)
class NodeView:
    """One node as it was found; what could not be learnt is None or empty.

    Attributes:
        address: Where it was asked.
        host: Likewise.
        port: Likewise.
        role: By its own word; by the others' where it does not answer.
        reachable: Whether it answered what it was asked, in time.
        error: Why not; empty when it did.
        version: Of the server.
        run_id: Changes with each start of its process; a sentinel's own name.
        node_id: Its name in a Cluster.
        primary: Address of the server that it follows.
        offset: Bytes of the replication stream that it has written or applied.
        lag_bytes: How far a replica is behind its primary.
        lag_s: Seconds since its primary last heard that it follows; see `look`.
        link: ``up`` or ``down``, of a replica to its primary.
        link_down_s: Seconds that it is down.
        last_io_s: Seconds since a replica last heard of its primary.
        syncing: Whether a full synchronisation is under way.
        priority: Replica priority: the lowest above 0 is promoted first, 0 never.
        loading: Whether it loads its data and cannot serve.
        failover: State of a coordinated failover; empty without one.
        config_epoch: In a Cluster; claims to slots are compared by it.
        followers: A primary's account of its replicas.
        min_replicas: Good replicas without which it refuses writes; 0 for none.
        good_replicas: How many are good at this moment; None without min_replicas.
        aliases: Other addresses by which the others know it.
        sentinel: What it believes, if it is a sentinel.
        cluster: What it believes, if it is a node of a Cluster.
    """

    address: str
    host: str
    port: int
    role: Role = "unknown"
    reachable: bool = False
    error: str = ""
    version: str = ""
    run_id: str = ""
    node_id: str = ""
    primary: str = ""
    offset: int | None = None
    lag_bytes: int | None = None
    lag_s: int | None = None
    link: str = ""
    link_down_s: int | None = None
    last_io_s: int | None = None
    syncing: bool = False
    priority: int | None = None
    loading: bool = False
    failover: str = ""
    config_epoch: int | None = None
    followers: tuple[Follower, ...] = ()
    min_replicas: int | None = None
    good_replicas: int | None = None
    aliases: tuple[str, ...] = ()
    sentinel: SentinelOpinion | None = None
    cluster: ClusterOpinion | None = None

    @property
    def identity(self) -> str:
        """What tells it from the others whatever its address; empty when unknown."""
        return self.node_id or self.run_id

    @property
    def online(self) -> bool:
        """Whether it is a replica that follows its primary and has all its data."""
        synced = self.link == "up" and not self.syncing and not self.loading
        return self.reachable and self.role == "replica" and synced

    def answers_to(self, address: str) -> bool:
        """Say whether *address* is one of its own."""
        return address == self.address or address in self.aliases


@dataclass(frozen=True)
class Shard:
    """A primary and its replicas; a deployment without slots is a single one.

    Attributes:
        name: Address of the primary, even where it does not answer.
        primary: Its picture; None when nobody could say where it is.
        replicas: Theirs, those that do not answer included.
        ranges: Slots that it serves; empty without a Cluster.
    """

    name: str
    primary: NodeView | None
    replicas: tuple[NodeView, ...]
    ranges: Ranges = ()


@dataclass(frozen=True)
class TopologyView:
    """All nodes of a deployment at one moment.

    Attributes:
        topology: What was found there, which the plain URL of a Cluster's node does not say.
        address: Where it was looked for.
        nodes: Sentinels first, then primaries, then replicas; each once.
        primary: Address that the sentinel with the newest news names; empty without one.
        elapsed_ms: Milliseconds that the look took.
    """

    topology: Topology
    address: str
    nodes: tuple[NodeView, ...]
    primary: str = ""
    elapsed_ms: float = 0.0

    @property
    def sentinels(self) -> tuple[NodeView, ...]:
        """The sentinels, those that do not answer included."""
        return tuple(node for node in self.nodes if node.role == "sentinel")

    @property
    def servers(self) -> tuple[NodeView, ...]:
        """All other nodes."""
        return tuple(node for node in self.nodes if node.role != "sentinel")

    @property
    def primaries(self) -> tuple[NodeView, ...]:
        """The primaries that take clients' traffic and answer, one of each shard."""
        found = (shard.primary for shard in self.shards)
        return tuple(node for node in found if node is not None and node.reachable)

    @property
    def shards(self) -> tuple[Shard, ...]:
        """The primaries and who follows them, by the newest news."""
        if self.topology == "cluster":
            return self._cluster_shards()
        named = self.primary or next(
            (node.address for node in self.servers if node.role == "primary"), ""
        )
        primary = self.at(named)
        replicas = tuple(node for node in self.servers if node is not primary)
        return (Shard(named, primary, replicas),)

    @property
    def news(self) -> ClusterOpinion | None:
        """What the node of a Cluster believes that is in touch with most of the others."""
        known = [node.cluster for node in self.servers if node.cluster and node.cluster.peers]
        return max(known, key=_newness, default=None)

    def at(self, address: str) -> NodeView | None:
        """Return the node that *address* belongs to; None when there is none."""
        return next((node for node in self.nodes if node.answers_to(address)), None)

    def named(self, node_id: str) -> NodeView | None:
        """Return the Cluster's node of that name; None when there is none."""
        return next((node for node in self.nodes if node.node_id == node_id), None)

    def _cluster_shards(self) -> tuple[Shard, ...]:
        peers = self.news.peers if self.news else ()
        shards = []
        for peer in peers:
            if peer.role == "primary" and peer.ranges:
                followers = (
                    self.named(one.node_id) for one in peers if one.primary_id == peer.node_id
                )
                shards.append(
                    Shard(
                        peer.address,
                        self.named(peer.node_id),
                        tuple(node for node in followers if node is not None),
                        peer.ranges,
                    )
                )
        return tuple(sorted(shards, key=lambda shard: shard.ranges))


def _newness(opinion: ClusterOpinion) -> tuple[bool, int, int, int]:
    """Order opinions: of nodes that work, of the latest election, that miss few others."""
    missed = sum(peer.failed or peer.suspected for peer in opinion.peers)
    epochs = max((peer.config_epoch for peer in opinion.peers), default=0)
    return opinion.state == "ok", opinion.current_epoch, epochs, -missed


def count_slots(ranges: Ranges) -> int:
    """Return how many slots *ranges* hold; at most `SLOTS` where none is in two of them."""
    return min(sum(last - first + 1 for first, last in ranges), SLOTS)
