"""The checks of a deployment that sentinels watch."""

from __future__ import annotations

from valkeyctl.ops.checks import Check, Verdict
from valkeyctl.ops.topology.picture import NodeView, SentinelOpinion, TopologyView
from valkeyctl.units import several


def sentinel_checks(view: TopologyView) -> list[Check]:
    """Return what primary and sentinels tell."""
    return [
        check_one_primary(view),
        check_quorum(view),
        check_sentinels(view),
        check_agreement(view),
        check_seen_down(view),
        check_failover(view),
    ]


def check_one_primary(view: TopologyView) -> Check:
    """Return whether there is exactly one primary, and it serves."""
    (shard,) = view.shards
    faults = []
    if shard.primary is None:
        faults.append("nobody says where the primary is")
    elif not shard.primary.reachable:
        faults.append(f"{shard.name} does not answer: {shard.primary.error}")
    elif shard.primary.role != "primary":
        faults.append(f"{shard.name} should be the primary and is a {shard.primary.role}")
    elif shard.primary.loading:
        faults.append(f"{shard.name} loads its data")
    acting = [node for node in view.servers if node.reachable and node.role == "primary"]
    if len(acting) > 1:
        others = ", ".join(node.address for node in acting if node is not shard.primary)
        faults.append(f"{others} takes writes, too, which will be lost")
    return Check(
        "primary",
        shard.name if len(acting) == 1 and not faults else f"{len(acting)} found",
        "exactly one",
        "fail" if faults else "ok",
        "; ".join(faults),
    )


def check_quorum(view: TopologyView) -> Check:
    """Return whether the sentinels, by their own word, can decide on a failover."""
    asked = _opinions(view)
    reach = [node for node, opinion in asked if opinion.quorum_reachable]
    lost = [
        f"{node.address}: {said.quorum_says}" for node, said in asked if not said.quorum_reachable
    ]
    refused = [node for node, opinion in asked if opinion.quorum_reachable is False]
    verdict: Verdict = "ok"
    if lost:
        verdict = "warn" if reach or not refused else "fail"
    return Check(
        "quorum",
        f"{len(reach)} of {len(asked)} reach it",
        f"quorum {max((opinion.quorum for _, opinion in asked), default=0)} and a majority",
        verdict,
        "; ".join(lost),
    )


def check_sentinels(view: TopologyView) -> Check:
    """Return whether all sentinels answer, work, and know the same of the deployment."""
    asked = _opinions(view)
    faults = [f"{node.address} does not answer" for node in view.sentinels if not node.reachable]
    faults += [
        f"{node.address} is in TILT mode: its clock jumped, it does nothing"
        for node, opinion in asked
        if opinion.tilt
    ]
    known = {
        "sentinels": {node.address: opinion.sentinels for node, opinion in asked},
        "replicas": {node.address: opinion.replicas for node, opinion in asked},
        "quorum": {node.address: opinion.quorum for node, opinion in asked},
    }
    for what, counts in known.items():
        if len(set(counts.values())) > 1:
            each = ", ".join(f"{address} {count}" for address, count in counts.items())
            faults.append(f"they do not know the same {what}: {each}")
    return Check(
        "sentinels",
        f"{len(asked)} of {len(view.sentinels)} answer",
        "all, and know the same",
        "warn" if faults else "ok",
        "; ".join(faults),
    )


def check_agreement(view: TopologyView) -> Check:
    """Return whether all sentinels that answer name the same primary."""
    named: dict[str, list[str]] = {}
    for node, opinion in _opinions(view):
        named.setdefault(f"{opinion.primary} (epoch {opinion.config_epoch})", []).append(
            node.address
        )
    primaries = {opinion.primary for _, opinion in _opinions(view)}
    agreed = len(primaries) <= 1
    each = (f"{', '.join(who)} name {primary}" for primary, who in named.items())
    return Check(
        "agreement",
        f"{len(primaries)} named",
        "one primary",
        "ok" if agreed else "fail",
        "" if agreed else "; ".join(each),
    )


def check_seen_down(view: TopologyView) -> Check:
    """Return whom sentinels hold for down, and whether they agree."""
    asked = _opinions(view)
    seers: dict[str, list[bool]] = {}
    for _, opinion in asked:
        for down in opinion.down:
            node = view.at(down.address)
            name = node.address if node else down.address
            seers.setdefault(name, []).append(down.agreed)
    texts = []
    for address, agreed in seers.items():
        how = ", agreed" if any(agreed) else ""
        texts.append(f"{address} by {len(agreed)} of {len(asked)} sentinels{how}")
    return Check(
        "seen_down",
        several(len(seers), "node") if seers else "none",
        "none",
        "warn" if seers else "ok",
        "; ".join(texts),
    )


def check_failover(view: TopologyView) -> Check:
    """Return whether a failover is under way."""
    texts = [
        f"sentinel {node.address} leads it: {opinion.failover}"
        for node, opinion in _opinions(view)
        if opinion.failover
    ]
    texts += [f"{node.address}: {node.failover}" for node in view.servers if node.failover]
    return Check(
        "failover",
        "in progress" if texts else "none",
        "none",
        "warn" if texts else "ok",
        "; ".join(texts),
    )


def _opinions(view: TopologyView) -> list[tuple[NodeView, SentinelOpinion]]:
    return [(node, node.sentinel) for node in view.sentinels if node.sentinel is not None]
