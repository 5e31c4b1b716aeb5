"""The checks of a Cluster: its slots, and what its nodes think of each other."""

from __future__ import annotations

from collections.abc import Iterable

from valkeyctl.caching.driver.slots import SLOTS
from valkeyctl.ops.checks import Check, Verdict
from valkeyctl.ops.topology.picture import (
    ClusterOpinion,
    NodeView,
    Peer,
    Ranges,
    Shard,
    TopologyView,
)
from valkeyctl.units import several

_SHOWN = 4  # ranges of slots in a sentence


def cluster_checks(view: TopologyView) -> list[Check]:
    """Return what the nodes of a Cluster tell."""
    return [
        check_primaries(view),
        check_slots(view),
        check_state(view),
        check_majority(view),
        check_owners(view),
        check_seen_failed(view),
        check_failover(view),
        check_moving(view),
        check_spread(view),
    ]


def check_primaries(view: TopologyView) -> Check:
    """Return whether each shard has exactly one primary, and it serves."""
    faults = []
    good = 0
    for shard in view.shards:
        fault = _fault(shard)
        good += not fault
        if fault:
            faults.append(fault)
    double = [
        f"slots {_show(common)} are served by {one.address} and by {other.address}"
        for one, other, common in _served_twice(view)
    ]
    return Check(
        "primary",
        f"{good} of {len(view.shards)} shards",
        "exactly one each",
        "fail" if faults or double or not view.shards else "ok",
        "; ".join([*faults, *double]) or ("" if view.shards else "nobody serves any slot"),
    )


def check_slots(view: TopologyView) -> Check:
    """Return whether all slots are served by a primary that answers."""
    served: set[int] = set()
    assigned: set[int] = set()
    for shard in view.shards:
        slots = _slots(shard.ranges)
        assigned |= slots
        if not _fault(shard):
            served |= slots
    free = set(range(SLOTS)) - assigned
    dark = assigned - served
    texts = [f"no node has {_show(_ranges(free))}"] if free else []
    texts += [f"the primary of {_show(_ranges(dark))} is away"] if dark else []
    return Check(
        "slots",
        f"{len(served):,} of {SLOTS:,} served",
        "all",
        "ok" if len(served) == SLOTS else "fail",
        "; ".join(texts),
    )


def check_state(view: TopologyView) -> Check:
    """Return whether the nodes themselves think that the Cluster works."""
    asked = _opinions(view)
    bad = [node for node, opinion in asked if opinion.state != "ok"]
    verdict: Verdict = "ok"
    if bad:
        # A replica that is cut off says so, too, and keeps nobody from working.
        serving = any(node.role == "primary" for node in bad) or len(bad) == len(asked)
        verdict = "fail" if serving else "warn"
    return Check(
        "cluster_state",
        f"{len(asked) - len(bad)} of {len(asked)} say ok",
        "all",
        verdict,
        "; ".join(f"{node.role} {node.address} says fail" for node in bad),
    )


def check_majority(view: TopologyView) -> Check:
    """Return whether enough primaries are left to agree on a failover."""
    voters = len(view.shards)
    able = sum(not _fault(shard) for shard in view.shards)
    return Check(
        "quorum",
        f"{able} of {voters} primaries",
        f">= {voters // 2 + 1}, a majority",
        "ok" if able > voters // 2 else "fail",
        "" if able > voters // 2 else "no failover can be agreed on",
    )


def check_owners(view: TopologyView) -> Check:
    """Return whether all nodes have every slot at the same primary."""
    news = view.news
    wanted = _owners(news) if news else {}
    faults = []
    for node, opinion in _opinions(view):
        theirs = _owners(opinion)
        if theirs == wanted:
            continue
        names = theirs.keys() | wanted.keys()
        wrong = {
            slot
            for name in names
            for slot in _slots(theirs.get(name, ())) ^ _slots(wanted.get(name, ()))
        }
        if wrong:
            faults.append(f"{node.address} has {_show(_ranges(wrong))} elsewhere than the others")
    return Check(
        "owners",
        f"{len(faults)} differ" if faults else "one map",
        "all nodes agree",
        "warn" if faults else "ok",
        "; ".join(faults),
    )


def check_seen_failed(view: TopologyView) -> Check:
    """Return whom nodes hold for failed, and whether they agree."""
    asked = _opinions(view)
    seers: dict[str, list[tuple[str, bool]]] = {}
    addresses: dict[str, str] = {}
    for node, opinion in asked:
        for peer in opinion.peers:
            if peer.failed or peer.suspected:
                seers.setdefault(peer.node_id, []).append((node.address, peer.failed))
                addresses[peer.node_id] = peer.address
    texts = []
    for name, seen in seers.items():
        known = view.named(name)
        who = known.address if known else addresses[name]
        how = "agreed" if any(failed for _, failed in seen) else "suspected"
        text = f"{who} by {len(seen)} of {len(asked)} nodes ({how})"
        if known is not None and known.reachable:
            text += ", and answers us"
        if len(seen) <= len(asked) // 2:
            text += f": {', '.join(address for address, _ in seen)}"
        texts.append(text)
    return Check(
        "seen_down",
        several(len(seers), "node") if seers else "none",
        "none",
        "warn" if seers else "ok",
        "; ".join(texts),
    )


def check_failover(view: TopologyView) -> Check:
    """Return whether a failover is under way or due."""
    texts = [
        f"the slots of {shard.name} wait for {', '.join(node.address for node in ready)}"
        for shard in view.shards
        if _lost(shard, view)
        and (ready := [node for node in shard.replicas if node.reachable and not node.loading])
    ]
    texts += [f"{node.address}: {node.failover}" for node in view.servers if node.failover]
    return Check(
        "failover",
        "in progress" if texts else "none",
        "none",
        "warn" if texts else "ok",
        "; ".join(texts),
    )


def check_moving(view: TopologyView) -> Check:
    """Return whether slots are on their way from one node to another."""
    texts = []
    slots = set()
    for node, opinion in _opinions(view):
        if node.role != "primary":
            continue  # from Valkey 8 on replicas say it, too, each of its own primary's slots
        for move in (move for peer in opinion.peers for move in peer.moving):
            slots.add(move.slot)
            other = view.named(move.node_id)
            name = other.address if other else move.node_id
            ends = (node.address, name) if move.leaving else (name, node.address)
            texts.append(f"{move.slot} from {ends[0]} to {ends[1]}")
    texts = list(dict.fromkeys(texts))  # both ends tell of a move
    more = f" and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return Check(
        "moving_slots",
        f"{len(slots):,}",
        "none",
        "warn" if texts else "ok",
        "; ".join(texts[:_SHOWN]) + more,
    )


def check_spread(view: TopologyView) -> Check:
    """Return whether the replicas are spread evenly over the primaries."""
    counts = {shard.name: sum(node.online for node in shard.replicas) for shard in view.shards}
    least, most = min(counts.values(), default=0), max(counts.values(), default=0)
    uneven = most - least > 1 or (most > 0 and least == 0)
    each = ", ".join(f"{name} {count}" for name, count in counts.items())
    return Check(
        "spread",
        f"{least} each" if least == most else f"{least} to {most}",
        "even",
        "warn" if uneven else "ok",
        f"online replicas: {each}" if uneven else "",
    )


def _opinions(view: TopologyView) -> list[tuple[NodeView, ClusterOpinion]]:
    return [
        (node, node.cluster)
        for node in view.servers
        if node.cluster is not None and node.cluster.peers
    ]


def _fault(shard: Shard) -> str:
    """Return why the slots of *shard* are not served; empty when they are."""
    node = shard.primary
    if node is None:
        return f"{shard.name} is not to be found"
    if not node.reachable:
        return f"{shard.name} does not answer: {node.error}"
    if node.role != "primary":
        return f"{shard.name} should be a primary and is a {node.role}"
    if node.loading:
        return f"{shard.name} loads its data"
    return ""


def _lost(shard: Shard, view: TopologyView) -> bool:
    """Say whether *shard* needs another primary."""
    peers = view.news.peers if view.news else ()
    failed = {peer.address for peer in peers if peer.failed}
    return shard.name in failed or bool(_fault(shard))


def _served_twice(view: TopologyView) -> list[tuple[NodeView, NodeView, Ranges]]:
    """Return the pairs of nodes that both hold themselves for the primary of some slots."""
    claims = [
        (node, _slots(mine.ranges))
        for node, opinion in _opinions(view)
        if (mine := _own(node, opinion)) is not None and mine.role == "primary"
    ]
    return [
        (one, other, _ranges(both))
        for number, (one, slots) in enumerate(claims)
        for other, more in claims[number + 1 :]
        if (both := slots & more)
    ]


def _own(node: NodeView, opinion: ClusterOpinion) -> Peer | None:
    return next((peer for peer in opinion.peers if peer.node_id == node.node_id), None)


def _owners(opinion: ClusterOpinion) -> dict[str, Ranges]:
    return {peer.node_id: peer.ranges for peer in opinion.peers if peer.ranges}


def _slots(ranges: Ranges) -> set[int]:
    return {slot for first, last in ranges for slot in range(first, last + 1)}


def _ranges(slots: Iterable[int]) -> Ranges:
    """Return *slots* as ranges, in order."""
    found: list[tuple[int, int]] = []
    for slot in sorted(slots):
        if found and found[-1][1] == slot - 1:
            found[-1] = (found[-1][0], slot)
        else:
            found.append((slot, slot))
    return tuple(found)


def _show(ranges: Ranges) -> str:
    """Return ranges of slots for a sentence."""
    texts = [str(first) if first == last else f"{first}-{last}" for first, last in ranges]
    more = f" and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return ", ".join(texts[:_SHOWN]) + more
