"""The checks that concern every node alike."""

from __future__ import annotations

from valkeyctl.ops.checks import Check
from valkeyctl.ops.topology.picture import TopologyView


def check_nodes(view: TopologyView) -> Check:
    """Return whether every node answers."""
    silent = [node for node in view.nodes if not node.reachable]
    loading = [node for node in view.nodes if node.loading]
    reasons = [f"{node.role} {node.address}: {node.error}" for node in silent]
    reasons += [f"{node.role} {node.address} loads its data" for node in loading]
    answer = len(view.nodes) - len(silent)
    return Check(
        "nodes",
        f"{answer} of {len(view.nodes)} answer",
        "all",
        "warn" if reasons else "ok",
        "; ".join(reasons),
    )


def check_version(view: TopologyView) -> Check:
    """Return whether all nodes that answer are of one version."""
    by_version: dict[str, list[str]] = {}
    for node in view.nodes:
        if node.version:
            by_version.setdefault(node.version, []).append(node.address)
    mixed = len(by_version) > 1
    each = (f"{version}: {', '.join(nodes)}" for version, nodes in sorted(by_version.items()))
    return Check(
        "version",
        ", ".join(sorted(by_version)) or "unknown",
        "one",
        "warn" if mixed else "ok",
        "; ".join(each) if mixed else "",
    )
