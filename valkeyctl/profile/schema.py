"""The profile: every field, its default, and the output it becomes.

Defaults and their reasons are in docs/reference/profile.md. A section that most
people set by one word takes that word too: ``persistence: aof``, ``tls: true``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, PrivateAttr, field_validator, model_validator

from valkeyctl.endpoint import Topology as Topology  # noqa: PLC0414 - render/ has the word from here
from valkeyctl.errors import Problem
from valkeyctl.profile.fields import (
    APP_PATTERN,
    IMAGE_PATTERN,
    NAME_PATTERN,
    NAMESPACE_PATTERN,
    SAVE_PATTERN,
    Address,
    Duration,
    Secret,
    Size,
    is_loopback,
    split_host_port,
)
from valkeyctl.profile.section import Section
from valkeyctl.profile.topologies import DEFAULT_REPLICAS, Cluster, Network, Replication, Sentinel
from valkeyctl.profile.yamlfile import Document

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
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
# Sections that most people turn on or off, by one word.
SWITCHES = ("auth", "exporter", "tls")
DEFAULT_TTLS = {
    "response": 3600.0,
    "session": 86400.0,
    "context": 1800.0,
    "metadata": 300.0,
    "ratelimit": 60.0,
}


@dataclass(frozen=True)
class Origin:
    """The file a profile was read from; it never makes two profiles unequal."""

    document: Document | None = field(default=None, compare=False, repr=False)


class Memory(Section):
    """How much memory the container may take, and how much of it holds data."""

    limit: Size = Field(512 * 2**20, description="pod.yaml resources.limits.memory")
    maxmemory: Literal["auto"] | Size = Field(
        "auto", description="valkey.conf maxmemory; auto solves the memory budget for it"
    )
    # Never 0, which means "no limit" to the server.
    clients: Size = Field(16 * 2**20, ge=2**20, description="valkey.conf maxmemory-clients")
    fragmentation: float = Field(0.10, ge=0, le=1, description="budget: share lost in pages")
    copy_on_write: float = Field(
        1.0, ge=0, le=1, description="budget: share of the data rewritten while a save runs"
    )


class Persistence(Section):
    """What survives a restart: nothing, snapshots, or every write."""

    mode: Literal["none", "rdb", "aof", "rdb+aof"] = Field(
        "none", description="valkey.conf save and appendonly"
    )
    fsync: Literal["everysec", "always", "no"] = Field(
        "everysec", description="valkey.conf appendfsync"
    )
    save: tuple[Annotated[str, Field(pattern=SAVE_PATTERN)], ...] = Field(
        ("3600 1", "300 100", "60 10000"),
        min_length=1,
        description="valkey.conf save: '<seconds> <changes>' pairs, with rdb",
    )


class Stop(Section):
    """How a server is asked to end."""

    grace: Duration = Field(
        60.0, gt=0, le=3600, description="podman stop -t; valkey.conf shutdown-timeout is less"
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


class Security(Section):
    """What the container may not do."""

    user: int = Field(
        999,
        ge=1,
        le=2**31 - 1,
        description="pod.yaml securityContext.runAsUser; who owns /data in the image",
    )
    group: int = Field(999, ge=1, le=2**31 - 1, description="pod.yaml securityContext.runAsGroup")
    read_only: bool = Field(True, description="pod.yaml securityContext.readOnlyRootFilesystem")
    pids: int = Field(128, ge=16, le=32768, description="compose pids_limit")
    production: bool = Field(False, description="label; drills and purges ask again")


class Tuning(Section):
    """Server settings with a reason to differ from the server's own default."""

    maxclients: int = Field(1000, ge=10, le=100_000, description="valkey.conf maxclients")
    databases: int = Field(16, ge=1, le=1024, description="valkey.conf databases")
    io_threads: int = Field(1, ge=1, le=16, description="valkey.conf io-threads")
    tcp_keepalive: Duration = Field(300.0, le=86400, description="valkey.conf tcp-keepalive")
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

    interval: Duration = Field(
        10.0, ge=1, le=3600, description="pod.yaml livenessProbe.periodSeconds"
    )
    timeout: Duration = Field(
        2.0, ge=1, le=3600, description="pod.yaml livenessProbe.timeoutSeconds"
    )
    failures: int = Field(3, ge=1, le=100, description="pod.yaml livenessProbe.failureThreshold")


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
    rounds: int | None = Field(
        None, ge=2, le=1000, description="bench --rounds; absent, it follows from the duration"
    )
    seed: int = Field(1, ge=0, description="bench --seed")


def _default_namespaces() -> dict[str, NamespacePolicy]:
    return {name: NamespacePolicy(ttl=ttl, jitter=0.1) for name, ttl in DEFAULT_TTLS.items()}


def _default_limits() -> dict[str, LimitPolicy]:
    return {
        "user": LimitPolicy(rate=60, per=60),
        "provider": LimitPolicy(rate=100, per=60),
        "global": LimitPolicy(rate=1000, per=1),
    }


def expand_short_forms(data: Mapping[str, object]) -> dict[str, object]:
    """Return *data* with ``tls: true`` and ``persistence: aof`` written as sections."""
    expanded = dict(data)
    if isinstance(expanded.get("persistence"), str):
        expanded["persistence"] = {"mode": expanded["persistence"]}
    for switch in SWITCHES:
        if isinstance(expanded.get(switch), bool):
            expanded[switch] = {"enabled": expanded[switch]}
    return expanded


def _beside_defaults(
    defaults: Mapping[str, Section], written: Mapping[str, object]
) -> dict[str, object]:
    """Return *written* laid on *defaults*, entry by entry and key by key."""
    laid: dict[str, object] = {**defaults, **written}
    for name in defaults.keys() & written.keys():
        own = written[name]
        if isinstance(own, dict):
            laid[name] = {**defaults[name].model_dump(), **own}
    return laid


class Profile(Section):
    """A deployment, as its operator describes it."""

    name: str = Field(pattern=NAME_PATTERN, description="prefix of every object; label")
    app: str = Field(
        "", pattern=APP_PATTERN, description="first part of every key; the name when empty"
    )
    description: str = Field("", max_length=200, description="one line, shown by profiles ls")
    topology: Topology = Field("standalone", description="which servers there are")
    runtime: Literal["auto", "podman", "process"] = Field("auto", description="deploy --runtime")
    image: str = Field(
        "docker.io/valkey/valkey:8.1",
        pattern=IMAGE_PATTERN,
        description="pod.yaml image",
    )
    pull: Literal["missing", "never"] = Field("missing", description="pod.yaml imagePullPolicy")
    publish: Address = Field(
        "127.0.0.1:6379",
        description="pod.yaml hostIP and hostPort; Podman's own networks know no IPv6",
    )
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
    namespaces: dict[Annotated[str, Field(pattern=NAMESPACE_PATTERN)], NamespacePolicy] = Field(
        default_factory=_default_namespaces, description="TTL policy by namespace"
    )
    limits: dict[Annotated[str, Field(pattern=NAMESPACE_PATTERN)], LimitPolicy] = Field(
        default_factory=_default_limits, description="rate limits by name"
    )
    bench: BenchDefaults = BenchDefaults()
    _origin: Origin = PrivateAttr(default=Origin())

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, data: object) -> object:
        if not isinstance(data, dict):
            return data
        filled = expand_short_forms(data)
        name = filled.get("name")
        if filled.get("app") in {None, ""} and isinstance(name, str):
            # A name that breaks the rule is one problem, not two.
            filled["app"] = name if re.fullmatch(NAME_PATTERN, name) else ""
        for key, defaults in (("namespaces", _default_namespaces()), ("limits", _default_limits())):
            written = filled.get(key)
            if isinstance(written, dict):
                filled[key] = _beside_defaults(defaults, written)
        replicas = DEFAULT_REPLICAS.get(str(filled.get("topology")))
        replication = filled.get("replication", {})
        if replicas is not None and isinstance(replication, dict):
            filled["replication"] = {"replicas": replicas, **replication}
        return filled

    @field_validator("description")
    @classmethod
    def _one_line(cls, text: str) -> str:
        line = " ".join(text.split())
        if _CONTROL.search(line):
            # A terminal would obey it.
            raise ValueError("there is a control character in it; write plain text")
        return line

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
        if self.sentinel.quorum > self.sentinel.count:
            raise ValueError(
                f"sentinel.quorum: {self.sentinel.quorum} of {self.sentinel.count} sentinels can "
                "never agree; write sentinel.count or less"
            )
        if self.topology == "sentinel" and not self.replication.replicas:
            raise ValueError(
                "replication.replicas: 0 leaves nothing to fail over to; write 1 or more"
            )
        if self.replication.min_replicas_to_write > self.replication.replicas:
            raise ValueError(
                f"replication.min_replicas_to_write: {self.replication.min_replicas_to_write} of "
                f"{self.replication.replicas} replicas would refuse every write; write "
                "replication.replicas or less"
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

    def placed_in(self, document: Document) -> Self:
        """Return this profile, whose problems name the lines of *document* from now on."""
        self._origin = Origin(document)
        return self

    def problem(self, key: str, text: str) -> Problem:
        """Return what is wrong at *key*, with the file and line where they are known."""
        document = self._origin.document
        if document is None:
            return Problem(self.name, 0, key, text)
        return document.place(tuple(key.split("."))).problem(key, text)
