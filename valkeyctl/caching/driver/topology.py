"""What stands behind a client: one server, Sentinel or a Cluster, by its endpoint."""

from __future__ import annotations

import random
from dataclasses import dataclass

from valkeyctl.caching.driver.batching import Batching
from valkeyctl.caching.driver.cluster import ClusterLink
from valkeyctl.caching.driver.link import Link, ReplicatedLink
from valkeyctl.caching.driver.sentinel import SentinelLink
from valkeyctl.caching.driver.standalone import Standalone
from valkeyctl.endpoint import Endpoint


@dataclass(frozen=True)
class Connected:
    """The ways to a deployment.

    Attributes:
        link: For every command.
        replicated: For deletes that replicas confirm; None where there are no replicas to
            take a primary's place.
        guards_itself: Whether the link has a breaker for each of its servers, so that a
            call without an answer says nothing about the whole.
    """

    link: Link
    replicated: ReplicatedLink | None = None
    guards_itself: bool = False


def build_link(
    endpoint: Endpoint, *, size: int, connect_timeout: float, rng: random.Random
) -> Connected:
    """Return the ways to *endpoint*; nothing is connected yet.

    Args:
        endpoint: Of any topology.
        size: Connections to each server at most.
        connect_timeout: Seconds for opening one.
        rng: Source of jitter.
    """
    if endpoint.topology == "cluster":
        # It batches for each node by itself: callers of one node do not wait for another.
        cluster = ClusterLink(endpoint, size=size, connect_timeout=connect_timeout, rng=rng)
        return Connected(cluster, cluster, guards_itself=True)
    if endpoint.topology == "sentinel":
        sentinel = SentinelLink(endpoint, size=size, connect_timeout=connect_timeout, rng=rng)
        return Connected(Batching(sentinel), sentinel)
    return Connected(Batching(Standalone(endpoint, size=size, connect_timeout=connect_timeout)))
