"""Writers to every shard of a topology, to measure how long a change keeps them waiting."""

from __future__ import annotations

from valkeyctl.ops.deployment import Access
from valkeyctl.ops.topology.forming import shares
from valkeyctl.ops.topology.members import servers_of
from valkeyctl.ops.topology.slotkeys import key_tag
from valkeyctl.ops.writeprobe import WriteProbe
from valkeyctl.render import Artefacts


def shard_probes(artefacts: Artefacts, access: Access) -> list[WriteProbe]:
    """Return what writes to every shard, wherever its primary is; not started yet.

    Args:
        artefacts: A topology that runs.
        access: From a unit to its address, with a login that may write.
    """
    servers = servers_of(artefacts)
    endpoints = [access(unit) for unit in servers]
    tags = [""]
    if artefacts.topology == "cluster":
        primaries = sum(unit.primary for unit in servers)
        tags = [key_tag(first, last) for first, last in shares(primaries)]
    return [WriteProbe(endpoints, artefacts.app, tag=tag) for tag in tags]
