"""What nodes answer, as the picture has it: pure functions from replies to facts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from valkeyctl.caching.info import parse_info
from valkeyctl.caching.replies import Reply
from valkeyctl.endpoint import Node
from valkeyctl.ops.topology.picture import (
    ClusterOpinion,
    Down,
    Follower,
    Move,
    NodeView,
    Peer,
    Role,
    SentinelOpinion,
)

_ROLES: Mapping[str, Role] = {"master": "primary", "slave": "replica", "sentinel": "sentinel"}
_DOWN = ("s_down", "o_down")


@dataclass(frozen=True)
class Lead:
    """A node that another one tells of.

    Attributes:
        host: Where it is.
        port: Likewise.
        role: What the other takes it for.
        identity: Its run id, or its name in a Cluster; empty when unknown.
    """

    host: str
    port: int
    role: Role
    identity: str = ""

    @property
    def node(self) -> Node:
        """Its place."""
        return self.host, self.port


def join(host: str, port: int | str) -> str:
    """Return ``host:port``, an IPv6 host in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def split(address: str) -> tuple[str, int] | None:
    """Return host and port of ``host:port``, brackets optional; None when it is none."""
    host, _, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    return (host, int(port)) if host and port.isdigit() and int(port) else None


def text(reply: Reply) -> str:
    """Return a reply's text; empty for what is no string."""
    return reply.decode("utf-8", "replace") if isinstance(reply, bytes) else ""


def server_of(place: Node, info: Mapping[str, str], min_replicas: int | None) -> NodeView:
    """Return a server by its INFO.

    Args:
        place: Where it was asked.
        info: All sections of INFO, in one.
        min_replicas: Its directive min-replicas-to-write; None when it may not be read.
    """
    role = _ROLES.get(info.get("role", ""), "unknown")
    replica = role == "replica"
    followed = info.get("master_host", "")
    failover = info.get("master_failover_state", "no-failover")
    offset = "slave_repl_offset" if replica else "master_repl_offset"
    return NodeView(
        address=join(*place),
        host=place[0],
        port=place[1],
        role=role,
        reachable=True,
        version=version_of(info),
        run_id=info.get("run_id", ""),
        primary=join(followed, info.get("master_port", "")) if replica and followed else "",
        offset=number(info, offset),
        link=info.get("master_link_status", "") if replica else "",
        link_down_s=number(info, "master_link_down_since_seconds"),
        last_io_s=number(info, "master_last_io_seconds_ago"),
        syncing=info.get("master_sync_in_progress") == "1",
        priority=number(info, "slave_priority") if replica else None,
        loading=info.get("loading") == "1",
        failover="" if failover == "no-failover" else failover,
        followers=_followers(info),
        min_replicas=min_replicas,
        good_replicas=number(info, "min_slaves_good_slaves"),
    )


def version_of(info: Mapping[str, str]) -> str:
    """Return the server's version by its INFO."""
    return info.get("valkey_version", info.get("redis_version", ""))


def mode_of(info: Mapping[str, str]) -> str:
    """Return ``standalone``, ``sentinel`` or ``cluster`` by INFO's section *server*."""
    # Valkey 9 has dropped the second spelling, and 8 does not know the first.
    return info.get("server_mode", info.get("redis_mode", "standalone"))


def info_of(reply: Reply) -> dict[str, str]:
    """Return the fields of an INFO reply; none where it is something else."""
    return parse_info(reply) if isinstance(reply, bytes) else {}


def number(facts: Mapping[str, str], name: str) -> int | None:
    """Return a whole number of at least 0, or None where there is none."""
    value = facts.get(name, "")
    return int(value) if value.isdigit() else None


def _followers(info: Mapping[str, str]) -> tuple[Follower, ...]:
    found = []
    for name, line in info.items():
        if name.startswith("slave") and name.removeprefix("slave").isdigit():
            facts = dict(part.split("=", 1) for part in line.split(",") if "=" in part)
            address = join(facts.get("ip", ""), facts.get("port", ""))
            offset, lag = number(facts, "offset") or 0, number(facts, "lag") or 0
            found.append(Follower(address, facts.get("state", ""), offset, lag))
    return tuple(found)


def followed_leads(node: NodeView) -> list[Lead]:
    """Return whom a server follows, and who follows it, by its own word."""
    leads = []
    if place := split(node.primary):
        leads.append(Lead(*place, "primary"))
    places = (split(follower.address) for follower in node.followers)
    return [*leads, *(Lead(*place, "replica") for place in places if place)]


@dataclass(frozen=True)
class SentinelReplies:
    """What a sentinel answers about one primary.

    Attributes:
        place: To GET-MASTER-ADDR-BY-NAME; it knows of a promotion sooner than the next.
        facts: To SENTINEL MASTER.
        replicas: To SENTINEL REPLICAS.
        sentinels: To SENTINEL SENTINELS.
        quorum_reachable: Whether CKQUORUM was answered with OK; None when it was refused.
        quorum_says: That answer.
        tilt: Whether INFO says so.
    """

    place: Reply
    facts: Reply
    replicas: Reply
    sentinels: Reply
    quorum_reachable: bool | None
    quorum_says: str
    tilt: bool


def sentinel_opinion(replies: SentinelReplies) -> tuple[SentinelOpinion, list[Lead]]:
    """Return what a sentinel believes, and the nodes that it tells of."""
    facts = fields(replies.facts)
    place = [text(word) for word in replies.place] if isinstance(replies.place, list) else []
    host, port = place[:2] if len(place) > 1 else (facts.get("ip", ""), facts.get("port", "0"))
    leads = [Lead(host, int(port), "primary", _same(facts, host, port))] if port.isdigit() else []
    down = _down(facts)
    others: tuple[tuple[Reply, Role], ...] = (
        (replies.replicas, "replica"),
        (replies.sentinels, "sentinel"),
    )
    for reply, role in others:
        for one in map(fields, reply if isinstance(reply, list) else ()):
            down += _down(one)
            if one.get("port", "").isdigit():
                leads.append(Lead(one["ip"], int(one["port"]), role, one.get("runid", "")))
    flags = facts.get("flags", "").split(",")
    failing = "failover_in_progress" in flags
    opinion = SentinelOpinion(
        primary=join(host, port) if host else "",
        config_epoch=number(facts, "config-epoch") or 0,
        quorum=number(facts, "quorum") or 0,
        sentinels=(number(facts, "num-other-sentinels") or 0) + 1,
        replicas=number(facts, "num-slaves") or 0,
        quorum_reachable=replies.quorum_reachable,
        quorum_says=replies.quorum_says,
        failover=facts.get("failover-state", "in progress") if failing else "",
        tilt=replies.tilt,
        down=tuple(down),
    )
    return opinion, leads


def fields(reply: Reply) -> dict[str, str]:
    """Return a flat list of names and values as a mapping."""
    words = [text(word) for word in reply] if isinstance(reply, list) else []
    return dict(zip(words[::2], words[1::2], strict=False))


def _same(facts: Mapping[str, str], host: str, port: str) -> str:
    """Return the primary's run id, unless *facts* still tell of its predecessor."""
    same = (facts.get("ip"), facts.get("port")) == (host, port)
    return facts.get("runid", "") if same else ""


def _down(facts: Mapping[str, str]) -> list[Down]:
    flags = facts.get("flags", "").split(",")
    if not any(flag in _DOWN for flag in flags):
        return []
    return [Down(join(facts.get("ip", ""), facts.get("port", "")), "o_down" in flags)]


def cluster_opinion(nodes: Reply, info: Reply, place: Node) -> ClusterOpinion:
    """Return what a node of a Cluster believes.

    Args:
        nodes: Its answer to CLUSTER NODES.
        info: Its answer to CLUSTER INFO.
        place: Where it was asked, for a node that does not know its own address yet.
    """
    facts = info_of(info)
    peers = (_peer(line.split(" "), place) for line in text(nodes).splitlines())
    return ClusterOpinion(
        facts.get("cluster_state", ""),
        number(facts, "cluster_current_epoch") or 0,
        tuple(peer for peer in peers if peer is not None),
    )


def _peer(words: list[str], place: Node) -> Peer | None:
    """Return the node that a line of CLUSTER NODES tells of; None for one that is no member yet."""
    if len(words) < 8:
        return None
    node_id, where, flags, primary_id, _, _, epoch, _, *slots = words
    known = flags.split(",")
    if "handshake" in known:
        return None
    # ip:port@bus,hostname; the ip is empty while the node does not know its own.
    host, _, port = where.partition("@")[0].rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host and "myself" in known:
        host = place[0]
    served = [word for word in slots if not word.startswith("[")]
    return Peer(
        node_id=node_id,
        address=join(host, port),
        role=next((_ROLES[flag] for flag in known if flag in _ROLES), "unknown"),
        primary_id="" if primary_id == "-" else primary_id,
        failed="fail" in known,
        suspected="fail?" in known,
        can_take_over="nofailover" not in known,
        config_epoch=int(epoch) if epoch.isdigit() else 0,
        ranges=tuple(_range(word) for word in served),
        moving=tuple(_move(word) for word in slots if word.startswith("[")),
    )


def _range(word: str) -> tuple[int, int]:
    first, _, last = word.partition("-")
    return int(first), int(last or first)


def _move(word: str) -> Move:
    """Return what ``[93->-node]`` or ``[93-<-node]`` tells."""
    slot, _, rest = word.strip("[]").partition("-")
    return Move(int(slot), rest[2:], leaving=rest.startswith(">"))


def cluster_leads(opinion: ClusterOpinion) -> list[Lead]:
    """Return the nodes that *opinion* tells of."""
    return [
        Lead(*place, peer.role, peer.node_id)
        for peer in opinion.peers
        if (place := split(peer.address))
    ]
