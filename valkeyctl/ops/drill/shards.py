"""Who takes the writes of which keys at this moment, asked anew whenever it may have changed."""

from __future__ import annotations

from dataclasses import dataclass, replace

from valkeyctl.caching.driver.slots import slot_of
from valkeyctl.endpoint import Endpoint, Node
from valkeyctl.errors import UnreachableError
from valkeyctl.ops.keyspace.nodes import primaries


@dataclass(frozen=True)
class Shard:
    """Keys that one primary serves: all of them, but on a Cluster.

    Attributes:
        number: From 0, in the order of their slots.
        ranges: Slots of a Cluster, both ends included; empty without one.
    """

    number: int
    ranges: tuple[tuple[int, int], ...] = ()

    def owns(self, key: bytes) -> bool:
        """Say whether *key*, which has no hash tag, belongs here."""
        slot = slot_of(key)
        return not self.ranges or any(first <= slot <= last for first, last in self.ranges)


class Finder:
    """Finds the primaries behind an endpoint.

    Args:
        endpoint: Of any topology, with the login to use.
        timeout: Seconds that a server may be silent.
        broken: Address of the server that is broken on purpose: it is asked last, so
            that waiting for it delays nobody.

    Attributes:
        news: How often a primary was seen to change; whoever has asked before asks again,
            for a server that was demoted goes on answering reads.
    """

    def __init__(self, endpoint: Endpoint, *, timeout: float, broken: Node | None = None) -> None:
        self.news = 0
        self.endpoint = endpoint
        if endpoint.topology != "standalone":
            nodes = sorted(endpoint.nodes, key=lambda node: node == broken)
            self.endpoint = replace(endpoint, nodes=tuple(nodes))
        self._timeout = timeout

    def shards(self) -> tuple[Shard, ...]:
        """Return the shards as they are now; a single one but on a Cluster.

        Raises:
            UnreachableError, AuthError, TlsError, ServerReplyError: As
                `ops.keyspace.nodes.primaries`.
        """
        if self.endpoint.topology != "cluster":
            return (Shard(0),)
        slots = primaries(self.endpoint, timeout=self._timeout).slots
        ranges: dict[Node, list[tuple[int, int]]] = {}
        for part in sorted(slots.ranges) if slots else ():
            ranges.setdefault(part.primary, []).append((part.first, part.last))
        return tuple(Shard(number, tuple(served)) for number, served in enumerate(ranges.values()))

    def primary(self, shard: Shard) -> Endpoint:
        """Return the server that takes the writes of *shard* now.

        Raises:
            As `shards`.
        """
        return self.all_primaries((shard,))[0]

    def all_primaries(self, shards: tuple[Shard, ...]) -> tuple[Endpoint, ...]:
        """Return the server that takes the writes of each of *shards* now.

        Raises:
            As `shards`.
        """
        if self.endpoint.topology == "standalone":
            return (self.endpoint,)
        found = primaries(self.endpoint, timeout=self._timeout)
        if found.slots is None:
            return found.nodes
        # The slots of a shard stay together in a drill; the first one tells for all.
        owners = {
            shard: next(
                (
                    self.endpoint.server(*part.primary)
                    for part in found.slots.ranges
                    if part.first <= shard.ranges[0][0] <= part.last
                ),
                None,
            )
            for shard in shards
        }
        servers = tuple(owner for owner in owners.values() if owner is not None)
        if len(servers) < len(shards):
            raise UnreachableError(f"nobody in {self.endpoint.address} serves some of the slots")
        return servers
