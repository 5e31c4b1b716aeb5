"""The checks of replication: who follows, how far behind, and who could take over."""

from __future__ import annotations

from collections.abc import Callable

from valkeyctl.ops.checks import Check, Thresholds, Verdict
from valkeyctl.ops.topology.picture import NodeView, Shard, TopologyView
from valkeyctl.units import format_duration, format_size


def replica_checks(view: TopologyView, thresholds: Thresholds) -> list[Check]:
    """Return the checks of replication."""
    return [
        check_replicas(view),
        check_links(view),
        check_lag_bytes(view, thresholds),
        check_lag_seconds(view, thresholds),
        check_takeover(view),
        check_min_replicas(view),
    ]


def check_replicas(view: TopologyView) -> Check:
    """Return whether all replicas are online; fails where none is left to take over."""
    replicas = _replicas(view)
    online = [node for node in replicas if node.online]
    off = [f"{node.address} {_state(node)}" for node in replicas if not node.online]
    bare = [shard for shard in view.shards if shard.replicas and not _candidates(shard)]
    alone = [shard for shard in view.shards if not shard.replicas]
    off += [f"{shard.name} has no replica left" for shard in bare]
    off += [f"{shard.name} has no replica" for shard in alone]
    verdict: Verdict = "fail" if bare else "warn" if off else "ok"
    value = f"{len(online)} of {len(replicas)} online" if replicas else "none"
    return Check("replicas", value, "all online", verdict, "; ".join(off))


def check_links(view: TopologyView) -> Check:
    """Return whether the replicas that answer are linked to their own primary."""
    followers = [
        (node, shard) for shard in view.shards for node in shard.replicas if node.reachable
    ]
    up = [node for node, _ in followers if node.link == "up"]
    faults = []
    for node, shard in followers:
        primary = shard.primary
        # Behind Sentinel one of these may be a primary still: `primary` says so.
        known = primary is not None and primary.answers_to(node.primary)
        if node.role == "replica" and node.primary and node.primary != shard.name and not known:
            faults.append(f"{node.address} follows {node.primary}, not {shard.name}")
        if node.syncing:
            faults.append(f"{node.address} fetches a full copy")
        elif node.role == "replica" and node.link != "up":
            since = f" since {format_duration(node.link_down_s)}" if node.link_down_s else ""
            faults.append(f"{node.address} is cut off from {node.primary}{since}")
    value = f"{len(up)} of {len(followers)} up" if followers else "none"
    return Check("link", value, "all up", "warn" if faults else "ok", "; ".join(faults))


def check_lag_bytes(view: TopologyView, thresholds: Thresholds) -> Check:
    """Return how many bytes the worst replica is behind its primary."""
    return _lag(
        "lag_bytes",
        view,
        lambda node: node.lag_bytes,
        format_size,
        thresholds.lag_warn_bytes,
        thresholds.lag_fail_bytes,
    )


def check_lag_seconds(view: TopologyView, thresholds: Thresholds) -> Check:
    """Return how many seconds ago the worst replica was last heard of by its primary."""
    return _lag(
        "lag_seconds",
        view,
        lambda node: node.lag_s,
        format_duration,
        thresholds.lag_warn_s,
        thresholds.lag_fail_s,
    )


def check_takeover(view: TopologyView) -> Check:
    """Return whether each primary has a replica that may be promoted."""
    barred = [node for node in _replicas(view) if node.reachable and not _may_take_over(node, view)]
    without = [
        shard
        for shard in view.shards
        if not any(_may_take_over(node, view) for node in _candidates(shard))
    ]
    able = len(view.shards) - len(without)
    why = "is told never to" if view.topology == "cluster" else "has replica-priority 0"
    reasons = [f"nobody can take over from {shard.name}" for shard in without]
    reasons += [f"{node.address} {why}" for node in barred]
    return Check(
        "takeover",
        f"{able} of {len(view.shards)} covered",
        "a replica for each primary",
        "warn" if without else "ok",
        "; ".join(reasons),
    )


def check_min_replicas(view: TopologyView) -> Check:
    """Return whether each primary has the replicas without which it refuses writes."""
    asking = [node for node in view.primaries if node.min_replicas]
    short = [node for node in asking if (node.good_replicas or 0) < (node.min_replicas or 0)]
    least = min((node.good_replicas or 0 for node in asking), default=0)
    wanted = max((node.min_replicas or 0 for node in asking), default=0)
    return Check(
        "min_replicas",
        f"{least} good" if asking else "not asked for",
        f">= {wanted}" if asking else "what a primary asks for",
        "fail" if short else "ok",
        "; ".join(
            f"{node.address} refuses writes: {node.good_replicas or 0} of "
            f"{node.min_replicas} good replicas"
            for node in short
        ),
    )


def _replicas(view: TopologyView) -> list[NodeView]:
    return [node for shard in view.shards for node in shard.replicas]


def _candidates(shard: Shard) -> list[NodeView]:
    """Return the replicas that have the data to take over.

    Their links are down when the primary is: that is when they are needed.
    """
    lost = shard.primary is None or not shard.primary.reachable
    return [
        node
        for node in shard.replicas
        if node.online or (lost and node.reachable and node.role == "replica" and not node.loading)
    ]


def _state(node: NodeView) -> str:
    """Return why a replica is not online."""
    if not node.reachable:
        return "does not answer"
    if node.role != "replica":  # behind Sentinel: one that has not heard of its successor
        return f"is a {node.role}"
    if node.syncing:
        return "fetches a full copy"
    return "loads its data" if node.loading else f"has its link {node.link or 'unknown'}"


def _may_take_over(node: NodeView, view: TopologyView) -> bool:
    """Say whether a replica is allowed to be promoted."""
    if view.topology != "cluster":
        return node.priority != 0
    # Clusters do not look at the priority, but at cluster-replica-no-failover.
    peers = view.news.peers if view.news else ()
    return next((peer.can_take_over for peer in peers if peer.node_id == node.node_id), True)


def _lag(
    name: str,
    view: TopologyView,
    lag_of: Callable[[NodeView], int | None],
    show: Callable[[float], str],
    warn: float,
    fail: float | None,
) -> Check:
    lags = [(lag, node) for node in _replicas(view) if (lag := lag_of(node)) is not None]
    lag, worst = max(lags, key=lambda pair: pair[0], default=(0, None))
    verdict: Verdict = "warn" if lag > warn else "ok"
    if fail is not None and lag > fail:
        verdict = "fail"
    limit = min(warn, fail) if fail is not None else warn
    behind = [f"{node.address} is {show(one)} behind" for one, node in lags if one > limit]
    return Check(
        name,
        show(lag) if worst else "unknown",
        f"<= {show(limit)}",
        verdict,
        "; ".join(behind),
    )
