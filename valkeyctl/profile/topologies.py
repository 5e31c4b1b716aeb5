"""The sections of a profile that say how several servers work together."""

from __future__ import annotations

import ipaddress

from pydantic import Field, field_validator

from valkeyctl.profile.fields import Duration, Size
from valkeyctl.profile.section import Section

# Replicas of each primary where the profile does not say: Sentinel promotes one and still
# has one; in a Cluster a shard outlives one server.
DEFAULT_REPLICAS = {"sentinel": 2, "cluster": 1}
_PRIVATE = tuple(
    ipaddress.IPv4Network(block) for block in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
)


class Network(Section):
    """The bridge that the containers of a topology share."""

    subnet: str | None = Field(
        None,
        description="podman network create --subnet; private, IPv4; 10.128.0.0 to 10.191.255.0, "
        "by the name, when absent",
    )

    @field_validator("subnet")
    @classmethod
    def _private_ipv4(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            network = ipaddress.IPv4Network(value)
        except ValueError as error:
            raise ValueError(f"{error}; write an IPv4 subnet such as 10.140.7.0/24") from None
        if not any(network.subnet_of(block) for block in _PRIVATE):
            raise ValueError(
                f"{value} is not private; write one within {', '.join(map(str, _PRIVATE))}"
            )
        return str(network)


class Replication(Section):
    """Copies of the data, in the topologies that have them."""

    replicas: int = Field(
        0, ge=0, le=16, description="replicas per primary; 2 with sentinel, 1 with cluster"
    )
    backlog: Size = Field(16 * 2**20, description="valkey.conf repl-backlog-size")
    output_buffer: Size = Field(
        64 * 2**20, description="valkey.conf client-output-buffer-limit replica (hard)"
    )
    min_replicas_to_write: int = Field(
        0, ge=0, le=16, description="valkey.conf min-replicas-to-write; 0 writes without any"
    )
    max_lag: Duration = Field(10.0, ge=1, le=3600, description="valkey.conf min-replicas-max-lag")


class Sentinel(Section):
    """Failover by Sentinel, with topology: sentinel."""

    count: int = Field(3, ge=3, le=9, description="sentinel processes")
    quorum: int = Field(2, ge=1, le=9, description="sentinel monitor <quorum>")
    down_after: Duration = Field(5.0, gt=0, description="sentinel down-after-milliseconds")
    failover_timeout: Duration = Field(10.0, gt=0, description="sentinel failover-timeout")


class Cluster(Section):
    """Sharding by Valkey Cluster, with topology: cluster."""

    primaries: int = Field(3, ge=3, le=32, description="shards")
    node_timeout: Duration = Field(5.0, gt=0, description="valkey.conf cluster-node-timeout")
    full_coverage: bool = Field(
        False,
        description="valkey.conf cluster-require-full-coverage; true: one lost shard stops all",
    )
