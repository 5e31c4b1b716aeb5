"""The profile: every field, its default, and the output it becomes.

Defaults and their reasons are in docs/reference/profile.md. A section that most
people set by one word takes that word too: ``persistence: aof``, ``tls: true``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from valkeyctl.profile.fields import (
    NAME_PATTERN,
    NAMESPACE_PATTERN,
    Address,
    Duration,
    Secret,
    Size,
    is_loopback,
    split_host_port,
)

Eviction = Literal[
    "allkeys-lru",
    "allkeys-lfu",
    "allkeys-random",
    "volatile-lru",
    "volatile-lfu",
    "volatile-random",
    "volatile-ttl",
    "noeviction",
]
DEFAULT_TTLS = {
    "response": 3600.0,
    "session": 86400.0,
    "context": 1800.0,
    "metadata": 300.0,
    "ratelimit": 60.0,
}


class Section(BaseModel):
    """A part of a profile: frozen, and closed to keys that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class Memory(Section):
    """How much memory the container may take, and how much of it holds data."""

    limit: Size = Field(512 * 2**20, description="pod.yaml resources.limits.memory")
    maxmemory: Literal["auto"] | Size = Field(
        "auto", description="valkey.conf maxmemory; auto solves the memory budget for it"
    )
    clients: Size = Field(16 * 2**20, description="valkey.conf maxmemory-clients")
    fragmentation: float = Field(0.10, ge=0, le=1, description="budget: share lost in pages")
    copy_on_write: float = Field(
        0.30, ge=0, le=1, description="budget: share of the data rewritten while a save runs"
    )


class Persistence(Section):
    """What survives a restart: nothing, snapshots, or every write."""

    mode: Literal["none", "rdb", "aof", "rdb+aof"] = Field(
        "none", description="valkey.conf save and appendonly"
    )
    fsync: Literal["everysec", "always", "no"] = Field(
        "everysec", description="valkey.conf appendfsync"
    )
    save: tuple[Annotated[str, Field(pattern=r"^\d+ \d+$")], ...] = Field(
        ("3600 1", "300 100", "60 10000"),
        min_length=1,
        description="valkey.conf save: '<seconds> <changes>' pairs, with rdb",
    )


class Stop(Section):
    """How a server is asked to end."""

    grace: Duration = Field(
        60.0, gt=0, le=3600, description="podman pod stop -t; valkey.conf shutdown-timeout is less"
    )


class Auth(Section):
    """Who may connect."""

    enabled: bool = Field(False, description="ACL file: users default off, admin, app, probe")
    password: Secret | None = Field(
        None, description="the application's password as ${NAME}; generated when absent"
    )


class Tls(Section):
    """Encryption in transit."""

    enabled: bool = Field(False, description="valkey.conf port 0, tls-port")
    ca_file: Path | None = Field(None, description="valkey.conf tls-ca-cert-file")
    cert_file: Path | None = Field(None, description="valkey.conf tls-cert-file")
    key_file: Path | None = Field(None, description="valkey.conf tls-key-file")
    auth_clients: Literal["yes", "no", "optional"] = Field(
        "optional", description="valkey.conf tls-auth-clients"
    )


class Network(Section):
    """The bridge that the containers of a topology share."""

    subnet: str | None = Field(None, description="podman network create --subnet")


class Security(Section):
    """What the container may not do."""

    user: int = Field(999, ge=1, description="pod.yaml securityContext.runAsUser")
    group: int = Field(999, ge=1, description="pod.yaml securityContext.runAsGroup")
    read_only: bool = Field(True, description="pod.yaml securityContext.readOnlyRootFilesystem")
    pids: int = Field(128, ge=16, description="compose pids_limit")
    production: bool = Field(False, description="label; drills and purges ask again")


class Tuning(Section):
    """Server settings with a reason to differ from the server's own default."""

    maxclients: int = Field(1000, ge=10, le=100_000, description="valkey.conf maxclients")
    databases: int = Field(16, ge=1, le=1024, description="valkey.conf databases")
    io_threads: int = Field(1, ge=1, le=16, description="valkey.conf io-threads")
    tcp_keepalive: Duration = Field(300.0, description="valkey.conf tcp-keepalive")
    timeout: Duration = Field(0.0, description="valkey.conf timeout: idle clients, 0 keeps them")
    latency_monitor: Duration = Field(
        0.1, description="valkey.conf latency-monitor-threshold (milliseconds there)"
    )
    slowlog_threshold: Duration = Field(
        0.01, description="valkey.conf slowlog-log-slower-than (microseconds there)"
    )
    slowlog_length: int = Field(256, ge=0, le=65536, description="valkey.conf slowlog-max-len")
    lazyfree: bool = Field(True, description="valkey.conf lazyfree-lazy-*")
    activedefrag: bool = Field(
        False, description="valkey.conf activedefrag; needs a build with jemalloc"
    )


class Probes(Section):
    """The container's own liveness probe."""

    interval: Duration = Field(10.0, ge=1, description="pod.yaml livenessProbe.periodSeconds")
    timeout: Duration = Field(2.0, ge=1, description="pod.yaml livenessProbe.timeoutSeconds")
    failures: int = Field(3, ge=1, le=100, description="pod.yaml livenessProbe.failureThreshold")


class Replication(Section):
    """Copies of the data, in the topologies that have them."""

    replicas: int = Field(0, ge=0, le=16, description="replicas per primary")
    backlog: Size = Field(16 * 2**20, description="valkey.conf repl-backlog-size")
    output_buffer: Size = Field(
        64 * 2**20, description="valkey.conf client-output-buffer-limit replica (hard)"
    )


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


class Exporter(Section):
    """A metrics exporter beside the server."""

    enabled: bool = Field(False, description="a second container in the pod")


class NamespacePolicy(Section):
    """How the keys of one namespace live."""

    ttl: Duration = Field(gt=0, description="seconds until an entry expires")
    jitter: float = Field(
        0.1, ge=0, le=0.5, description="share of the ttl taken off at random, against stampedes"
    )


class LimitPolicy(Section):
    """A sliding-window limit: *rate* calls per *per* seconds."""

    rate: int = Field(ge=1, description="calls allowed in one window")
    per: Duration = Field(gt=0, description="length of the window")


class BenchDefaults(Section):
    """What `valkeyctl bench` does when it is not told."""

    scenario: str = Field("llm-chat", description="bench --scenario")
    duration: Duration = Field(30.0, gt=0, description="bench --duration")
    users: int = Field(16, ge=1, le=10_000, description="bench --users")
    rounds: int = Field(10, ge=2, le=1000, description="bench --rounds")
    seed: int = Field(1, ge=0, description="bench --seed")


def _default_namespaces() -> dict[str, NamespacePolicy]:
    return {name: NamespacePolicy(ttl=ttl, jitter=0.1) for name, ttl in DEFAULT_TTLS.items()}


def _default_limits() -> dict[str, LimitPolicy]:
    return {
        "user": LimitPolicy(rate=60, per=60),
        "provider": LimitPolicy(rate=100, per=60),
        "global": LimitPolicy(rate=1000, per=1),
    }


class Profile(Section):
    """A deployment, as its operator describes it."""

    name: str = Field(pattern=NAME_PATTERN, description="prefix of every object; label")
    app: str = Field("", description="first part of every key; the name when empty")
    description: str = Field("", max_length=200, description="one line, shown by profiles ls")
    topology: Literal["standalone", "sentinel", "cluster"] = "standalone"
    runtime: Literal["auto", "podman", "process"] = Field("auto", description="deploy --runtime")
    image: str = Field(
        "docker.io/valkey/valkey:8.1",
        pattern=r"^[a-z0-9][a-zA-Z0-9._:/@-]{0,254}$",
        description="pod.yaml image",
    )
    pull: Literal["missing", "never"] = Field("missing", description="pod.yaml imagePullPolicy")
    publish: Address = Field("127.0.0.1:6379", description="pod.yaml hostIP and hostPort")
    memory: Memory = Memory()
    eviction: Eviction = Field("allkeys-lru", description="valkey.conf maxmemory-policy")
    persistence: Persistence = Persistence()
    stop: Stop = Stop()
    auth: Auth = Auth()
    tls: Tls = Tls()
    network: Network = Network()
    security: Security = Security()
    tuning: Tuning = Tuning()
    probes: Probes = Probes()
    replication: Replication = Replication()
    sentinel: Sentinel = Sentinel()
    cluster: Cluster = Cluster()
    exporter: Exporter = Exporter()
    namespaces: dict[
        Annotated[str, Field(pattern=NAMESPACE_PATTERN)], NamespacePolicy
    ] = Field(default_factory=_default_namespaces, description="TTL policy by namespace")
    limits: dict[Annotated[str, Field(pattern=NAMESPACE_PATTERN)], LimitPolicy] = Field(
        default_factory=_default_limits, description="rate limits by name"
    )
    bench: BenchDefaults = BenchDefaults()

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, data: object) -> object:
        if not isinstance(data, dict):
            return data
        data = dict(data)
        if not data.get("app"):
            data["app"] = data.get("name", "")
        if isinstance(data.get("persistence"), str):
            data["persistence"] = {"mode": data["persistence"]}
        for switch in ("tls", "auth", "exporter"):
            if isinstance(data.get(switch), bool):
                data[switch] = {"enabled": data[switch]}
        if isinstance(data.get("namespaces"), dict):
            data["namespaces"] = {**_default_namespaces(), **data["namespaces"]}
        if isinstance(data.get("limits"), dict):
            data["limits"] = {**_default_limits(), **data["limits"]}
        return data

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        if not is_loopback(self.host) and not self.auth.enabled:
            raise ValueError(
                f"publish: {self.publish} reaches beyond this machine without authentication; "
                "publish on 127.0.0.1, or set auth.enabled: true"
            )
        if not is_loopback(self.host) and not self.tls.enabled:
            raise ValueError(
                f"publish: {self.publish} reaches beyond this machine without encryption; "
                "publish on 127.0.0.1, or set tls.enabled: true"
            )
        if self.topology == "standalone" and self.replication.replicas:
            raise ValueError(
                "replication.replicas: a standalone has no replicas; use topology: sentinel"
            )
        return self

    @property
    def host(self) -> str:
        """Address that the server is published on."""
        return split_host_port(self.publish)[0]

    @property
    def port(self) -> int:
        """TCP port that the server is published on."""
        return split_host_port(self.publish)[1]
