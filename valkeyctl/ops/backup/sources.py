"""Which servers a backup is taken from: one for each part of the data."""

from __future__ import annotations

from dataclasses import dataclass

from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint, Node, Topology
from valkeyctl.errors import ValkeyctlError
from valkeyctl.ops.keyspace.nodes import primaries

_TIMEOUT = 5.0
# Seconds since a replica was heard of last, and bytes that it may be behind, to be taken
# for healthy: a snapshot of it is then as good as one of its primary.
_FRESH = 10
_BEHIND = 2**20


@dataclass(frozen=True)
class Source:
    """One server to take a snapshot of.

    Attributes:
        endpoint: Where it is, with the login.
        role: ``primary`` or ``replica``.
        version: Of the server, such as ``9.1.2``.
        appendonly: Whether it keeps an AOF.
        data_bytes: Memory that its data takes.
        slots: First and last slot of each range; empty without a Cluster.
    """

    endpoint: Endpoint
    role: str
    version: str
    appendonly: bool
    data_bytes: int
    slots: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Sources:
    """All that a backup is taken from.

    Attributes:
        topology: What the servers are.
        parts: One for each part of the data.
        warnings: Why a primary is asked although it has replicas.
    """

    topology: Topology
    parts: tuple[Source, ...]
    warnings: tuple[str, ...]


def sources(endpoint: Endpoint, *, primaries_only: bool = False) -> Sources:
    """Return the servers to take snapshots of, so that together they hold all of the data.

    Behind Sentinel and in a Cluster that is a healthy replica where there is one, which
    spares the primary the fork; else the primary. One server that was named is the one
    that is asked.

    Args:
        endpoint: Of any topology.
        primaries_only: Ask no replica: it may lack the last writes.

    Raises:
        UnreachableError, AuthError, TlsError, ServerReplyError, UsageError: As
            `primaries`.
    """
    found = primaries(endpoint)
    topology: Topology = "cluster" if found.has_slots else endpoint.topology
    warnings: list[str] = []
    parts = []
    for node in found.nodes:
        slots = tuple(
            (part.first, part.last)
            for part in (found.slots.ranges if found.slots else ())
            if part.primary == (node.host, node.port)
        )
        with Wire(node, timeout=_TIMEOUT) as wire:
            info = wire.info()
        alone = primaries_only or topology == "standalone"
        chosen = None if alone else _replica(node, info, slots, warnings)
        parts.append(chosen or _source(node, info, slots))
    return Sources(topology, tuple(parts), tuple(warnings))


def _source(endpoint: Endpoint, info: dict[str, str], slots: tuple[tuple[int, int], ...]) -> Source:
    return Source(
        endpoint=endpoint,
        role="replica" if info.get("role") == "slave" else "primary",
        version=info.get("valkey_version") or info.get("redis_version", "0"),
        appendonly=info.get("aof_enabled") == "1",
        data_bytes=_number(info.get("used_memory_dataset")),
        slots=slots,
    )


def _replica(
    primary: Endpoint,
    info: dict[str, str],
    slots: tuple[tuple[int, int], ...],
    warnings: list[str],
) -> Source | None:
    """Return a healthy replica of *primary*, the one that is least behind; None without one."""
    attached = [text for name, text in info.items() if name[:5] == "slave" and name[5:].isdigit()]
    offset = _number(info.get("master_repl_offset"))
    healthy: list[tuple[int, Node]] = []
    for text in attached:
        facts = dict(part.split("=", 1) for part in text.split(",") if "=" in part)
        behind = offset - _number(facts.get("offset"))
        fresh = facts.get("state") == "online" and _number(facts.get("lag")) <= _FRESH
        if fresh and behind <= _BEHIND and facts.get("ip"):
            healthy.append((behind, (facts["ip"], _number(facts.get("port")))))
    for _, (host, port) in sorted(healthy):
        node = primary.server(host, port)
        try:
            with Wire(node, timeout=_TIMEOUT) as wire:
                told = wire.info()
        except ValkeyctlError:
            continue
        if told.get("role") == "slave" and told.get("master_link_status") == "up":
            return _source(node, told, slots)
    if attached:
        warnings.append(
            f"no replica of {primary.address} is healthy and can be reached from here; "
            "the snapshot is taken from the primary"
        )
    return None


def _number(text: str | None) -> int:
    return int(text) if text and text.isdigit() else 0
