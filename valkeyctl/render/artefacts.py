"""What a profile becomes: files to write, and the facts that a runtime needs beside them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, Self, TypeAlias

from valkeyctl.profile.schema import Topology
from valkeyctl.render.budget import MemoryBudget

Kind: TypeAlias = Literal["server", "sentinel"]

CONF = "valkey.conf"
SENTINEL_CONF = "sentinel.conf"
POD = "pod.yaml"
COMPOSE = "podman-compose.yaml"
# On the pod and its containers, so that a running one can be told from its profile.
PROFILE_LABEL = "valkeyctl.profile"
NODE_LABEL = "valkeyctl.node"  # on the servers of a topology; not on a standalone
VERSION_LABEL = "valkeyctl.version"
HASH_LABEL = "valkeyctl.hash"
TLS_LABEL = "valkeyctl.tls"  # likewise; how to speak to it is asked before its profile is known
PRODUCTION_LABEL = "valkeyctl.production"  # present, with true, where the profile says so


def digest_of(files: Mapping[str, str]) -> str:
    """Return twelve hex digits that change whenever a line of *files* does, but for two labels.

    The hash label carries this very digest, and the version label must not make a
    running server look outdated whenever valkeyctl itself is upgraded.
    """
    whole = hashlib.sha256()
    for name in sorted(files):
        lines = (
            line
            for line in files[name].splitlines()
            if not line.lstrip().startswith((f"{HASH_LABEL}:", f"{VERSION_LABEL}:"))
        )
        whole.update("\n".join((name, *lines, "")).encode())
    return whole.hexdigest()[:12]


@dataclass(frozen=True)
class BridgeNetwork:
    """The bridge that the containers of a topology share.

    Attributes:
        name: Of the network.
        subnet: In CIDR form; every unit has a fixed address in it.
    """

    name: str
    subnet: str


@dataclass(frozen=True)
class Artefacts:
    """A rendered profile, or one unit of it; pure data, nothing of it is on disk yet.

    A standalone deployment is one unit, itself. A topology holds a unit for each of its
    servers and sentinels in ``nodes``; these are what a runtime runs.

    Attributes:
        name: The unit's name, prefix of every object that it makes; of a whole
            deployment the profile's name.
        app: First part of every key.
        files: File name to text; holds no secret. Of a whole deployment all files.
        directives: The rendered valkey.conf, directive by directive; a directive that
            stands more than once (``save``) is joined by blanks, as CONFIG GET shows it.
            Of a sentinel what SENTINEL SET takes.
        image: Container image, with its tag.
        pull: ``missing`` or ``never``.
        host: Address to publish on.
        port: TCP port to publish on; of a whole topology that of its first unit.
        stop_grace: Seconds a server may take to save and end.
        budget: Where the memory of the container goes.
        keeps_data: Whether data survives a restart.
        tls: Whether the server speaks TLS only.
        auth: Whether the server asks for a password.
        user: Number of the user that the container runs as.
        group: Number of its group.
        production: Whether the profile says that this serves production.
        topology: What the whole deployment is.
        kind: What this unit is.
        profile: The deployment that this unit belongs to; empty means ``name``.
        nodes: The units of a topology, in the order of their ports; empty for one server.
        network: The bridge that the units share; None without one.
        address: Of this unit on that bridge; empty without one.
        mac: Of this unit there. Fixed like the address: Podman 4 does not announce a
            new one, and its peers would not reach the unit for half a minute.
        pod_shape: Changes with everything in pod.yaml but valkey.conf: what a running
            container cannot take over.
        material: Names of the secret files that the unit mounts; empty without any.
        primary: Whether this server of a topology is a primary at first.
        start_address: Where the primary that a sentinel topology begins with is on the
            bridge; empty in other topologies.
        start_port: The port that it is published on; 0 in other topologies.
        bus_port: Port of the Cluster bus where all nodes share one address, as processes
            do; 0 outside of a Cluster.
    """

    name: str
    app: str
    files: Mapping[str, str]
    directives: Mapping[str, str]
    image: str
    pull: str
    host: str
    port: int
    stop_grace: float
    budget: MemoryBudget
    keeps_data: bool
    tls: bool
    auth: bool
    user: int = 999
    group: int = 999
    production: bool = False
    topology: Topology = "standalone"
    kind: Kind = "server"
    profile: str = ""
    nodes: tuple[Artefacts, ...] = ()
    network: BridgeNetwork | None = None
    address: str = ""
    mac: str = ""
    pod_shape: str = ""
    material: tuple[str, ...] = ()
    primary: bool = True
    start_address: str = ""
    start_port: int = 0
    bus_port: int = 0

    @property
    def digest(self) -> str:
        """Twelve hex digits that change with any file; what HASH_LABEL carries."""
        return digest_of(self.files)

    @property
    def deployment(self) -> str:
        """Name of the deployment that this is, or belongs to."""
        return self.profile or self.name

    @property
    def units(self) -> tuple[Artefacts, ...]:
        """What a runtime runs: the nodes, or this one server itself."""
        return self.nodes or (self,)

    @property
    def is_node(self) -> bool:
        """Whether this is one unit of a topology."""
        return bool(self.profile) and self.profile != self.name

    @property
    def pod(self) -> str:
        """Name of the pod."""
        return f"{self.name}-valkey"

    @property
    def container(self) -> str:
        """Name of the server's container; kube play makes it of the pod's and its own."""
        return f"{self.pod}-server"

    @property
    def volume(self) -> str:
        """Name of the volume that holds the data."""
        return f"{self.name}-data"

    @property
    def secrets_volume(self) -> str:
        """Name of the volume that holds the secret files."""
        return f"{self.name}-secrets"

    @classmethod
    def restored(cls, fields: Mapping[str, object]) -> Self:
        """Return the artefacts that ``dataclasses.asdict`` made *fields* of.

        Fields that a later valkeyctl has added are left out.

        Raises:
            TypeError, KeyError: They are not such fields.
        """
        known = {name: fields[name] for name in cls.__dataclass_fields__ if name in fields}
        made = cls(**known)  # type: ignore[arg-type]  # a missing field is a TypeError
        budget, network = fields["budget"], fields.get("network")
        nodes = fields.get("nodes") or ()
        if not isinstance(budget, dict) or not isinstance(nodes, (list, tuple)):
            raise TypeError("the budget or the nodes are no artefacts'")
        return replace(
            made,
            budget=MemoryBudget(**budget),
            network=BridgeNetwork(**network) if isinstance(network, dict) else None,
            nodes=tuple(cls.restored(node) for node in nodes),
            material=tuple(made.material),
        )
